//! A client of ours on sockets, for local programs of whoever measures.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use xdtls_netlab::Process;

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts `xdtls`, which is the command's program, as a client of `gateway` that takes datagrams at
/// `local`; `file` says where certificates for development are.
pub(crate) fn start(
    mut xdtls: Command,
    (gateway, local): (&str, &str),
    file: impl Fn(&str) -> PathBuf,
) -> Result<Process> {
    xdtls.args(["connect", "--gateway", gateway, "--server-name", "gateway"]);
    xdtls.args(["--listen", local, "--datapath", "socket"]).env("NO_COLOR", "1");
    for (option, name) in
        [("--certificate", "client.pem"), ("--key", "client.key"), ("--ca", "ca.pem")]
    {
        xdtls.arg(option).arg(file(name));
    }
    let client = Process::spawn("xdtls connect", xdtls)?;
    client.wait_for_line("ready", PATIENCE)?;
    Ok(client)
}
