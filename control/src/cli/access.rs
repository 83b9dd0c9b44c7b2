//! `xdtls allow` and `xdtls deny`.

use clap::{Args, Subcommand};
use ipnet::IpNet;

use super::Asked;
use crate::access::parse_prefix;
use crate::admin::AccessChange;

const EXAMPLES: &str = "\
Prints the list as it is then. A change is in force at once and lasts until the gateway ends;
[access] of the configuration is what it starts with. Who is denied stays so even if allowed.

Examples:
  xdtls deny add 192.0.2.0/24
  xdtls allow list";

/// `xdtls allow` and `xdtls deny`
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Access {
    /// Whom to ask.
    #[command(flatten)]
    pub asked: Asked,

    /// What to do with the list.
    #[command(subcommand)]
    pub action: AccessAction,
}

/// What `xdtls allow` and `xdtls deny` do.
#[derive(Clone, Copy, Debug, Subcommand)]
pub enum AccessAction {
    /// Put a prefix or address on the list
    Add {
        /// As in 192.0.2.0/24 or 2001:db8::1
        #[arg(value_name = "PREFIX", value_parser = parse_prefix)]
        prefix: IpNet,
    },
    /// Take a prefix off the list, written as the list has it
    Remove {
        /// As in 192.0.2.0/24 or 2001:db8::1
        #[arg(value_name = "PREFIX", value_parser = parse_prefix)]
        prefix: IpNet,
    },
    /// Show the list
    List,
}

impl From<AccessAction> for AccessChange {
    fn from(action: AccessAction) -> Self {
        match action {
            AccessAction::Add { prefix } => Self::Add(prefix),
            AccessAction::Remove { prefix } => Self::Remove(prefix),
            AccessAction::List => Self::Keep,
        }
    }
}
