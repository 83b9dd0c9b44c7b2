//! A short soak. `cargo xtask soak` is the long one, with faults that clients need 30 s to notice.

use std::time::Duration;

use anyhow::{Result, ensure};
use xdtls_tests::Lab;
use xdtls_tests::soak::{Plan, run};

/// ```text
///   traffic, churn and faults together: see xdtls_tests::soak
/// ```
pub(crate) fn traffic_churn_and_faults_together(lab: &Lab) -> Result<()> {
    let plan = Plan { duration: Duration::from_secs(20), seed: 1, thorough: false };
    let mut told = Vec::new();
    let report = run(lab, &plan, &|| false, &mut |line| told.push(line.to_owned()))?;
    ensure!(report.ok, "{}\n{report}", told.join("\n"));
    ensure!(report.faults.len() >= 5 && report.visits > 0 && report.handshakes > 10, "{report}");
    Ok(())
}
