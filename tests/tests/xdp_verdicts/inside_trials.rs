//! The inside's program: which frames it hands to whom, in the kernel and on the host.

use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use aya::maps::{HashMap, XskMap};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use libtest_mimic::Failed;
use socket2::{Domain, Socket, Type};
use xdtls_common::cursor::SliceCursor;
use xdtls_common::flow::{FlowKey, FlowTable, InsideValue, steer};

use crate::fixture::{PORT, SHARDS};
use crate::frames::{Family, Frame};
use crate::kernel::{AF_XDP, action};
use crate::object;
use crate::trials::{damage, mismatch, report, xorshift};

/// The longest frame that a socket takes here.
const FRAME_MAX: u32 = 1792;

/// Damaged copies of the table's frames that kernel and host are compared on.
const DAMAGED: usize = 20_000;

/// The flows that are open, and their shards. The backends are where [`Frame`]s come from.
fn flows() -> Vec<(FlowKey, u32)> {
    let flow = |local: &str, backend: &str, shard| {
        let local = SocketAddr::new(local.parse().expect("an address"), PORT);
        (FlowKey::new(local, backend.parse().expect("an address")), shard)
    };
    vec![
        flow("192.0.2.2", "192.0.2.1:40000", 0),
        flow("fd00::2", "[fd00::1]:40000", 1),
        flow("192.0.2.2", "192.0.2.1:40001", 1),
        flow("192.0.2.2", "192.0.2.3:40000", 1),
    ]
}

struct HostFlows(Vec<(FlowKey, u32)>);

impl FlowTable for HostFlows {
    fn shard(&self, flow: &FlowKey) -> Option<u32> {
        self.0.iter().find(|(known, _)| known == flow).map(|(_, shard)| *shard)
    }
}

fn config() -> InsideValue {
    InsideValue::new(SHARDS, FRAME_MAX)
}

/// Frames, and the shard that gets each; `None` is the kernel.
fn cases() -> Vec<(&'static str, Vec<u8>, Option<u32>)> {
    let v4 = || Frame::new(Family::V4, vec![7; 100]);
    let v6 = || Frame::new(Family::V6, vec![7; 100]);
    let empty = Frame::new(Family::V4, Vec::new());
    let longest = FRAME_MAX as usize - 42;
    vec![
        ("a datagram of the backend", v4().encode(), Some(0)),
        ("the same over IPv6", v6().encode(), Some(1)),
        ("an empty datagram", empty.encode(), Some(0)),
        ("behind padding", Frame { padding: vec![0; 9], ..empty.clone() }.encode(), Some(0)),
        ("to another port", Frame { port: PORT + 1, ..v4() }.encode(), None),
        ("to another port over IPv6", Frame { port: PORT + 1, ..v6() }.encode(), None),
        ("through a VLAN", Frame { tags: vec![[0x8100, 5]], ..v4() }.encode(), None),
        ("with IPv4 options", Frame { options: vec![1; 4], ..v4() }.encode(), None),
        ("a first fragment", Frame { fragment: 0x2000, ..v4() }.encode(), None),
        ("a later fragment", Frame { fragment: 0x0010, ..v4() }.encode(), None),
        ("TCP", Frame { protocol: 6, ..v4() }.encode(), None),
        ("ARP", Frame { ethertype: Some(0x0806), ..v4() }.encode(), None),
        ("cut short", Frame { ip_length_error: 1, ..v4() }.encode(), None),
        ("the longest that fits", Frame::new(Family::V4, vec![1; longest]).encode(), Some(0)),
        ("one byte more", Frame::new(Family::V4, vec![1; longest + 1]).encode(), None),
    ]
}

fn on_the_host(frame: &[u8]) -> Option<u32> {
    steer(SliceCursor::new(frame), &config(), &HostFlows(flows()))
}

/// The table holds on the host.
pub(crate) fn host() -> Result<(), Failed> {
    let cases = cases();
    report(
        cases.iter().filter_map(|(name, frame, shard)| mismatch(name, shard, &on_the_host(frame))),
    )
}

