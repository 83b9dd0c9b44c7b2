//! Whether this machine lets us build a lab.

use anyhow::Result;

use crate::netns::Netns;
use crate::veth::Veth;

/// Why no lab can be built here, as one sentence for a SKIP line; `None` if it can.
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("network namespaces need root".to_owned());
    }
    for (program, package) in [("ip", "iproute2"), ("setpriv", "util-linux")] {
        if std::process::Command::new(program).arg("--version").output().is_err() {
            return Some(format!("the program {program} (package {package}) is not installed"));
        }
    }
    // A container's root may lack the capabilities, a small kernel the veth driver.
    let reason = format!("{:#}", attempt().err()?);
    Some(reason.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn attempt() -> Result<()> {
    let (left, right) = (Netns::new("check")?, Netns::new("check")?);
    Veth::pair(&left, "left", "192.0.2.1/24", &right, "right", "192.0.2.2/24", 1)?;
    Ok(())
}
