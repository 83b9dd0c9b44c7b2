//! The gateway's XDP program and what it is compared with: loaded, told of the same associations,
//! and run on the same frame.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::AsRawFd;

use anyhow::{Context, Result, ensure};
use aya::maps::{Array, HashMap, MapData, PerCpuArray, PerCpuValues, ProgramArray, XskMap};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use aya::util::nr_cpus;
use aya::{Ebpf, EbpfLoader};
use socket2::{Domain, Socket, Type};
use xdtls_bench_plan::steer::{Draw, Held, PEER, PORT, prefix};
use xdtls_bench_plan::{PAYLOAD_AT, PREFIX_LEN, UDP_AT};
use xdtls_common::front::{FrontLimits, FrontValue};
use xdtls_common::id::{IdLayout, LocalId};
use xdtls_common::map::{AssociationValue, BLOCK_SLOTS, ConfigValue, Tag, TagBlock};
use xdtls_common::verdict::{Entry, Phase};

use crate::generator::{gateway_object, object, program, take};
use crate::kind::{Kind, Route, Script, Shape, plan};
use crate::process_cost::on_the_clock;

/// The generation of all ids.
const GENERATION: u32 = 0x5a5;

/// Room beyond all associations: an LRU map lets some go before it is full.
const LRU_SPARE: u32 = 4_096;

/// Bytes of a datagram's record.
const RECORD: usize = 64;

/// The address family of AF_XDP, for which socket2 has no name.
const AF_XDP: i32 = 44;

/// Actions of XDP by their numbers.
const DROP: u32 = 1;
const PASS: u32 = 2;
const REDIRECT: u32 = 4;

/// What becomes of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// Nothing.
    Empty,
    /// The receiver id is read.
    Parse,
    /// It is looked up in an array.
    ParseArray,
    /// It is looked up in an array and the frame is redirected.
    ParseArrayRedirect,
    /// It is looked up in a hash map.
    ParseHash,
    /// It is looked up in an LRU hash map.
    ParseLru,
    /// All that the gateway's program does.
    Live,
}

impl Contender {
    /// All of them, in the order of the tables.
    pub(crate) const ALL: [Self; 7] = [
        Self::Empty,
        Self::Parse,
        Self::ParseArray,
        Self::ParseArrayRedirect,
        Self::ParseHash,
        Self::ParseLru,
        Self::Live,
    ];

    /// Its name in tables and in the JSON object.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Parse => "parse",
            Self::ParseArray => "parse_array",
            Self::ParseArrayRedirect => "parse_array_redirect",
            Self::ParseHash => "parse_hash",
            Self::ParseLru => "parse_lru",
            Self::Live => "live",
        }
    }

    /// Its program's name.
    const fn program(self) -> &'static str {
        match self {
            Self::Empty => "pass",
            Self::Live => "xdtls",
            _ => self.name(),
        }
    }

    /// What it returns if it has done its work.
    const fn action(self) -> u32 {
        match self {
            Self::Empty => PASS,
            Self::ParseArrayRedirect | Self::Live => REDIRECT,
            _ => DROP,
        }
    }
}

/// Where the gateway's program can end before it has found out whose a frame is, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Behind the headers: the datagram is for another port.
    AnotherPort,
    /// Behind the tags: the slot holds no such id.
    UnknownId,
    /// Behind the association: it has another peer.
    WrongPeer,
}

impl End {
    /// All of them.
    pub(crate) const ALL: [Self; 3] = [Self::AnotherPort, Self::UnknownId, Self::WrongPeer];

    /// Its name in tables and in the JSON object.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::AnotherPort => "another_port",
            Self::UnknownId => "unknown_id",
            Self::WrongPeer => "wrong_peer",
        }
    }
}

/// Which association frames are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spread {
    /// All for one.
    Hot,
    /// Each for one drawn at random. That takes a few nanoseconds of its own, and a tail call.
    Random,
}

/// All programs, and the associations that they know.
pub(crate) struct Programs {
    bench: Ebpf,
    gateway: Ebpf,
    draw: PerCpuArray<MapData, [u8; size_of::<Draw>()]>,
    first: u32,
    count: u32,
    frame: Vec<u8>,
    /// The kernel empties it when its last descriptor is closed, though a program still uses it.
    _programs: ProgramArray<MapData>,
    /// Bound to nothing: programs ask only whether there is one, and a test run delivers nothing.
    _socket: Socket,
}

