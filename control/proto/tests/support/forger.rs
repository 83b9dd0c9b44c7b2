//! Whoever knows all keys: seals any record of any association in either direction.

use std::net::SocketAddr;

use xdtls_common::cursor::SliceCursor;
use xdtls_common::id::{LocalId, PeerId};
use xdtls_common::prefix::{PREFIX_LEN, Prefix};
use xdtls_common::record::content_type::HANDSHAKE;
use xdtls_common::record::{HEADER_LEN, RecordHeader, records};
use xdtls_proto::convergence::Rank;
use xdtls_proto::handshakes::Installation;
use xdtls_proto::keys::{DirectionKeys, KeyPair, Role};
use xdtls_proto::record_plane::{ExpandedKey, SealState, open, seal};
use xdtls_proto::suite::CipherSuite;

use super::engine::MASTER_SECRET;
use super::messages::{self, Hello};
use super::network::Network;

/// What one end knows of its association.
pub(crate) struct Known {
    pub(crate) local: LocalId,
    pub(crate) peer: PeerId,
    /// Where the peer was during the handshake.
    pub(crate) remote: SocketAddr,
    pub(crate) token: Option<u64>,
    pub(crate) replaces: Option<LocalId>,
    pub(crate) route: u16,
    pub(crate) role: Role,
    pub(crate) suite: CipherSuite,
    pub(crate) extension: bool,
    pub(crate) names: Vec<String>,
    rank: Rank,
    pub(crate) held: usize,
    /// The last flight, if this end sent it, in datagrams without prefix.
    pub(crate) final_flight: Vec<Vec<u8>>,
    sealer: Sealer,
    open_keys: DirectionKeys,
}

/// Seals as one end of an association would.
pub(crate) struct Sealer(DirectionKeys);

/// The sealer of one end of the newest handshake on the network. The randoms are there for all to
/// see, and the secret of scripted handshakes is always the same.
pub(crate) fn sniffed(network: &Network, role: Role) -> Sealer {
    let hello = |kind: u8| {
        let mut packets = network.sent.iter().rev().map(|(_, packet)| &packet.bytes[PREFIX_LEN..]);
        let found = |bytes: &&[u8]| bytes[0] == HANDSHAKE && bytes[HEADER_LEN] == kind;
        let bytes = packets.find(found).unwrap();
        let header = RecordHeader::parse(&mut SliceCursor::new(bytes)).unwrap();
        let record = &bytes[HEADER_LEN..][..header.length.into()];
        messages::parse_message(record).unwrap().1.to_vec()
    };
    let client = Hello::parse_client(&hello(messages::CLIENT_HELLO)).unwrap();
    let server = Hello::parse_server(&hello(messages::SERVER_HELLO)).unwrap();
    let (suite, secret) = (server.suites[0], &MASTER_SECRET);
    let pair = KeyPair::derive(suite, secret, &client.random, &server.random);
    Sealer(pair.into_seal_and_open(role).0)
}

impl Sealer {
    /// The plaintext of a record that this end has sealed.
    pub(crate) fn reveal(&self, record: &[u8]) -> Vec<u8> {
        let header = RecordHeader::parse(&mut SliceCursor::new(record)).unwrap();
        let mut record = record.to_vec();
        let plaintext = open(&ExpandedKey::new(&self.0), &header, &mut record).unwrap();
        record[plaintext].to_vec()
    }

    /// An authentic record, without prefix.
    pub(crate) fn record(&self, content_type: u8, sequence: u64, plaintext: &[u8]) -> Vec<u8> {
        let key = ExpandedKey::new(&self.0);
        // Far from every nonce that the engine or the shard has used.
        let nonce = sequence ^ 0x5555_5555_5555_5555;
        let counters = SealState::after(sequence - 1, nonce).take(key.aead()).unwrap();
        let mut record = vec![0; key.aead().record_overhead() + plaintext.len()];
        record[key.aead().plaintext_offset()..][..plaintext.len()].copy_from_slice(plaintext);
        seal(&key, counters, content_type, &mut record, plaintext.len());
        record
    }
}

impl Known {
    pub(crate) fn of(installation: &Installation) -> Self {
        let taken_over = &installation.taken_over;
        Self {
            local: installation.local,
            peer: installation.peer,
            remote: installation.endpoint.remote,
            token: installation.token,
            replaces: installation.replaces,
            route: installation.route,
            role: installation.role,
            suite: taken_over.suite,
            extension: taken_over.extension,
            names: taken_over.identity.names.clone(),
            rank: Rank { opener: installation.opener, client_random: taken_over.client_random },
            held: taken_over.held.len(),
            final_flight: taken_over.final_flight.clone(),
            sealer: Sealer(copy(&taken_over.seal_keys)),
            open_keys: copy(&taken_over.open_keys),
        }
    }

    /// Its place among several of one link.
    pub(crate) fn rank(&self) -> Rank {
        self.rank
    }

    /// An authentic record of this end, without prefix.
    pub(crate) fn record(&self, content_type: u8, sequence: u64, plaintext: &[u8]) -> Vec<u8> {
        self.sealer.record(content_type, sequence, plaintext)
    }

    /// What this end puts before its records.
    pub(crate) fn prefix(&self) -> [u8; 8] {
        Prefix { sender: self.local.value(), receiver: self.peer.value() }.encode()
    }

    /// An authentic datagram of this end.
    pub(crate) fn datagram(&self, content_type: u8, sequence: u64, plaintext: &[u8]) -> Vec<u8> {
        [&self.prefix()[..], &self.record(content_type, sequence, plaintext)].concat()
    }

    /// Type, sequence number and plaintext of each record in a datagram for this end that opens.
    pub(crate) fn open(&self, datagram: &[u8]) -> Vec<(u8, u64, Vec<u8>)> {
        open_all(&self.open_keys, datagram)
    }

    /// Type and plaintext of each record in a datagram that this end has sealed.
    pub(crate) fn reveal(&self, datagram: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let opened = open_all(&self.sealer.0, datagram).into_iter();
        opened.map(|(content_type, _, plaintext)| (content_type, plaintext)).collect()
    }
}

fn open_all(keys: &DirectionKeys, datagram: &[u8]) -> Vec<(u8, u64, Vec<u8>)> {
    let key = ExpandedKey::new(keys);
    let datagram = &datagram[PREFIX_LEN..];
    let opened = records(datagram).flatten().filter_map(|(header, range)| {
        let mut record = datagram[range].to_vec();
        let plaintext = open(&key, &header, &mut record).ok()?;
        Some((header.content_type, header.sequence, record[plaintext].to_vec()))
    });
    opened.collect()
}

fn copy(keys: &DirectionKeys) -> DirectionKeys {
    let mut key = [0; 32];
    key[..keys.key().len()].copy_from_slice(keys.key());
    DirectionKeys::new(keys.aead(), key, *keys.fixed_iv())
}
