//! Lists of sources, changed while the gateway runs.

use anyhow::Result;
use xdtls_netlab::{capture, program};
use xdtls_tests::{ClientOptions, GatewayConfig, Lab, exchange};

/// `xdtls <list> <action…>` on the gateway.
fn change(lab: &Lab, list: &str, action: &[&str]) -> Result<String> {
    let mut command = std::process::Command::new(program("xdtls")?);
    command.args([list, "--socket"]).arg(lab.folder().join("gateway.sock")).args(action);
    capture(&mut command)
}

/// ```text
///   xdtls connect ═══ xdtls gateway ─── udp-echo
///                     xdtls deny add 10.1.0.1, and remove
/// ```
pub(crate) fn a_denied_source_is_cut_off_at_once(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = GatewayConfig::forward_to(lab.backend_address(9000)).start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    exchange(&program, b"before")?;
    let address = lab.client_address().to_string();
    let prefix = format!("{address}/32\n");
    anyhow::ensure!(change(lab, "deny", &["add", &address])? == prefix);
    program.send(b"denied")?;
    gateway.wait_until("a drop", |status| status.dropped("access_denied") > 0)?;
    anyhow::ensure!(change(lab, "deny", &["remove", &address])?.is_empty());
    exchange(&program, b"after")?;
    anyhow::ensure!(change(lab, "allow", &["add", "192.0.2.0/24"])? == "192.0.2.0/24\n");
    let before = gateway.status()?.dropped("access_denied");
    program.send(b"not allowed")?;
    gateway.wait_until("a drop", |status| status.dropped("access_denied") > before)?;
    anyhow::ensure!(change(lab, "allow", &["add", &address])?.contains(&prefix));
    exchange(&program, b"allowed")
}