impl Programs {
    /// Loads all of them, with this many associations.
    pub(crate) fn load(count: u32) -> Result<Self> {
        let layout = IdLayout::for_capacity(count, 1).context("so many ids there are not")?;
        let first = layout.id(0, GENERATION).context("0 is no id")?.value();
        let socket = Socket::new(Domain::from(AF_XDP), Type::RAW, None)?;
        let mut gateway = load_gateway(layout, &socket)?;
        let mut bench = load_bench(layout, count, &socket)?;
        let mut programs: ProgramArray<_> = take(&mut bench, "PROGRAMS")?.try_into()?;
        for (index, contender) in (0..).zip(Contender::ALL) {
            let ebpf = if contender == Contender::Live { &mut gateway } else { &mut bench };
            programs.set(index, program(ebpf, contender.program())?.fd()?, 0)?;
        }
        program(&mut bench, "draw")?;
        fill_gateway(&mut gateway, layout, first, count)?;
        fill_bench(&mut bench, first, count)?;
        Ok(Self {
            draw: take(&mut bench, "DRAW")?.try_into()?,
            bench,
            gateway,
            first,
            count,
            frame: frame(first)?,
            _programs: programs,
            _socket: socket,
        })
    }

    /// Makes this the program that sees the frames of [`Spread::Random`].
    pub(crate) fn choose(&mut self, contender: Contender) -> Result<()> {
        let index = Contender::ALL.iter().position(|it| *it == contender);
        let draw = |cpu: usize| Draw {
            state: cpu as u64,
            first: self.first,
            count: self.count,
            program: index.unwrap_or_default() as u32,
            reserved: 0,
        };
        let cpus = nr_cpus().map_err(|(_, error)| error)?;
        let draws: Vec<[u8; size_of::<Draw>()]> =
            (0..cpus).map(|cpu| bytemuck::must_cast(draw(cpu))).collect();
        self.draw.set(0, PerCpuValues::try_from(draws)?, 0)?;
        Ok(())
    }

    /// Nanoseconds that one of `repeat` runs takes, the kernel's own loop included. It runs on the
    /// CPU of whoever calls; what sees random frames has been chosen before.
    pub(crate) fn run(&self, contender: Contender, spread: Spread, repeat: u32) -> Result<f64> {
        let (ebpf, name) = match (spread, contender) {
            (Spread::Random, _) => (&self.bench, "draw"),
            (Spread::Hot, Contender::Live) => (&self.gateway, contender.program()),
            (Spread::Hot, _) => (&self.bench, contender.program()),
        };
        time(ebpf, name, &self.frame, repeat, contender.action())
    }

    /// The same of the gateway's program where it ends so early.
    pub(crate) fn run_to(&self, end: End, repeat: u32) -> Result<f64> {
        let mut frame = self.frame.clone();
        let at = match end {
            End::AnotherPort => UDP_AT + 2,
            End::UnknownId => PAYLOAD_AT + 4,
            End::WrongPeer => PAYLOAD_AT,
        };
        frame[at] ^= 0x40;
        let action = if end == End::AnotherPort { PASS } else { DROP };
        time(&self.gateway, Contender::Live.program(), &frame, repeat, action)
    }
}

/// Nanoseconds a run of a program that is to return `action`.
fn time(ebpf: &Ebpf, name: &str, frame: &[u8], repeat: u32, action: u32) -> Result<f64> {
    let program: &Xdp = ebpf.program(name).context("no such program")?.try_into()?;
    let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::new() };
    // The kernel tells the mean in whole nanoseconds, which is too coarse, and before it begins it
    // waits until all CPUs have taken note of something, which costs time but none of ours.
    let (ran, spent) = on_the_clock(|| program.test_run(options));
    let returned = ran?.return_value;
    ensure!(returned == action, "{name} returns {returned}, {action} was expected");
    Ok(spent.as_nanos() as f64 / f64::from(repeat))
}

/// A datagram with one record for the association in slot 0.
fn frame(first: u32) -> Result<Vec<u8>> {
    let target = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 2), PORT);
    let network = Ipv4Addr::new(198, 18, 0, 0);
    let (destination_mac, source_mac) = ([2; 6], [4; 6]);
    let route = Route { destination_mac, source_mac, target, network, network_bits: 15 };
    let (slot_bits, generation) = (1, 0);
    let shape = Shape { size: RECORD, prefix: true, identities: 1, slot_bits, generation, seed: 1 };
    let Script { plan, frame } = plan(Kind::WrongGeneration, &route, &shape)?;
    let mut frame = frame[..plan.length as usize].to_vec();
    // Nobody under test looks at the checksum.
    frame[PAYLOAD_AT..PAYLOAD_AT + PREFIX_LEN].copy_from_slice(&prefix(first));
    Ok(frame)
}

