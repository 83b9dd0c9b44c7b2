//! The program `xdtls`.
fn main() {}