/// The program in the kernel, with a socket for the first so many shards.
struct Kernel {
    ebpf: Ebpf,
    _sockets: Vec<Socket>,
}

impl Kernel {
    fn load(config: InsideValue, sockets: u32) -> Result<Self, Failed> {
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("FLOWS", 16)
            .map_max_entries("SOCKETS", SHARDS)
            .override_global("CONFIG", bytemuck::bytes_of(&config), true)
            .load_file(object::inside_path())?;
        program(&mut ebpf)?.load().map_err(|error| object::chain(&error))?;
        let map = ebpf.map_mut("FLOWS").ok_or("there is no map FLOWS")?;
        let mut known = HashMap::<_, [u8; size_of::<FlowKey>()], u32>::try_from(map)?;
        for (flow, shard) in flows() {
            known.insert(bytemuck::must_cast_ref(&flow), shard, 0)?;
        }
        let mut map = XskMap::try_from(ebpf.map_mut("SOCKETS").ok_or("there is no map SOCKETS")?)?;
        let mut open = Vec::new();
        for shard in 0..sockets {
            let socket = Socket::new(Domain::from(AF_XDP), Type::RAW, None)?;
            map.set(shard, socket.as_raw_fd(), 0)?;
            open.push(socket);
        }
        Ok(Self { ebpf, _sockets: open })
    }

    fn run(&mut self, frame: &[u8]) -> Result<u32, Failed> {
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() };
        Ok(program(&mut self.ebpf)?.test_run(options)?.return_value)
    }
}

fn program(ebpf: &mut Ebpf) -> Result<&mut Xdp, Failed> {
    Ok(ebpf.program_mut("xdtls_inside").ok_or("there is no program xdtls_inside")?.try_into()?)
}

const fn action_of(shard: Option<u32>) -> u32 {
    if shard.is_some() { action::REDIRECT } else { action::PASS }
}

/// The table holds in the kernel.
pub(crate) fn table() -> Result<(), Failed> {
    let mut kernel = Kernel::load(config(), SHARDS)?;
    let mut mismatches = Vec::new();
    for (name, frame, shard) in cases() {
        mismatches.extend(mismatch(name, &action_of(shard), &kernel.run(&frame)?));
    }
    report(mismatches)
}

/// Whatever a frame is, kernel and host decide alike.
pub(crate) fn damaged() -> Result<(), Failed> {
    let mut kernel = Kernel::load(config(), SHARDS)?;
    let frames: Vec<_> = cases().into_iter().map(|(_, frame, _)| frame).collect();
    let mut random = xorshift(0x9e37_79b9_7f4a_7c15);
    let (mut mismatches, mut redirected) = (Vec::new(), 0);
    for round in 0..DAMAGED {
        let frame = damage(frames[round % frames.len()].clone(), FRAME_MIN, &mut random);
        let shard = on_the_host(&frame);
        redirected += usize::from(shard.is_some());
        let name = format!("{frame:02x?}");
        mismatches.extend(mismatch(&name, &action_of(shard), &kernel.run(&frame)?));
    }
    println!("{redirected} redirected");
    report(mismatches)
}

/// The kernel takes no shorter frame for a test run.
const FRAME_MIN: usize = 14;

/// What no socket can get is the kernel's: everything, where the program was told nothing.
pub(crate) fn fallback() -> Result<(), Failed> {
    let mut mismatches = Vec::new();
    let (mut one, mut unset) = (Kernel::load(config(), 1)?, Kernel::load(InsideValue::UNSET, 1)?);
    for (name, frame, shard) in cases() {
        let expected = action_of(shard.filter(|shard| *shard == 0));
        mismatches.extend(mismatch(name, &expected, &one.run(&frame)?));
        mismatches.extend(mismatch(name, &action::PASS, &unset.run(&frame)?));
    }
    report(mismatches)
}
