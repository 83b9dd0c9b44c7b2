//! The commands that look before anything starts: `check` and `doctor`.

use std::path::PathBuf;

use clap::Args;

/// `xdtls check`
#[derive(Args, Clone, Debug)]
#[command(after_help = CHECK_EXAMPLES)]
pub struct Check {
    /// Configuration file of a gateway
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,

    /// Print JSON, for programs
    #[arg(long)]
    pub json: bool,
}

const CHECK_EXAMPLES: &str = "\
Reads what the gateway would read, certificates and keys too, and asks the kernel for addresses and
routes. Sends nothing and may run beside a gateway. Run it as the gateway's user, on its host.
Problems end with exit code 3; warnings alone with 0.

Examples:
  xdtls check --config /etc/xdtls/gateway.toml
  xdtls check --config gateway.toml --json | jq .findings";

/// `xdtls doctor`
#[derive(Args, Clone, Debug)]
#[command(after_help = DOCTOR_EXAMPLES)]
pub struct Doctor {
    /// Network interface that a gateway's packets come in through
    #[arg(value_name = "INTERFACE")]
    pub interface: String,

    /// Print JSON, for programs
    #[arg(long)]
    pub json: bool,
}

const DOCTOR_EXAMPLES: &str = "\
Looks at the kernel, this process's privileges, and the interface; each finding that is not ok comes
with a remedy. Changes nothing: the XDP program is loaded, for a moment, but attached nowhere. Run it
as the gateway will run, usually as root. Problems end with exit code 3; warnings alone with 0.

Examples:
  sudo xdtls doctor eth0
  sudo xdtls doctor eth0 --json | jq '.findings[] | select(.severity != \"ok\")'";
