//! `xdtls check`: everything that a gateway would find wrong with its configuration at its start or
//! later, without starting anything.
//!
//! `facts` looks at files and at the machine; the other modules judge what was seen and touch
//! nothing.

use std::path::Path;

use crate::config::{Config, ConfigErrors};
use crate::finding::Findings;

mod certificates;
mod clients;
mod facts;
mod forwarding;
mod names;
mod network;
mod peers;

pub use facts::Facts;

/// Loads and judges the configuration in `file`.
pub async fn run(file: &Path) -> Findings {
    match Config::load(file) {
        Ok(config) => {
            let facts = Facts::gather(&config).await;
            judge(&config, &facts)
        }
        Err(errors) => unusable(&errors),
    }
}

/// Judges a configuration that was read, in the light of what was seen.
#[must_use]
pub fn judge(config: &Config, facts: &Facts) -> Findings {
    let mut findings = Findings::default();
    findings.ok("configuration", "every table and key is understood");
    findings.append(certificates::judge(config, facts));
    findings.append(names::judge(config, facts));
    findings.append(clients::judge(config, facts));
    findings.append(network::judge(config, facts));
    findings.append(forwarding::judge(config, facts));
    findings.append(peers::judge(config, facts));
    findings
}

/// What cannot be read cannot be judged any further.
fn unusable(errors: &ConfigErrors) -> Findings {
    let mut findings = Findings::default();
    for error in &errors.0 {
        let line = error.line.map_or_else(String::new, |line| format!(":{line}"));
        let subject = format!("{}{line}", error.file.display());
        let (wrong, remedy) = error.problem.wrong_and_remedy();
        findings.problem(subject, wrong, remedy);
    }
    findings
}

#[cfg(test)]
mod tests;