/// The gateway's program as a gateway on any IPv4 address loads it.
fn load_gateway(layout: IdLayout, socket: &Socket) -> Result<Ebpf> {
    let config = ConfigValue::new(PORT, layout).listening_on(Ipv4Addr::UNSPECIFIED.into());
    let config = config.answering_hellos();
    let limits =
        FrontLimits { replies: 10_000_000, replies_per_source: 10_000, slow_hellos: 1_000 };
    let (front, slots) = (FrontValue::new(limits), 1 << layout.slot_bits());
    let mut ebpf = EbpfLoader::new()
        .override_global("CONFIG", bytemuck::bytes_of(&config), true)
        .override_global("FRONT", bytemuck::bytes_of(&front), true)
        .map_max_entries("TAGS", u32::div_ceil(slots, BLOCK_SLOTS))
        .map_max_entries("ASSOCIATIONS", slots)
        .map_max_entries("SOCKETS", 1)
        .load_file(gateway_object()?)?;
    program(&mut ebpf, Contender::Live.program())?;
    XskMap::try_from(take(&mut ebpf, "SOCKETS")?)?.set(0, socket.as_raw_fd(), 0)?;
    Ok(ebpf)
}

fn fill_gateway(ebpf: &mut Ebpf, layout: IdLayout, first: u32, count: u32) -> Result<()> {
    let mut tags: Array<_, [u8; size_of::<TagBlock>()]> = take(ebpf, "TAGS")?.try_into()?;
    let mut associations: Array<_, [u8; size_of::<AssociationValue>()]> =
        take(ebpf, "ASSOCIATIONS")?.try_into()?;
    let entry = Entry { phase: Phase::Established, peer_id: PEER };
    let mut block = [Tag::EMPTY; BLOCK_SLOTS as usize];
    for slot in 0..count {
        let id = LocalId::new(first + slot).context("0 is no id")?;
        let value = AssociationValue::new(layout, id, entry);
        associations.set(slot, bytemuck::must_cast::<_, [u8; _]>(value), 0)?;
        block[(slot % BLOCK_SLOTS) as usize] = Tag::of(id.value());
        if slot % BLOCK_SLOTS == BLOCK_SLOTS - 1 || slot == count - 1 {
            tags.set(slot / BLOCK_SLOTS, bytemuck::must_cast::<_, [u8; _]>(block), 0)?;
        }
    }
    Ok(())
}

fn load_bench(layout: IdLayout, count: u32, socket: &Socket) -> Result<Ebpf> {
    let mut ebpf = EbpfLoader::new()
        .override_global("SLOT_MASK", &layout.slot_of(u32::MAX), true)
        .map_max_entries("COOKIES", 1)
        .map_max_entries("BY_SLOT", 1 << layout.slot_bits())
        .map_max_entries("BY_ID", count)
        .map_max_entries("BY_ID_LRU", count + LRU_SPARE)
        .load_file(object()?)?;
    for contender in Contender::ALL.iter().filter(|it| **it != Contender::Live) {
        program(&mut ebpf, contender.program())?;
    }
    XskMap::try_from(take(&mut ebpf, "SHARDS")?)?.set(0, socket.as_raw_fd(), 0)?;
    Ok(ebpf)
}

fn fill_bench(ebpf: &mut Ebpf, first: u32, count: u32) -> Result<()> {
    let mut by_slot: Array<_, [u8; size_of::<Held>()]> = take(ebpf, "BY_SLOT")?.try_into()?;
    let mut by_id: HashMap<_, u32, [u8; size_of::<Held>()]> = take(ebpf, "BY_ID")?.try_into()?;
    let mut lru: HashMap<_, u32, [u8; size_of::<Held>()]> = take(ebpf, "BY_ID_LRU")?.try_into()?;
    for slot in 0..count {
        let local = first + slot;
        let held = Held { local, peer: PEER, shard: 0, reserved: 0 };
        let held: [u8; size_of::<Held>()] = bytemuck::must_cast(held);
        by_slot.set(slot, held, 0)?;
        by_id.insert(local, held, 0)?;
        lru.insert(local, held, 0)?;
    }
    let kept = lru.keys().filter(Result::is_ok).count();
    ensure!(kept == count as usize, "the LRU map has kept {kept} of {count} associations");
    Ok(())
}
