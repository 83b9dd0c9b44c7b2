//! Finds the XDP objects that `cargo xtask build` has made, so that the program can carry them.
//!
//! Without them the program builds all the same, runs on sockets, and says so when asked for XDP:
//! a plain `cargo build` must not need the eBPF toolchain.

use std::env;
use std::path::Path;

/// Where below the target folder the objects lie, and by which variables the program finds them.
const OBJECTS: [(&str, &str); 2] =
    [("bpf/xdtls-datapath.o", "XDTLS_XDP_OBJECT"), ("bpf/xdtls-inside.o", "XDTLS_INSIDE_OBJECT")];

fn main() {
    println!("cargo:rustc-check-cfg=cfg(xdp_object)");
    let Some(out_dir) = env::var_os("OUT_DIR") else { return };
    // OUT_DIR is <target>/<profile>/build/<package>/out.
    let Some(target) = Path::new(&out_dir).ancestors().nth(4) else { return };
    let objects = OBJECTS.map(|(place, variable)| (target.join(place), variable));
    for (object, variable) in &objects {
        println!("cargo:rerun-if-changed={}", object.display());
        println!("cargo:rustc-env={variable}={}", object.display());
    }
    if objects.iter().all(|(object, _)| object.exists()) {
        println!("cargo:rustc-cfg=xdp_object");
    }
}
