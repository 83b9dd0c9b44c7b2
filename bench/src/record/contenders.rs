//! ring alone, our record plane, and whole shards.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use ring::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use xdtls_common::cursor::SliceCursor;
use xdtls_common::record::{DTLS_1_2, HEADER_LEN, RecordHeader, content_type::APPLICATION_DATA};
use xdtls_proto::keys::{DirectionKeys, Role};
use xdtls_proto::record_plane::{EPOCH, ExpandedKey, SealState, open, seal};
use xdtls_proto::replay::ReplayWindow;
use xdtls_proto::suite::{Aead, CipherSuite, TAG_LEN};

use super::{BATCH, Contender};
use xdtls_bench_instructions::shards::{Ends, Wire, keys_of};

/// Room for one record: an odd number of cache lines, so that equal places of neighbours do not
/// compete for the same lines of the cache.
const STRIDE: usize = 25 * 64;

fn buffers() -> Vec<u8> {
    (0..BATCH * STRIDE).map(|index| index as u8).collect()
}

fn key(suite: CipherSuite) -> DirectionKeys {
    keys_of(1, suite, Role::Client).0
}

/// ring and nothing else.
pub(super) struct RingAlone {
    key: LessSafeKey,
    offset: usize,
    size: usize,
    buffers: Vec<u8>,
    nonces: Vec<[u8; aead::NONCE_LEN]>,
    additional_data: Vec<[u8; HEADER_LEN]>,
}

impl RingAlone {
    pub(super) fn new(suite: CipherSuite, size: usize) -> Result<Self> {
        let algorithm = match suite.aead() {
            Aead::Aes128Gcm => &aead::AES_128_GCM,
            Aead::Aes256Gcm => &aead::AES_256_GCM,
            Aead::ChaCha20Poly1305 => &aead::CHACHA20_POLY1305,
        };
        let unbound = UnboundKey::new(algorithm, key(suite).key());
        let unbound = unbound.map_err(|_| anyhow!("ring refuses the key"))?;
        let header = |sequence| RecordHeader {
            content_type: APPLICATION_DATA,
            version: DTLS_1_2,
            epoch: EPOCH,
            sequence,
            length: size as u16,
        };
        Ok(Self {
            key: LessSafeKey::new(unbound),
            offset: suite.aead().plaintext_offset(),
            size,
            buffers: buffers(),
            nonces: (0..BATCH).map(|index| [index as u8; aead::NONCE_LEN]).collect(),
            additional_data: (0..BATCH as u64).map(|index| header(index).encode()).collect(),
        })
    }
}

impl Contender for RingAlone {
    fn seal(&mut self) -> Result<Duration> {
        let begin = Instant::now();
        let records = self.buffers.chunks_exact_mut(STRIDE);
        for ((record, nonce), data) in records.zip(&self.nonces).zip(&self.additional_data) {
            let (plaintext, rest) = record[self.offset..].split_at_mut(self.size);
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(data), plaintext);
            let tag = tag.map_err(|_| anyhow!("ring does not seal"))?;
            rest[..TAG_LEN].copy_from_slice(tag.as_ref());
        }
        Ok(begin.elapsed())
    }

    fn open(&mut self) -> Result<Duration> {
        let begin = Instant::now();
        let records = self.buffers.chunks_exact_mut(STRIDE);
        for ((record, nonce), data) in records.zip(&self.nonces).zip(&self.additional_data) {
            let sealed = &mut record[self.offset..][..self.size + TAG_LEN];
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let opened = self.key.open_in_place(nonce, Aad::from(data), sealed);
            opened.map_err(|_| anyhow!("ring does not open"))?;
        }
        Ok(begin.elapsed())
    }
}

/// Our record plane.
pub(super) struct Plane {
    key: ExpandedKey,
    state: SealState,
    window: ReplayWindow,
    size: usize,
    record_len: usize,
    buffers: Vec<u8>,
}

impl Plane {
    pub(super) fn new(suite: CipherSuite, size: usize) -> Self {
        Self {
            key: ExpandedKey::new(&key(suite)),
            state: SealState::after(0, 1),
            window: ReplayWindow::starting_after(0),
            size,
            record_len: suite.aead().record_overhead() + size,
            buffers: buffers(),
        }
    }
}

impl Contender for Plane {
    fn seal(&mut self) -> Result<Duration> {
        let begin = Instant::now();
        for record in self.buffers.chunks_exact_mut(STRIDE) {
            let counters =
                self.state.take(self.key.aead()).map_err(|reason| anyhow!("{reason:?}"))?;
            seal(&self.key, counters, APPLICATION_DATA, record, self.size);
        }
        Ok(begin.elapsed())
    }

    fn open(&mut self) -> Result<Duration> {
        let begin = Instant::now();
        for record in self.buffers.chunks_exact_mut(STRIDE) {
            let record = &mut record[..self.record_len];
            let header = RecordHeader::parse(&mut SliceCursor::new(record));
            let header = header.map_err(|_| anyhow!("a record is cut"))?;
            let opened = self.window.check(header.sequence);
            let opened = opened.and_then(|()| open(&self.key, &header, record));
            opened.map_err(|reason| anyhow!("{reason:?}"))?;
            self.window.commit(header.sequence);
        }
        Ok(begin.elapsed())
    }
}

/// Two whole shards.
pub(super) struct Shards {
    ends: Ends,
    plaintext: Vec<u8>,
    wire: Wire,
    opened: Wire,
}

impl Shards {
    pub(super) fn new(suite: CipherSuite, size: usize) -> Option<Self> {
        let ends = Ends::new(Instant::now(), suite)?;
        let (wire, opened) = (Wire::default(), Wire::default());
        Some(Self { ends, plaintext: vec![0x42; size], wire, opened })
    }
}

impl Contender for Shards {
    fn seal(&mut self) -> Result<Duration> {
        self.wire.clear();
        let begin = Instant::now();
        for _ in 0..BATCH {
            self.ends.near.send(begin, self.ends.client, &self.plaintext, &mut self.wire);
        }
        let took = begin.elapsed();
        ensure!(self.wire.drops == 0, "the shard does not seal: {:?}", self.wire.dropped);
        Ok(took)
    }

    fn open(&mut self) -> Result<Duration> {
        let before = self.opened.plaintexts;
        let begin = Instant::now();
        for datagram in self.wire.datagrams() {
            let from = xdtls_bench_instructions::shards::ENDPOINT;
            self.ends.far.receive(begin, None, from, datagram, &mut self.opened);
        }
        let took = begin.elapsed();
        let opened = self.opened.plaintexts - before;
        ensure!(opened == BATCH as u64, "the shard does not open: {:?}", self.opened.dropped);
        Ok(took)
    }
}
