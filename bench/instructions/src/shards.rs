//! Real shards with associations that no handshake has made: keys are derived from a master secret
//! that follows from the association's number, so that either end can be made again at any time.

use std::time::{Duration, Instant};

use xdtls_common::DropReason;
use xdtls_common::id::{IdLayout, LocalId, PeerId};
use xdtls_proto::endpoint::Endpoint;
use xdtls_proto::engine::PeerIdentity;
use xdtls_proto::exchange::TakenOver;
use xdtls_proto::handshakes::Installation;
use xdtls_proto::keys::{DirectionKeys, KeyPair, Role};
use xdtls_proto::record_plane::SealState;
use xdtls_proto::rekey::{RekeyKey, RekeyLimits};
use xdtls_proto::replay::ReplayWindow;
use xdtls_proto::shard::{Output, Shard, ShardConfig, ShardEvent};
use xdtls_proto::suite::CipherSuite;

/// The longest datagram that a shard is asked to write.
pub const DATAGRAM_MAX: usize = 1500;

/// Where both ends say that the other is.
pub const ENDPOINT: Endpoint = Endpoint {
    remote: std::net::SocketAddr::new(
        std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1)),
        40_000,
    ),
    local: Some(std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2))),
};

/// The first sequence number and explicit nonce that are still unused at both ends.
const LAST_OF_HANDSHAKE: (u64, u64) = (0, 0x0123_4567_89ab_cdef);

/// Both directions' keys of association `number`: to seal with and to open with, at the end that
/// was `role`.
pub fn keys_of(number: u64, suite: CipherSuite, role: Role) -> (DirectionKeys, DirectionKeys) {
    let mut master_secret = [0x5a; 48];
    master_secret[..8].copy_from_slice(&number.to_be_bytes());
    KeyPair::derive(suite, &master_secret, &[0xc1; 32], &[0x5e; 32]).into_seal_and_open(role)
}

/// What a shard gets of association `number`.
pub fn installation(
    number: u64,
    local: LocalId,
    peer: PeerId,
    role: Role,
    suite: CipherSuite,
) -> Installation {
    let (seal_keys, open_keys) = keys_of(number, suite, role);
    let (sequence, nonce) = LAST_OF_HANDSHAKE;
    let names = vec![format!("client-{number}.example")];
    let identity = PeerIdentity { names, spki_sha256: [7; 32], ..PeerIdentity::default() };
    let number = number.to_be_bytes();
    let random = std::array::from_fn(|at| number[at % number.len()]);
    Installation {
        local,
        peer,
        endpoint: ENDPOINT,
        token: None,
        replaces: None,
        route: 0,
        role,
        opener: [7; 32],
        taken_over: TakenOver {
            suite,
            seal_state: SealState::after(sequence, nonce),
            seal_keys,
            open_keys,
            window: ReplayWindow::starting_after(sequence),
            final_flight: Vec::new(),
            held: Vec::new(),
            extension: true,
            rekey_key: RekeyKey::derive(suite, &[7; 48], &random, &random),
            replaces: false,
            client_random: random,
            answerer: None,
            resumed: false,
            identity,
        },
    }
}

/// A shard for `capacity` associations, of which so many keep their expanded keys at hand.
pub fn shard(
    capacity: u32,
    layout: IdLayout,
    idle_timeout: Option<Duration>,
    cached_keys: usize,
) -> Shard {
    let config = ShardConfig {
        capacity,
        layout,
        index: 0,
        path_mtu: DATAGRAM_MAX as u16,
        idle_timeout,
        rekey: RekeyLimits::default(),
        cached_keys,
    };
    Shard::new(config, Box::new(|| 4))
}

/// Reserves and installs an association.
pub fn install(shard: &mut Shard, now: Instant, installation: Installation, out: &mut Wire) {
    shard.reserve(installation.local, Some(installation.peer));
    shard.install(now, installation, out);
}

/// Two shards that are the ends of one association.
pub struct Ends {
    /// The end that opens; its id is [`Ends::client`].
    pub near: Shard,
    /// The end that answers.
    pub far: Shard,
    /// The id at the near end.
    pub client: LocalId,
}

impl Ends {
    /// Makes both; `None` only if ids had no room for one association.
    pub fn new(now: Instant, suite: CipherSuite) -> Option<Self> {
        let layout = IdLayout::for_capacity(1, 1)?;
        let (client, server) = (layout.id(0, 0x11)?, layout.id(0, 0x22)?);
        let mut ends =
            Self { near: shard(1, layout, None, 1), far: shard(1, layout, None, 1), client };
        let mut out = Wire::default();
        for (shard, local, peer, role) in [
            (&mut ends.near, client, server, Role::Client),
            (&mut ends.far, server, client, Role::Server),
        ] {
            let peer = PeerId::new(peer.value())?;
            install(shard, now, installation(1, local, peer, role, suite), &mut out);
        }
        Some(ends)
    }
}

/// What shards write, in memory that is used again and again.
#[derive(Default)]
pub struct Wire {
    buffers: Vec<Vec<u8>>,
    written: usize,
    /// Plaintext datagrams that were opened.
    pub plaintexts: u64,
    /// The last of them.
    pub plaintext: Vec<u8>,
    /// Associations that have ended.
    pub closed: u64,
    /// What was dropped last.
    pub dropped: Option<DropReason>,
    /// How much was dropped.
    pub drops: u64,
}

impl Wire {
    /// The datagrams that were written since the last [`Wire::clear`].
    pub fn datagrams(&mut self) -> &mut [Vec<u8>] {
        &mut self.buffers[..self.written]
    }

    /// Makes room for others.
    pub fn clear(&mut self) {
        self.written = 0;
    }
}

impl Output for Wire {
    fn datagram(&mut self, _to: &Endpoint, length: usize) -> Option<&mut [u8]> {
        if self.written == self.buffers.len() {
            self.buffers.push(Vec::with_capacity(DATAGRAM_MAX));
        }
        let buffer = &mut self.buffers[self.written];
        self.written += 1;
        buffer.resize(length, 0);
        Some(buffer)
    }

    fn plaintext(&mut self, _id: LocalId, plaintext: &[u8]) {
        self.plaintexts += 1;
        self.plaintext.clear();
        // Enough to tell plaintexts apart, without copying what a worker would not copy either.
        self.plaintext.extend_from_slice(&plaintext[..plaintext.len().min(16)]);
    }

    fn event(&mut self, event: ShardEvent) {
        self.closed += u64::from(matches!(event, ShardEvent::Closed(..)));
    }

    fn count(&mut self, reason: DropReason) {
        self.drops += 1;
        self.dropped = Some(reason);
    }
}
