//! An XDP program that lets everything pass.
//!
//! On veth, what one end sends by XDP (`XDP_TX`, redirects) is lost in silence unless the other end
//! has an XDP program, whatever it does. Drivers of hardware want nothing of the kind.

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use aya::programs::Xdp;
use aya::programs::xdp::XdpMode;
use aya::{Ebpf, EbpfLoader};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::netns::MOUNTS;

/// The program, attached for as long as this lives.
#[derive(Debug)]
pub struct XdpPass {
    _ebpf: Ebpf,
}

impl XdpPass {
    /// Attaches it, in the driver, to an interface of a namespace.
    pub(crate) fn attach(netns: &str, interface: &str) -> Result<Self> {
        let file = File::open(Path::new(MOUNTS).join(netns))?;
        let (object, interface) = (object()?, interface.to_owned());
        // The thread that goes there must not come back.
        let attach = move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            load(&object, &interface)
        };
        let attached = std::thread::spawn(attach).join();
        attached.map_err(|_| anyhow!("attaching panicked"))?.context("the XDP program that passes")
    }
}

/// The gateway's own program passes everything as long as nobody has told it its port.
fn load(object: &[u8], interface: &str) -> Result<XdpPass> {
    let mut loader = EbpfLoader::new();
    for map in ["TAGS", "ASSOCIATIONS", "SOCKETS"] {
        loader.map_max_entries(map, 1);
    }
    let mut ebpf = loader.load(object)?;
    let program: &mut Xdp = ebpf.program_mut("xdtls").context("no such program")?.try_into()?;
    program.load()?;
    program.attach(interface, XdpMode::Driver)?;
    Ok(XdpPass { _ebpf: ebpf })
}

/// The object lies in `bpf` of the target directory, above whatever runs.
fn object() -> Result<Vec<u8>> {
    let own = std::env::current_exe()?;
    let mut places = own.ancestors().skip(1).map(|folder| folder.join("bpf/xdtls-datapath.o"));
    let found: Option<PathBuf> = places.find(|path| path.is_file());
    Ok(fs::read(found.context("there is no eBPF object: `cargo xtask build` makes it")?)?)
}
