//! Associations in all places where a gateway keeps them.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use xdtls::counters::{Counters, Place};
use xdtls::datapath::xdp::{Associations as Known, Program, Steered};
use xdtls::inside::forward::{Backend, FlowLimits, Forward};
use xdtls::inside::health::BackendHealth;
use xdtls::inside::{Arrival, Inside, Surroundings};
use xdtls::registry::{Entry, Registry};
use xdtls::sys::prefer_huge_pages;
use xdtls_common::cursor::SliceCursor;
use xdtls_common::id::{IdLayout, LocalId, PeerId};
use xdtls_common::prefix::{PREFIX_LEN, Prefix};
use xdtls_common::record::{HEADER_LEN, RecordHeader, content_type::APPLICATION_DATA};
use xdtls_common::verdict::Phase;
use xdtls_proto::association::CloseCause;
use xdtls_proto::ids::IdAllocator;
use xdtls_proto::keys::Role;
use xdtls_proto::record_plane::{ExpandedKey, SealState, open, seal};
use xdtls_proto::shard::Shard;
use xdtls_proto::suite::CipherSuite;

use super::records::RecordCosts;
use super::{Judging, Measured};
use crate::process_cost::{Memory, memory};
use xdtls_bench_instructions::shards::{
    DATAGRAM_MAX, ENDPOINT, Wire, installation, keys_of, shard,
};

/// What all associations have negotiated.
pub(super) const SUITE: CipherSuite = CipherSuite::EcdheEcdsaAes128Gcm;

/// Associations that are made ready before they are installed with the clock running.
const CHUNK: usize = 4_096;

/// After so long without traffic an association ends; far more than the measurement takes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3_600);

/// When each association's deadline comes up although its end is far away: it was set before the
/// peer had shown that it has the keys.
const EARLY: Duration = Duration::from_secs(300);

/// Flows to measure; fewer where descriptors are scarce.
const FLOWS_MAX: u32 = 10_000;

/// Descriptors that are for other things.
const DESCRIPTORS_KEPT: u64 = 64;

/// A gateway's associations, and nothing else of a gateway.
pub struct Population {
    pub(super) shard: Shard,
    pub(super) ids: Vec<LocalId>,
    pub(super) wire: Wire,
    registry: Registry,
    forward: Forward,
    backend: UdpSocket,
    known: Arc<Known>,
    // The maps live as long as the program.
    _program: Program,
}

impl Population {
    /// Makes `count` associations and measures all that there is to measure.
    pub fn measure(count: u32) -> Result<Measured> {
        let now = Instant::now();
        let before = memory_now()?;
        let mut all = Self::empty(count)?;
        let opened_per_second = all.open(now, count)?;
        let fresh = memory_now()?;
        let verified = all.verify(now)?;
        all.wire = Wire::default();
        let idle = memory_now()?;
        let timer_ns = all.come_up_early(now + EARLY);
        let records = RecordCosts::measure(&mut all, now)?;
        let judging = Judging::measure(&all.registry, &all.ids)?;
        let (active, bytes_of_flow) = all.open_flows(now)?;
        let closed_per_second = all.close(now)?;
        let each = |bytes: u64| bytes as f64 / f64::from(count);
        Ok(Measured {
            associations: count,
            verified,
            bytes_fresh: each(fresh.total().saturating_sub(before.total())),
            bytes_idle: each(idle.total().saturating_sub(before.total())),
            bytes_of_maps: each(idle.maps.saturating_sub(before.maps)),
            active,
            bytes_of_flow,
            opened_per_second,
            closed_per_second,
            timer_ns,
            judging,
            records,
        })
    }

