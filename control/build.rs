//! Finds the XDP object that `cargo xtask build` has made, so that the program can carry it.
//!
//! Without it the program builds all the same, runs on sockets, and says so when asked for XDP:
//! a plain `cargo build` must not need the eBPF toolchain.

use std::env;
use std::path::{Path, PathBuf};

/// Where below the target folder the object lies.
const OBJECT: &str = "bpf/xdtls-datapath.o";

fn main() {
    println!("cargo:rustc-check-cfg=cfg(xdp_object)");
    let Some(out_dir) = env::var_os("OUT_DIR") else { return };
    // OUT_DIR is <target>/<profile>/build/<package>/out.
    let Some(target) = Path::new(&out_dir).ancestors().nth(4) else { return };
    let object: PathBuf = target.join(OBJECT);
    println!("cargo:rerun-if-changed={}", object.display());
    if object.exists() {
        println!("cargo:rustc-cfg=xdp_object");
        println!("cargo:rustc-env=XDTLS_XDP_OBJECT={}", object.display());
    }
}
