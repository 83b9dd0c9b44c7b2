//! What runs inside the lab's guest.

use anyhow::Result;
use clap::Args;

use crate::lab::driver::Driver;

/// Tries xdtls on this machine's two cards.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// The cards that there are
    #[arg(long, value_enum)]
    pub driver: Driver,
}

/// Tries everything and reports on standard output.
pub fn run(options: &Options) -> Result<()> {
    println!("hello {:?}", options.driver);
    Ok(())
}