    fn empty(count: u32) -> Result<Self> {
        let layout = IdLayout::for_capacity(count, 1).context("so many ids there are not")?;
        let program = program(layout)?;
        let backend = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        let surroundings = Surroundings {
            poll: xdtls::worker::poll_descriptor()?,
            counters: Arc::new(Counters::new(Place::Worker)),
        };
        let limits = FlowLimits { flows: count as usize, idle: IDLE_TIMEOUT };
        let backends = vec![Backend { address: backend.local_addr()?, sources: Vec::new() }];
        let mut allocator = IdAllocator::new(layout, 0..count);
        let mut state = 1_u32;
        let mut random = || {
            state = state.wrapping_mul(0x9e37_79b1).wrapping_add(0x7f4a_7c15);
            state
        };
        let ids = (0..count).map_while(|_| allocator.allocate(&mut random)).collect();
        let cached_keys = xdtls::node::CACHED_KEYS.min(count as usize);
        let shard = shard(count, layout, Some(IDLE_TIMEOUT), cached_keys);
        // As workers do, which go on without them too.
        let _ = prefer_huge_pages(shard.addresses());
        Ok(Self {
            shard,
            ids,
            wire: Wire::default(),
            registry: Registry::default(),
            forward: Forward::new(surroundings, backends, limits, BackendHealth::of(1)),
            backend,
            known: program.associations(),
            _program: program,
        })
    }

    /// Installs all of them; how many a second.
    fn open(&mut self, now: Instant, count: u32) -> Result<f64> {
        ensure!(self.ids.len() == count as usize, "ids are used up");
        let ids = std::mem::take(&mut self.ids);
        let mut took = Duration::ZERO;
        for (chunk, numbers) in ids.chunks(CHUNK).zip((0..).step_by(CHUNK)) {
            let ready = chunk.iter().zip(numbers..);
            let ready = ready
                .map(|(id, number)| installation(number, *id, peer_of(*id), Role::Server, SUITE));
            let ready: Vec<_> = ready.collect();
            let begin = Instant::now();
            for installation in ready {
                let (id, peer) = (installation.local, installation.peer);
                self.shard.reserve(id, Some(peer));
                self.known.set(id, Phase::HalfOpen, peer.value());
                self.registry.insert(id, Entry::new(now, &installation), 0);
                self.forward.established(now, &Arrival::of(&installation));
                self.shard.install(now, installation, &mut self.wire);
                self.known.set(id, Phase::Established, peer.value());
            }
            took += begin.elapsed();
        }
        self.ids = ids;
        ensure!(self.shard.established() == count as usize, "not all were installed");
        Ok(f64::from(count) / took.as_secs_f64())
    }

    /// Passes a record each way with every association; how many have passed both.
    fn verify(&mut self, now: Instant) -> Result<u32> {
        let mut verified = 0;
        for number in 0..self.ids.len() as u64 {
            let mut peer = Peer::new(number, self.ids[number as usize]);
            let plaintext = number.to_be_bytes();
            let mut datagram = peer.seal(&plaintext)?;
            self.shard.receive(now, None, ENDPOINT, &mut datagram, &mut self.wire);
            ensure!(self.wire.plaintext == plaintext, "association {number} opens something else");
            self.wire.clear();
            self.shard.send(now, peer.id, &plaintext, &mut self.wire);
            let sealed = self.wire.datagrams().first_mut().context("nothing was sealed")?;
            verified += u32::from(peer.open(sealed) == Some(plaintext.to_vec()));
        }
        Ok(verified)
    }

    /// Lets every deadline come up; nanoseconds for each.
    fn come_up_early(&mut self, now: Instant) -> f64 {
        let begin = Instant::now();
        while self.shard.deadline().is_some_and(|deadline| deadline <= now) {
            self.shard.handle_timeout(now, &mut self.wire);
        }
        begin.elapsed().as_nanos() as f64 / self.ids.len() as f64
    }

    /// Opens flows; how many, and what one adds in the process and in the kernel.
    fn open_flows(&mut self, now: Instant) -> Result<(u32, [f64; 2])> {
        let flows = (self.ids.len() as u64).min(descriptors()?) as u32;
        let (before, slab_before) = (memory_now()?, slab()?);
        for id in &self.ids[..flows as usize] {
            self.forward.plaintext(now, *id, b"open");
        }
        self.forward.flush();
        self.backend.set_nonblocking(true)?;
        let mut datagram = [0; 16];
        while self.backend.recv_from(&mut datagram).is_ok() {}
        let (after, slab_after) = (memory_now()?, slab()?);
        let each = |before: u64, after: u64| after.saturating_sub(before) as f64 / f64::from(flows);
        Ok((flows, [each(before.resident, after.resident), each(slab_before, slab_after)]))
    }

