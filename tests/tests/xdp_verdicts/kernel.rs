//! The program in the kernel, without an interface.

use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::time::Duration;

use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::maps::{Array, MapData, PerCpuArray, RingBuf, XskMap};
use aya::programs::{TestRun, TestRunOptions, Xdp};
use aya::{Ebpf, EbpfLoader};
use socket2::{Domain, Socket, Type};
use xdtls_common::access::AccessValue;
use xdtls_common::cookie::{CookieSecrets, Secret, mapped};
use xdtls_common::front::{FrontValue, HelloVerdict};
use xdtls_common::map::{BLOCK_SLOTS, ConfigValue, TagBlock};
use xdtls_common::steering::Steering;
use xdtls_common::trace::{TraceEvent, TraceFilter};
use xdtls_common::{DropReason, Outcome};

use crate::fixture::{Decision, SECRETS, SHARDS, SLOTS, Slots};
use crate::object;

/// The actions of XDP that the program uses, by their numbers.
pub(crate) mod action {
    pub(crate) const DROP: u32 = 1;
    pub(crate) const PASS: u32 = 2;
    pub(crate) const TX: u32 = 3;
    pub(crate) const REDIRECT: u32 = 4;
}

/// The address family of AF_XDP, for which socket2 has no name.
pub(crate) const AF_XDP: i32 = 44;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What a run shows: the action, and the counters that have moved by how much.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) action: u32,
    pub(crate) counted: Vec<(&'static str, u64)>,
}

impl Seen {
    /// What a frame of which this becomes shows while every shard has a socket.
    pub(crate) fn of(decision: impl Into<Decision>) -> Self {
        let (action, name) = match decision.into() {
            Decision::Steered(steering) => match steering {
                Steering::NotOurs => (action::PASS, Outcome::NotOurs.as_str()),
                Steering::Handshake => (action::PASS, Outcome::Handshake.as_str()),
                Steering::Worker(_) => (action::REDIRECT, Outcome::Redirected.as_str()),
                Steering::Drop(reason) => (action::DROP, reason.as_str()),
                Steering::NotPlain | Steering::ClientHello(_) => (action::PASS, "undecided"),
            },
            Decision::Hello(verdict) => match verdict {
                HelloVerdict::Reply(_) => (action::TX, Outcome::HelloVerifyRequest.as_str()),
                HelloVerdict::Pass => (action::PASS, Outcome::ClientHello.as_str()),
                HelloVerdict::PassSlowly => (action::PASS, Outcome::SlowHello.as_str()),
                HelloVerdict::Drop(reason) => (action::DROP, reason.as_str()),
            },
        };
        Self { action, counted: vec![(name, 1)] }
    }
}

/// The loaded program and its maps.
pub(crate) struct Kernel {
    ebpf: Ebpf,
    drops: PerCpuArray<MapData, u64>,
    outcomes: PerCpuArray<MapData, u64>,
    sockets: XskMap<MapData>,
    secrets: Array<MapData, [u8; size_of::<Secret>()]>,
    /// The frame as the last run has left it.
    output: Vec<u8>,
    /// The counters as they were after the last run.
    last: Vec<u64>,
}

impl Kernel {
    /// Loads the program with the associations of the fixture and without sockets.
    pub(crate) fn load(config: &ConfigValue, front: &FrontValue) -> Result<Self, Error> {
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("TAGS", SLOTS.div_ceil(BLOCK_SLOTS))
            .map_max_entries("ASSOCIATIONS", SLOTS)
            .map_max_entries("SOCKETS", SHARDS)
            .override_global("CONFIG", bytemuck::bytes_of(config), true)
            .override_global("FRONT", bytemuck::bytes_of(front), true)
            .load_file(object::path())?;
        program(&mut ebpf)?.load().map_err(|error| object::chain(&error))?;
        fill(&mut ebpf)?;
        let drops = PerCpuArray::try_from(take(&mut ebpf, "DROPS")?)?;
        let outcomes = PerCpuArray::try_from(take(&mut ebpf, "OUTCOMES")?)?;
        let sockets = XskMap::try_from(take(&mut ebpf, "SOCKETS")?)?;
        let secrets = Array::try_from(take(&mut ebpf, "COOKIE_SECRETS")?)?;
        let last = vec![0; DropReason::COUNT + Outcome::COUNT];
        let output = Vec::new();
        let mut kernel = Self { ebpf, drops, outcomes, sockets, secrets, output, last };
        kernel.set_secrets(&SECRETS)?;
        Ok(kernel)
    }

    /// Gives the program these secrets.
    pub(crate) fn set_secrets(&mut self, secrets: &CookieSecrets) -> Result<(), Error> {
        for (index, secret) in (0..).zip(&secrets.0) {
            let bytes: &[u8; size_of::<Secret>()] = bytemuck::must_cast_ref(secret);
            self.secrets.set(index, bytes, 0)?;
        }
        Ok(())
    }

    /// Puts addresses on the list of those that are denied.
    pub(crate) fn deny(&mut self, sources: impl IntoIterator<Item = IpAddr>) -> Result<(), Error> {
        fill_trie(&mut self.ebpf, "DENIED", sources)
    }

    /// Puts addresses on the list of those that alone are allowed.
    pub(crate) fn allow(&mut self, sources: impl IntoIterator<Item = IpAddr>) -> Result<(), Error> {
        fill_trie(&mut self.ebpf, "ALLOWED", sources)
    }

