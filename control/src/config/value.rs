//! One value of the configuration: reads it as the type that is wanted, or reports why not.

use std::fmt::Display;
use std::fs::{self, File};
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::document::Document;
use super::duration;
use super::error::Problem;

/// A value with all that a report about it needs. Each reading method returns `None` only after a
/// report.
pub(super) struct Value<'a> {
    document: &'a Document<'a>,
    /// The key with its table, such as `limits.half_open`.
    path: String,
    example: String,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Value<'a> {
    pub(super) fn new(
        document: &'a Document<'a>,
        path: String,
        example: String,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Self {
        Self { document, path, example, value }
    }

    /// Line of the value, from 1.
    pub(super) fn line(&self) -> usize {
        self.document.line(self.value.span().start)
    }

    pub(super) fn string(&self) -> Option<&'a str> {
        self.expect("a string", self.value.get_ref().as_str())
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        self.expect("true or false", self.value.get_ref().as_bool())
    }

    /// The elements of an array, each to be read as a value of the same key.
    pub(super) fn array(&self, example: &str) -> Option<Vec<Value<'a>>> {
        let array = self.expect("a list", self.value.get_ref().as_array())?;
        let element =
            |value| Value::new(self.document, self.path.clone(), example.to_owned(), value);
        Some(array.iter().map(element).collect())
    }

    /// A string that parses as `T`.
    pub(super) fn parse<T>(&self) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = self.string()?;
        text.parse().map_err(|error| self.wrong(format!("`{text}` is refused: {error}"))).ok()
    }

    pub(super) fn integer<T>(&self, range: &RangeInclusive<T>, default: T) -> Option<T>
    where
        T: Copy + Display + PartialOrd + TryFrom<i128>,
    {
        let integer = self.expect("an integer", self.value.get_ref().as_integer())?;
        let (text, radix) = (integer.as_str(), integer.radix());
        let read = i128::from_str_radix(text, radix).ok().and_then(|wide| T::try_from(wide).ok());
        if let Some(number) = read.filter(|number| range.contains(number)) {
            return Some(number);
        }
        // What does not even fit the type is too large, unless it is below zero.
        let too_small = read.map_or(text.starts_with('-'), |number| number < *range.start());
        self.out_of_range((range.start(), range.end()), integer, too_small, default);
        None
    }

    pub(super) fn duration(
        &self,
        range: &RangeInclusive<Duration>,
        default: Duration,
    ) -> Option<Duration> {
        let read = duration::parse(self.string()?).map_err(|error| self.wrong(error)).ok()?;
        if range.contains(&read) {
            return Some(read);
        }
        let bounds = (duration::show(*range.start()), duration::show(*range.end()));
        let too_small = read < *range.start();
        self.out_of_range(bounds, duration::show(read), too_small, duration::show(default));
        None
    }

    /// A path, relative to the folder of the configuration file.
    pub(super) fn path(&self) -> Option<PathBuf> {
        let text = self.string()?;
        if text.is_empty() {
            self.wrong("must not be empty");
            return None;
        }
        let folder = self.document.file().parent().unwrap_or(Path::new(""));
        Some(folder.join(text))
    }

    /// The path of a file that can be read.
    pub(super) fn file(&self) -> Option<PathBuf> {
        let path = self.path()?;
        // Opening anything but a file could block: a pipe waits for its writer.
        let opened = fs::metadata(&path).and_then(|metadata| match metadata.is_file() {
            true => File::open(&path),
            false => Err(io::Error::other("it is not a file")),
        });
        let Err(wrong) = opened else { return Some(path) };
        self.report(
            format!("cannot read `{}`: {wrong}", path.display()),
            "correct the path (a relative one starts at this file's folder) or create the file",
        );
        None
    }

    /// Reports what is wrong; the remedy is the example.
    pub(super) fn wrong(&self, wrong: impl Display) {
        let key = self.path.rsplit('.').next().unwrap_or(&self.path);
        self.report(wrong, format!("write for example `{key} = {}`", self.example));
    }

    /// Reports what is wrong and its remedy.
    pub(super) fn report(&self, wrong: impl Display, remedy: impl Display) {
        let problem = Problem::Invalid {
            key: self.path.clone(),
            wrong: wrong.to_string(),
            remedy: remedy.to_string(),
        };
        self.document.report(self.value.span().start, problem);
    }

    fn expect<T>(&self, wanted: &str, found: Option<T>) -> Option<T> {
        if found.is_none() {
            let found = self.value.get_ref().type_str();
            self.wrong(format!("must be {wanted}, found {found}"));
        }
        found
    }

    fn out_of_range<B: Display>(
        &self,
        (low, high): (B, B),
        found: impl Display,
        too_small: bool,
        default: impl Display,
    ) {
        let change = if too_small { "raise" } else { "lower" };
        self.report(
            format!("must be between {low} and {high}, found {found}"),
            format!("{change} it or remove the line (default {default})"),
        );
    }
}
