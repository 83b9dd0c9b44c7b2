//! What `xdtls check` and `xdtls doctor` find: a list of findings, as lines for people or as JSON.

use std::fmt;

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Ok,
    /// It works, but not as well or not for as long as one would like.
    Warning,
    /// It will not work.
    Problem,
}

/// One thing that was looked at.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What was looked at, in a word or two.
    pub subject: String,
    /// What was seen.
    pub seen: String,
    /// What to do, unless all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Everything that was looked at, in the order of looking.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Findings {
    list: Vec<Finding>,
}

impl Findings {
    /// Something is as it should be.
    pub fn ok(&mut self, subject: impl Into<String>, seen: impl Into<String>) {
        self.add(Severity::Ok, subject, seen, None);
    }

    /// Something works, but could be better.
    pub fn warning(
        &mut self,
        subject: impl Into<String>,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Severity::Warning, subject, seen, Some(remedy.into()));
    }

    /// Something will not work.
    pub fn problem(
        &mut self,
        subject: impl Into<String>,
        seen: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Severity::Problem, subject, seen, Some(remedy.into()));
    }

    fn add(
        &mut self,
        severity: Severity,
        subject: impl Into<String>,
        seen: impl Into<String>,
        remedy: Option<String>,
    ) {
        self.list.push(Finding { severity, subject: subject.into(), seen: seen.into(), remedy });
    }

    /// Adds what somebody else has found.
    pub fn append(&mut self, mut other: Self) {
        self.list.append(&mut other.list);
    }

    /// All findings.
    #[must_use]
    pub fn list(&self) -> &[Finding] {
        &self.list
    }

    /// How many are this bad.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        self.list.iter().filter(|finding| finding.severity == severity).count()
    }

    /// One JSON object: `problems`, `warnings`, and all `findings`.
    #[must_use]
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::json!({
            "problems": self.count(Severity::Problem),
            "warnings": self.count(Severity::Warning),
            "findings": self.list,
        })
    }
}

/// Lines for people: each finding, its remedy below it, and the sum at the end.
impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Finding { severity, subject, seen, remedy } in &self.list {
            let severity = match severity {
                Severity::Ok => "ok",
                Severity::Warning => "WARNING",
                Severity::Problem => "PROBLEM",
            };
            writeln!(f, "{severity:<8} {subject}: {seen}")?;
            if let Some(remedy) = remedy {
                writeln!(f, "{:<8} -> {remedy}", "")?;
            }
        }
        let count = |severity, one: &str, many: &str| match self.count(severity) {
            0 => format!("no {many}"),
            1 => format!("1 {one}"),
            several => format!("{several} {many}"),
        };
        let problems = count(Severity::Problem, "problem", "problems");
        writeln!(f, "{problems}, {}", count(Severity::Warning, "warning", "warnings"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Findings {
        let mut findings = Findings::default();
        findings.ok("key", "fits");
        findings.warning("certificate", "ends in 3 days", "renew it");
        findings.problem("backend", "no route", "add one");
        findings
    }

    #[test]
    fn people_read_lines() {
        let text = "\
ok       key: fits
WARNING  certificate: ends in 3 days
         -> renew it
PROBLEM  backend: no route
         -> add one
1 problem, 1 warning
";
        assert_eq!(findings().to_string(), text);
        assert_eq!(Findings::default().to_string(), "no problems, no warnings\n");
    }

    #[test]
    fn programs_read_json() {
        let json = findings().to_json();
        assert_eq!((json["problems"].as_u64(), json["warnings"].as_u64()), (Some(1), Some(1)));
        let fine = serde_json::json!({"severity": "ok", "subject": "key", "seen": "fits"});
        assert_eq!(json["findings"][0], fine);
        assert_eq!(json["findings"][2]["remedy"], "add one");
    }
}
