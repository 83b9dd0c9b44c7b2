//! Reads a TOML document table by table and collects every fault with its line.
//!
//! serde stops at the first fault; here a reader records each one and carries on with the default,
//! so that one run shows the operator all of them. A [`Section`] learns its known keys from the
//! questions it is asked: whatever nobody asked for is an unknown key.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::duration;
use super::error::{ConfigError, ConfigErrors, Problem, nearest};
use super::value::Value;

/// The text of one configuration file and the faults found in it so far.
pub(super) struct Document<'a> {
    file: &'a Path,
    text: &'a str,
    errors: RefCell<Vec<ConfigError>>,
}

impl<'a> Document<'a> {
    pub(super) fn new(file: &'a Path, text: &'a str) -> Self {
        Self { file, text, errors: RefCell::default() }
    }

    /// The file as it was named.
    pub(super) fn file(&self) -> &'a Path {
        self.file
    }

    /// Line (from 1) of a byte offset.
    pub(super) fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        1 + before.filter(|byte| **byte == b'\n').count()
    }

    pub(super) fn report(&self, offset: usize, problem: Problem) {
        let line = Some(self.line(offset));
        let file = self.file.to_owned();
        self.errors.borrow_mut().push(ConfigError { file, line, problem });
    }

    /// `read`, if nothing was reported; otherwise all reports in the order of their lines.
    pub(super) fn finish<T>(self, read: Option<T>) -> Result<T, ConfigErrors> {
        let mut errors = self.errors.into_inner();
        errors.sort_by_key(|error| error.line);
        match read {
            Some(read) if errors.is_empty() => Ok(read),
            _ => Err(ConfigErrors(errors)),
        }
    }
}

/// One table of the document. An absent table reads like an empty one.
pub(super) struct Section<'a> {
    document: &'a Document<'a>,
    /// Empty for the whole document.
    name: &'static str,
    /// The name as written: `[name]`, or `[[name]]` for one of many.
    header: String,
    offset: usize,
    table: Option<&'a DeTable<'a>>,
    known: Vec<&'static str>,
}

impl<'a> Section<'a> {
    pub(super) fn root(document: &'a Document<'a>, table: &'a DeTable<'a>) -> Self {
        let header = "this file".to_owned();
        Self { document, name: "", header, offset: 0, table: Some(table), known: Vec::new() }
    }

    /// Whether a key stands here. This does not make it a known one.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// The value of an optional key. `example` is how a right one is written.
    pub(super) fn value(&mut self, key: &'static str, example: &str) -> Option<Value<'a>> {
        let value = self.lookup(key)?;
        Some(Value::new(self.document, self.path(key), example.to_owned(), value))
    }

    /// The value of a required key; reported if it is missing.
    pub(super) fn required(&mut self, key: &'static str, example: &str) -> Option<Value<'a>> {
        let value = self.value(key, example);
        if value.is_none() {
            self.missing(key, format!("add for example `{key} = {example}` to {}", self.header));
        }
        value
    }

    /// An integer within `range`, or its default.
    pub(super) fn integer<T>(
        &mut self,
        key: &'static str,
        range: RangeInclusive<T>,
        default: T,
    ) -> T
    where
        T: Copy + Display + PartialOrd + TryFrom<i128>,
    {
        let value = self.value(key, &default.to_string());
        value.and_then(|value| value.integer(&range, default)).unwrap_or(default)
    }

    /// A duration within `range`, or its default.
    pub(super) fn duration(
        &mut self,
        key: &'static str,
        range: RangeInclusive<Duration>,
        default: Duration,
    ) -> Duration {
        let value = self.value(key, &format!("\"{}\"", duration::show(default)));
        value.and_then(|value| value.duration(&range, default)).unwrap_or(default)
    }

    /// The table `[key]`.
    pub(super) fn table(&mut self, key: &'static str) -> Section<'a> {
        let header = format!("[{key}]");
        let Some(value) = self.lookup(key) else {
            return Section { name: key, header, table: None, known: Vec::new(), ..*self };
        };
        // Reads on as if the brackets were right: one mistake, one report.
        match value.get_ref().as_array().and_then(|array| array.first()) {
            Some(first) if first.get_ref().is_table() => {
                self.wrong_table(key, &header, value);
                self.section(key, header, first)
            }
            _ => self.section(key, header, value),
        }
    }

    /// All tables `[[key]]` in their order.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Section<'a>> {
        let header = format!("[[{key}]]");
        let Some(value) = self.lookup(key) else { return Vec::new() };
        match value.get_ref().as_array() {
            Some(array) => array.iter().map(|v| self.section(key, header.clone(), v)).collect(),
            None => {
                if value.get_ref().is_table() {
                    self.wrong_table(key, &header, value);
                }
                vec![self.section(key, header, value)]
            }
        }
    }

    /// Reports a required key or table as missing.
    pub(super) fn missing(&self, key: &'static str, remedy: String) {
        self.document.report(self.offset, Problem::Missing { key: self.path(key), remedy });
    }

    /// Reports that the table as a whole cannot stay.
    pub(super) fn refuse(&self, wrong: String, remedy: &str) {
        let (key, remedy) = (self.name.to_owned(), remedy.to_owned());
        self.document.report(self.offset, Problem::Invalid { key, wrong, remedy });
    }

    /// Reports all keys that were never asked for.
    pub(super) fn finish(mut self) {
        self.known.sort_unstable();
        let keys = self.table.into_iter().flat_map(DeTable::keys);
        for key in keys.filter(|key| !self.known.contains(&key.get_ref().as_ref())) {
            let remedy = match nearest(key.get_ref(), self.known.iter().copied()) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => "remove it".to_owned(),
            };
            let problem = Problem::UnknownKey {
                key: key.get_ref().to_string(),
                place: self.header.clone(),
                remedy,
                known: self.known.join(", "),
            };
            self.document.report(key.span().start, problem);
        }
    }

    fn lookup(&mut self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.push(key);
        self.table?.get(key)
    }

    fn section(
        &self,
        name: &'static str,
        header: String,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Section<'a> {
        let table = value.get_ref().as_table();
        let section = Section {
            document: self.document,
            name,
            header,
            offset: value.span().start,
            table,
            known: Vec::new(),
        };
        if table.is_none() {
            self.wrong_table(name, &section.header, value);
        }
        section
    }

    fn wrong_table(&self, key: &'static str, header: &str, value: &Spanned<DeValue<'a>>) {
        let problem = Problem::Invalid {
            key: self.path(key),
            wrong: format!("must be written as {header}, found {}", value.get_ref().type_str()),
            remedy: format!("put `{header}` on a line before its keys"),
        };
        self.document.report(value.span().start, problem);
    }

    fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }
}
