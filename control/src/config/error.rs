//! What can be wrong with a configuration: each error names file, line, key, fault and remedy.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// One fault of a configuration file.
#[derive(Debug, Error)]
#[error("{}{}: {problem}", .file.display(), LineSuffix(*.line))]
pub struct ConfigError {
    /// The configuration file as it was named.
    pub file: PathBuf,
    /// Line within the file, from 1; none when the file could not be read.
    pub line: Option<usize>,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong, and what to do about it.
#[derive(Debug, Error)]
pub enum Problem {
    /// The configuration file itself cannot be read.
    #[error("cannot be read ({0}); correct the path or the file's permissions")]
    Unreadable(io::Error),
    /// The text is not TOML.
    #[error("not valid TOML: {0}; correct this line")]
    Syntax(String),
    /// A key that xdtls does not know.
    #[error("unknown key `{key}` in {place}; {remedy} (known keys: {known})")]
    UnknownKey {
        /// The key as written.
        key: String,
        /// The table that it stands in.
        place: String,
        /// What to write instead.
        remedy: String,
        /// All keys of that table.
        known: String,
    },
    /// A required key or table is absent.
    #[error("{key}: missing; {remedy}")]
    Missing {
        /// The key with its table.
        key: String,
        /// What to add.
        remedy: String,
    },
    /// A value of the wrong type, out of range, or in conflict with another.
    #[error("{key}: {wrong}; {remedy}")]
    Invalid {
        /// The key with its table.
        key: String,
        /// What is wrong with the value.
        wrong: String,
        /// What to write instead.
        remedy: String,
    },
}

impl Problem {
    /// What is wrong, and what to do about it.
    #[must_use]
    pub fn wrong_and_remedy(&self) -> (String, String) {
        // Each message above puts the remedy after its last semicolon.
        let whole = self.to_string();
        match whole.rsplit_once("; ") {
            Some((wrong, remedy)) => (wrong.to_owned(), remedy.to_owned()),
            None => (whole, "correct it".to_owned()),
        }
    }
}

/// All faults of a configuration file, in the order of their lines; one line of text each.
#[derive(Debug)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// `:7` after the file's name.
struct LineSuffix(Option<usize>);

impl fmt::Display for LineSuffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// The candidate most like `word`, if any comes close enough to be a misspelling.
pub(super) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    const ALIKE: f64 = 0.8;
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(word, candidate), candidate))
        .filter(|(likeness, _)| *likeness > ALIKE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