    /// Closes all of them; how many a second.
    fn close(&mut self, now: Instant) -> Result<f64> {
        let begin = Instant::now();
        for id in &self.ids {
            self.wire.clear();
            self.shard.close(now, *id, CloseCause::Operator, &mut self.wire);
            self.known.set(*id, Phase::Resting, 0);
            self.forward.closed(now, *id, CloseCause::Operator);
            self.registry.remove(now, *id, CloseCause::Operator);
        }
        let took = begin.elapsed();
        ensure!(self.wire.closed == self.ids.len() as u64, "not all were closed");
        Ok(self.ids.len() as f64 / took.as_secs_f64())
    }
}

/// The id that a peer gives to its end.
fn peer_of(id: LocalId) -> PeerId {
    PeerId::new(id.value() ^ 0x5555_5555).or(PeerId::new(1)).expect("1 is an id")
}

/// The other end of one association.
pub(super) struct Peer {
    id: LocalId,
    own: PeerId,
    sealer: ExpandedKey,
    opener: ExpandedKey,
    state: SealState,
}

impl Peer {
    /// An end that has sealed nothing.
    pub(super) fn new(number: u64, id: LocalId) -> Self {
        Self::after(number, id, 0)
    }

    /// An end that has sealed records up to this sequence number.
    pub(super) fn after(number: u64, id: LocalId, sequence: u64) -> Self {
        let (seal_keys, open_keys) = keys_of(number, SUITE, Role::Client);
        Self {
            id,
            own: peer_of(id),
            sealer: ExpandedKey::new(&seal_keys),
            opener: ExpandedKey::new(&open_keys),
            state: SealState::after(sequence, sequence),
        }
    }

    /// A datagram with one record.
    pub(super) fn seal(&mut self, plaintext: &[u8]) -> Result<Vec<u8>> {
        let prefix = Prefix { sender: self.own.value(), receiver: self.id.value() };
        let mut datagram = Vec::with_capacity(DATAGRAM_MAX);
        datagram.extend(prefix.encode());
        datagram.resize(PREFIX_LEN + SUITE.aead().record_overhead() + plaintext.len(), 0);
        let at = PREFIX_LEN + SUITE.aead().plaintext_offset();
        datagram[at..at + plaintext.len()].copy_from_slice(plaintext);
        let Ok(counters) = self.state.take(SUITE.aead()) else { bail!("a peer's key is worn") };
        let record = &mut datagram[PREFIX_LEN..];
        seal(&self.sealer, counters, APPLICATION_DATA, record, plaintext.len());
        Ok(datagram)
    }

    fn open(&self, datagram: &mut [u8]) -> Option<Vec<u8>> {
        let record = datagram.get_mut(PREFIX_LEN..)?;
        let header = RecordHeader::parse(&mut SliceCursor::new(&record[..HEADER_LEN])).ok()?;
        let range = open(&self.opener, &header, record).ok()?;
        Some(record[range].to_vec())
    }
}

/// The XDP program with its maps. It is attached to nothing.
fn program(layout: IdLayout) -> Result<Program> {
    let listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 4433));
    let steered = Steered { listen, layout, queues: 1, leaves_replies: false, answering: None };
    Program::load(&steered).context("the maps of the XDP program are counted, too")
}

fn memory_now() -> Result<Memory> {
    memory(std::process::id())
}

/// Bytes that the kernel's slabs take altogether.
fn slab() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text.lines().find_map(|line| line.strip_prefix("Slab:")).context("no Slab")?;
    let kilobytes: u64 = line.split_whitespace().next().context("no number")?.parse()?;
    Ok(kilobytes * 1024)
}

/// How many flows there may be.
fn descriptors() -> Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit })?;
    let most = limit.maximum.unwrap_or(u64::MAX);
    Ok(most.saturating_sub(DESCRIPTORS_KEPT).min(u64::from(FLOWS_MAX)))
}
