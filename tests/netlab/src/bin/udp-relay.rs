//! See [`xdtls_netlab::relay`].
#![forbid(unsafe_code)]

use clap::Parser;
use xdtls_netlab::relay::{Options, run};

fn main() -> anyhow::Result<()> {
    run(&Options::parse())
}
