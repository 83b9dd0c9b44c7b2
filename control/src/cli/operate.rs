//! The commands that look into a running node and steer it.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::association_id;

/// Whom to ask, and how to print the answer.
#[derive(Args, Clone, Debug)]
pub struct Asked {
    /// Admin socket of the running gateway or client
    #[arg(long, value_name = "PATH", global = true, default_value = "/run/xdtls/admin.sock")]
    pub socket: PathBuf,

    /// Print JSON, for programs
    #[arg(long, global = true)]
    pub json: bool,
}

/// `xdtls status`
#[derive(Args, Clone, Debug)]
#[command(after_help = STATUS_EXAMPLES)]
pub struct Status {
    /// Whom to ask.
    #[command(flatten)]
    pub asked: Asked,
}

const STATUS_EXAMPLES: &str = "\
Examples:
  xdtls status
  xdtls status --socket client.sock
  xdtls status --json | jq .associations";

/// `xdtls associations`
#[derive(Args, Clone, Debug)]
#[command(after_help = ASSOCIATIONS_EXAMPLES)]
pub struct Associations {
    /// What to do; without it, list.
    #[command(subcommand)]
    pub action: Option<AssociationsAction>,

    /// Whom to ask.
    #[command(flatten)]
    pub asked: Asked,
}

/// What to do with associations.
#[derive(Clone, Debug, Subcommand)]
pub enum AssociationsAction {
    /// List associations, by id [default]
    List {
        /// How many to list, at most 1000
        #[arg(
            long,
            value_name = "COUNT",
            default_value_t = DEFAULT_LIMIT,
            value_parser = clap::value_parser!(u16).range(1..=1000)
        )]
        limit: u16,

        /// List those behind this id: the next page
        #[arg(long, value_name = "ID", value_parser = association_id)]
        after: Option<u32>,
    },
    /// Show all that is known of one association
    Show {
        /// Id as `list` shows it
        #[arg(value_name = "ID", value_parser = association_id)]
        id: u32,
    },
    /// Close an association; its peer is told
    Close {
        /// Id as `list` shows it
        #[arg(value_name = "ID", value_parser = association_id)]
        id: u32,
    },
}

/// Associations on a page, unless asked otherwise.
pub const DEFAULT_LIMIT: u16 = 100;

const ASSOCIATIONS_EXAMPLES: &str = "\
Examples:
  xdtls associations
  xdtls associations list --limit 20 --after 000301f4
  xdtls associations show 000301f4
  xdtls associations close 000301f4";

/// `xdtls drops`
#[derive(Args, Clone, Debug)]
#[command(after_help = DROPS_EXAMPLES)]
pub struct Drops {
    /// Whom to ask.
    #[command(flatten)]
    pub asked: Asked,
}

const DROPS_EXAMPLES: &str = "\
Only reasons that have occurred since the start are listed; docs/drops.md explains all of them.

Examples:
  xdtls drops
  xdtls drops --json";

/// `xdtls reload`
#[derive(Args, Clone, Debug)]
#[command(after_help = RELOAD_EXAMPLES)]
pub struct Reload {
    /// Whom to ask.
    #[command(flatten)]
    pub asked: Asked,
}

const RELOAD_EXAMPLES: &str = "\
The configuration file is checked as at the start. If anything is wrong with it, or with a
certificate or key that it names, nothing changes and the faults are printed. Associations and
handshakes under way go on undisturbed. SIGHUP does the same and logs the outcome.

Examples:
  xdtls reload
  xdtls reload --socket /run/xdtls/admin.sock";
