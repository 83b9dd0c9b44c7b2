//! See [`xdtls_netlab::echo`].
#![forbid(unsafe_code)]

use clap::Parser;
use xdtls_netlab::echo::{Options, run};

fn main() -> anyhow::Result<()> {
    run(&Options::parse())
}
