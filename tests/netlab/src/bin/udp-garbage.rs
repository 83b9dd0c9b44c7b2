//! See [`xdtls_netlab::garbage`].
#![forbid(unsafe_code)]

use clap::Parser;
use xdtls_netlab::garbage::{Options, run};

fn main() -> anyhow::Result<()> {
    run(&Options::parse())
}