    /// Says which lists are to be looked at.
    pub(crate) fn use_lists(&mut self, lists: AccessValue) -> Result<(), Error> {
        let map = self.ebpf.map_mut("ACCESS").ok_or("there is no map ACCESS")?;
        Array::<_, [u8; 8]>::try_from(map)?.set(0, bytemuck::cast::<_, [u8; 8]>(lists), 0)?;
        Ok(())
    }

    /// Lets the program tell of these packets.
    pub(crate) fn watch(&mut self, filter: TraceFilter) -> Result<(), Error> {
        let map = self.ebpf.map_mut("TRACE_FILTER").ok_or("there is no map TRACE_FILTER")?;
        Array::<_, [u8; 24]>::try_from(map)?.set(0, bytemuck::cast::<_, [u8; 24]>(filter), 0)?;
        Ok(())
    }

    /// What the program has told since the last call, and all that it could not.
    pub(crate) fn told(&mut self) -> Result<(Vec<TraceEvent>, u64), Error> {
        let map = self.ebpf.map_mut("TRACE_EVENTS").ok_or("there is no map TRACE_EVENTS")?;
        let (mut ring, mut events) = (RingBuf::try_from(map)?, Vec::new());
        while let Some(entry) = ring.next() {
            events.push(bytemuck::pod_read_unaligned(&entry));
        }
        let map = self.ebpf.map("TRACE_LOST").ok_or("there is no map TRACE_LOST")?;
        let lost = PerCpuArray::<_, u64>::try_from(map)?.get(&0, 0)?;
        Ok((events, lost.iter().sum()))
    }

    /// The frame as the last run has left it.
    pub(crate) fn output(&self) -> &[u8] {
        &self.output
    }

    /// Gives a shard an AF_XDP socket on queue 0. It is bound to nothing: the program asks only
    /// whether there is one, and a test run delivers nothing.
    pub(crate) fn add_socket(&mut self, shard: u32) -> Result<Socket, Error> {
        let socket = Socket::new(Domain::from(AF_XDP), Type::RAW, None)?;
        self.sockets.set(shard, socket.as_raw_fd(), 0)?;
        Ok(socket)
    }

    /// Runs the program on one frame.
    pub(crate) fn run(&mut self, frame: &[u8]) -> Result<Seen, Error> {
        let (action, _) = self.repeat(frame, 1)?;
        let now = self.counters()?;
        let names = DropReason::ALL.iter().map(|reason| reason.as_str());
        let names = names.chain(Outcome::ALL.iter().map(|outcome| outcome.as_str()));
        let moved = now.iter().zip(&self.last).map(|(now, last)| now - last);
        let counted = names.zip(moved).filter(|(_, moved)| *moved != 0).collect();
        self.last = now;
        Ok(Seen { action, counted })
    }

    /// Runs the program many times and returns its last action and the time of one run.
    pub(crate) fn repeat(&mut self, frame: &[u8], repeat: u32) -> Result<(u32, Duration), Error> {
        let mut output = vec![0; frame.len()];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut output),
            repeat,
            ..TestRunOptions::new()
        };
        let result = program(&mut self.ebpf)?.test_run(options)?;
        output.truncate(result.data_size_out as usize);
        self.output = output;
        Ok((result.return_value, result.duration))
    }

    fn counters(&self) -> Result<Vec<u64>, Error> {
        let mut counters = Vec::with_capacity(self.last.len());
        for (map, count) in [(&self.drops, DropReason::COUNT), (&self.outcomes, Outcome::COUNT)] {
            for index in 0..count as u32 {
                counters.push(map.get(&index, 0)?.iter().sum());
            }
        }
        Ok(counters)
    }
}

fn program(ebpf: &mut Ebpf) -> Result<&mut Xdp, Error> {
    Ok(ebpf.program_mut("xdtls").ok_or("there is no program xdtls")?.try_into()?)
}

fn take(ebpf: &mut Ebpf, name: &str) -> Result<aya::maps::Map, Error> {
    ebpf.take_map(name).ok_or_else(|| format!("there is no map {name}").into())
}

fn fill_trie(
    ebpf: &mut Ebpf,
    name: &str,
    sources: impl IntoIterator<Item = IpAddr>,
) -> Result<(), Error> {
    let map = ebpf.map_mut(name).ok_or("there is no such list")?;
    let mut trie = LpmTrie::<_, [u8; 16], u8>::try_from(map)?;
    for source in sources {
        trie.insert(&Key::new(128, mapped(source)), 1, 0)?;
    }
    Ok(())
}

fn fill(ebpf: &mut Ebpf) -> Result<(), Error> {
    let slots = Slots::new();
    let mut tags = Array::<_, [u8; size_of::<TagBlock>()]>::try_from(take(ebpf, "TAGS")?)?;
    let mut associations = Array::<_, [u8; 16]>::try_from(take(ebpf, "ASSOCIATIONS")?)?;
    for (slot, association) in (0..).zip(&slots.associations) {
        associations.set(slot, bytemuck::cast::<_, [u8; 16]>(*association), 0)?;
    }
    for (index, block) in (0..).zip(slots.tags.as_chunks::<{ BLOCK_SLOTS as usize }>().0) {
        tags.set(index, bytemuck::must_cast_ref::<_, [u8; size_of::<TagBlock>()]>(block), 0)?;
    }
    Ok(())
}
