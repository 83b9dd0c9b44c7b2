//! `xdtls doctor`: what keeps XDP from an interface, or slows it down.
//!
//! [`Facts`] are gathered without changing anything; [`judge`] is a function of them alone.

use crate::finding::Findings;

mod ethtool;
mod facts;
mod interface;
mod machine;
mod netdev;

pub use facts::{Facts, Link, Load};

/// Looks at the machine and at the interface called `name`, and judges both.
pub async fn run(name: &str) -> Findings {
    judge(name, &Facts::gather(name).await)
}

/// Judges what was seen.
#[must_use]
pub fn judge(name: &str, facts: &Facts) -> Findings {
    let mut findings = Findings::default();
    machine::judge(facts, &mut findings);
    match &facts.link {
        Ok(link) => interface::judge(facts, link, &mut findings),
        Err(error) => findings.problem(name, error, "`ip link` lists the interfaces there are"),
    }
    findings
}

#[cfg(test)]
mod tests;
