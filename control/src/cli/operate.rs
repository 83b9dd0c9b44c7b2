//! The commands that look into a running node and steer it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::association_id;
use crate::config::duration;
use crate::trace::Filter;

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
    /// List associations, by id; the default
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
certificate, key or CRL that it names, nothing changes and the faults are printed. Associations
whose peers are not admitted any more are closed; the others and handshakes under way go on
undisturbed. SIGHUP does the same and logs the outcome.

Examples:
  xdtls reload
  xdtls reload --socket /run/xdtls/admin.sock";

/// `xdtls trace`
#[derive(Args, Clone, Debug)]
#[command(after_help = TRACE_EXAMPLES)]
pub struct Trace {
    /// Association id, address, or address and port of the peer
    #[arg(value_name = "ID|ADDRESS[:PORT]", value_parser = whom)]
    pub whom: Filter,

    /// End after so many lines
    #[arg(long, value_name = "COUNT", default_value_t = usize::MAX, hide_default_value = true)]
    pub count: usize,

    /// End after so much time
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = trace_time)]
    pub time: Duration,

    /// Whom to ask.
    #[command(flatten)]
    pub asked: Asked,
}

const TRACE_EXAMPLES: &str = "\
One line for each datagram in each place that decides on it, which is the XDP program (`xdp`), a
worker or a handshake thread: its ids, behind XDP its records too, and what was decided, without
payload. What comes faster than it can be shown is counted instead.

Examples:
  xdtls trace 000301f4
  xdtls trace 192.0.2.7 --time 30s
  xdtls trace [2001:db8::7]:40000 --count 20 --json";

fn whom(text: &str) -> Result<Filter, String> {
    let host = || text.parse().map(Filter::Host).ok();
    let peer = || text.parse().map(Filter::Peer).ok();
    let id = || association_id(text).map(Filter::Id).ok();
    host().or_else(peer).or_else(id).ok_or_else(|| {
        "write an id such as 000301f4, an address, or an address and port".to_owned()
    })
}

fn trace_time(text: &str) -> Result<Duration, String> {
    duration::parse(text).map_err(|error| error.to_string())
}
