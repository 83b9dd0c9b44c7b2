//! An XDP program in the kernel: loaded from its object, given AF_XDP sockets, attached.

use std::os::fd::{AsRawFd, BorrowedFd};

use aya::maps::{Map, MapData, MapError, XskMap};
use aya::programs::{ProgramError, Xdp, xdp};
use aya::{Ebpf, EbpfError, EbpfLoader};
use thiserror::Error;
use tracing::debug;
use xdtls_common::access::PREFIXES_MAX;

use super::interface::Interface;
use super::options::XdpMode;

/// Why XDP cannot be had.
#[derive(Debug, Error)]
pub enum XdpError {
    /// The program was built by plain cargo.
    #[error("this xdtls carries no XDP program: build it with `cargo xtask build`")]
    NoObject,
    /// The kernel forbids it.
    #[error("the kernel does not permit XDP: {gate}")]
    NotPermitted {
        /// What is missing.
        gate: String,
    },
    /// Another program is attached.
    #[error(
        "{interface} has an XDP program already (id {id}): detach it, for instance with \
         `ip link set dev {interface} xdp off`, or choose another interface"
    )]
    Occupied {
        /// The interface.
        interface: String,
        /// The kernel's id of the program.
        id: u32,
    },
    /// The driver runs no XDP programs and native mode is required.
    #[error("{interface}: the driver cannot run XDP in {mode} mode: {source}")]
    Mode {
        /// The interface.
        interface: String,
        /// The mode that was tried last.
        mode: &'static str,
        /// What the kernel said.
        source: ProgramError,
    },
    /// The object does not load.
    #[error("the XDP program does not load")]
    Load(#[from] EbpfError),
    /// The verifier, or another step of loading, refuses.
    #[error("the XDP program does not load")]
    Program(#[from] ProgramError),
    /// A map is not what it should be.
    #[error("the XDP program's map {0} cannot be used: {1}")]
    Map(&'static str, MapError),
    /// The lists of sources are too long.
    #[error("{0} prefixes are more than the {max} that a list may have", max = PREFIXES_MAX)]
    TooManyPrefixes(usize),
    /// The object lacks a part.
    #[error("the XDP object has no {0}")]
    Missing(&'static str),
}

/// A program that steers to AF_XDP sockets; it detaches when this is dropped, or when the process
/// ends in any way.
pub(super) struct XdpProgram {
    ebpf: Ebpf,
    name: &'static str,
    sockets: XskMap<MapData>,
}

impl XdpProgram {
    /// Loads the program `name` of an object that has a map `SOCKETS`; it steers nothing before it
    /// is attached.
    pub(super) fn load(
        loader: &mut EbpfLoader<'_>,
        object: &[u8],
        name: &'static str,
    ) -> Result<Self, XdpError> {
        if object.is_empty() {
            return Err(XdpError::NoObject);
        }
        let mut ebpf = loader.load(object).map_err(not_permitted_or)?;
        program(&mut ebpf, name)?.load().map_err(refused)?;
        let sockets = take(&mut ebpf, "SOCKETS", XskMap::try_from)?;
        Ok(Self { ebpf, name, sockets })
    }

    /// Takes one of its maps; there is one who may.
    pub(super) fn map<T>(
        &mut self,
        name: &'static str,
        convert: impl FnOnce(Map) -> Result<T, MapError>,
    ) -> Result<T, XdpError> {
        take(&mut self.ebpf, name, convert)
    }

    /// Gives it the workers' sockets by their index in the map, attaches it and says in which mode
    /// it runs.
    pub(super) fn steer_to<'a>(
        &mut self,
        sockets: impl IntoIterator<Item = (u32, BorrowedFd<'a>)>,
        interface: &Interface,
        mode: XdpMode,
    ) -> Result<&'static str, XdpError> {
        for (index, socket) in sockets {
            let set = self.sockets.set(index, socket.as_raw_fd(), 0);
            set.map_err(|error| XdpError::Map("SOCKETS", error))?;
        }
        self.attach(interface, mode)
    }

    fn attach(&mut self, interface: &Interface, mode: XdpMode) -> Result<&'static str, XdpError> {
        let modes: &[_] = match mode {
            XdpMode::Native => &[(xdp::XdpMode::Driver, "native")],
            XdpMode::Generic => &[(xdp::XdpMode::Skb, "generic")],
            XdpMode::Auto => &[(xdp::XdpMode::Driver, "native"), (xdp::XdpMode::Skb, "generic")],
        };
        let program = program(&mut self.ebpf, self.name)?;
        let mut refused = None;
        for (kernel_mode, name) in modes {
            match program.attach_to_if_index(interface.index, *kernel_mode) {
                Ok(_) => return Ok(name),
                Err(source) => {
                    debug!(%source, "cannot attach in {name} mode");
                    let interface = interface.name.clone();
                    refused = Some(XdpError::Mode { interface, mode: name, source });
                }
            }
        }
        Err(refused.unwrap_or(XdpError::Missing("mode")))
    }
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> Result<&'a mut Xdp, XdpError> {
    Ok(ebpf.program_mut(name).ok_or(XdpError::Missing("program"))?.try_into()?)
}

fn take<T>(
    ebpf: &mut Ebpf,
    name: &'static str,
    convert: impl FnOnce(Map) -> Result<T, MapError>,
) -> Result<T, XdpError> {
    let map = ebpf.take_map(name).ok_or(XdpError::Missing(name))?;
    convert(map).map_err(|error| XdpError::Map(name, error))
}

/// Names the gate that is closed where the kernel only says EPERM.
fn not_permitted_or(error: EbpfError) -> XdpError {
    let mut causes = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
    let forbidden = |text: String| {
        text.contains("Operation not permitted") || text.contains("Permission denied")
    };
    if causes.any(|cause| forbidden(cause.to_string())) {
        return XdpError::NotPermitted { gate: super::gate::closed() };
    }
    XdpError::Load(error)
}

/// The verifier refuses with the same code what is wrong and what is forbidden: only a capability
/// that is missing tells which.
fn refused(error: ProgramError) -> XdpError {
    match super::gate::missing() {
        Some(gate) => XdpError::NotPermitted { gate },
        None => XdpError::Program(error),
    }
}
