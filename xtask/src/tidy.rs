//! Checks of the tracked files that no other tool makes.
//!
//! Patterns are put together from pieces, so that this file passes its own check.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cmd;

/// A longer file is more than one thing.
const LINES_MAX: usize = 1_000;

/// Words that stand for work put off; it belongs into an issue.
const MARKERS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];

/// Macros left behind by somebody at work.
const LEFTOVERS: [&str; 2] = [concat!("dbg", "!("), concat!("to", "do!(")];

/// Paths that exist only on the machine of whoever wrote them.
const MACHINE_PATHS: [&str; 3] =
    [concat!("/wo", "rk/"), concat!("/ro", "ot/."), concat!("/bash", "_jobs")];

/// Hosts of package registries: which one serves is for the machine's configuration to say.
const REGISTRIES: [&str; 7] = [
    "crates.io",
    "debian.org",
    "npmjs.com",
    "npmjs.org",
    "pypi.org",
    "pythonhosted.org",
    "rust-lang.org",
];

/// Fails with a list of all findings, if there are any.
pub(crate) fn run() -> Result<()> {
    let files = cmd::output(cmd::command("git").args(["ls-files", "-z"]))?;
    let mut findings = Vec::new();
    for name in files.split_terminator('\0') {
        let path = cmd::root().join(name);
        // Deleted but not yet committed, or a link to a directory.
        if !path.is_file() {
            continue;
        }
        let bytes = fs::read(&path).with_context(|| format!("cannot read {name}"))?;
        // What is not text has no lines to check.
        if let Ok(text) = String::from_utf8(bytes) {
            check(name, &text, &mut findings);
        }
    }
    if !findings.is_empty() {
        bail!("the tree is not tidy:\n  {}", findings.join("\n  "));
    }
    println!("all tracked files are tidy");
    Ok(())
}

fn check(name: &str, text: &str, findings: &mut Vec<String>) {
    // Cargo writes it, registry address included.
    if name == "Cargo.lock" {
        return;
    }
    let rust = Path::new(name).extension().is_some_and(|extension| extension == "rs");
    let count = text.lines().count();
    if rust && count > LINES_MAX {
        findings.push(format!("{name}: {count} lines, at most {LINES_MAX} are allowed"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        let leftover = if rust { leftover(line) } else { None };
        if let Some(finding) = leftover.or_else(|| machine_path(line)).or_else(|| registry(line)) {
            findings.push(format!("{name}:{number}: {finding}"));
        }
    }
}

fn leftover(line: &str) -> Option<String> {
    let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
    let mut markers = words.filter(|word| MARKERS.contains(word));
    let mut macros = LEFTOVERS.into_iter().filter(|pattern| line.contains(pattern));
    markers.next().or_else(|| macros.next()).map(|found| format!("`{found}` left behind"))
}

fn machine_path(line: &str) -> Option<String> {
    let found = MACHINE_PATHS.iter().find(|pattern| line.contains(*pattern))?;
    Some(format!("`{found}` is a path of somebody's machine"))
}

fn registry(line: &str) -> Option<String> {
    let hosts = line.split("://").skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != '-');
        &rest[..end.unwrap_or(rest.len())]
    });
    let mut known = hosts.filter(|host| REGISTRIES.iter().any(|domain| host.ends_with(domain)));
    known.next().map(|host| format!("`{host}` is the host of a package registry"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(name: &str, text: &str) -> Vec<String> {
        let mut findings = Vec::new();
        check(name, text, &mut findings);
        findings
    }

    #[test]
    fn markers_count_as_whole_words_in_rust_only() {
        let line = format!("fn f() {{}} // {}: later", MARKERS[0]);
        assert_eq!(findings("a.rs", &line).len(), 1);
        assert_eq!(findings("a.md", &line).len(), 0);
        assert_eq!(findings("a.rs", &format!("let s = \"{}Y\";", MARKERS[2])).len(), 0);
    }

    #[test]
    fn leftover_macros_are_found() {
        for pattern in LEFTOVERS {
            assert_eq!(findings("a.rs", &format!("    {pattern}x);")).len(), 1);
        }
    }

    #[test]
    fn paths_and_hosts_are_found_in_any_text() {
        let path = format!("see {}main", MACHINE_PATHS[0]);
        assert_eq!(findings("a.toml", &path).len(), 1);
        let host = format!("get it from https{}deb.debian.org/debian", "://");
        assert_eq!(
            findings("a.md", &host),
            ["a.md:1: `deb.debian.org` is the host of a package registry"]
        );
        assert_eq!(findings("Cargo.lock", &host).len(), 0);
        assert_eq!(findings("a.md", "as published on crates.io").len(), 0);
    }

    #[test]
    fn the_line_limit_is_for_rust_files() {
        let long = "\n".repeat(LINES_MAX + 1);
        assert_eq!(findings("a.rs", &long).len(), 1);
        assert_eq!(findings("a.md", &long).len(), 0);
        assert_eq!(findings("a.rs", &long[1..]).len(), 0);
    }
}
