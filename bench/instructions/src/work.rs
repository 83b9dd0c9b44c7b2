//! Pieces of work whose instructions are counted.

use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use xdtls_common::cursor::SliceCursor;
use xdtls_common::record::{RecordHeader, content_type::APPLICATION_DATA};
use xdtls_proto::keys::Role;
use xdtls_proto::record_plane::{ExpandedKey, SealState, open, seal};
use xdtls_proto::replay::ReplayWindow;
use xdtls_proto::suite::CipherSuite;

use crate::shards::{ENDPOINT, Ends, Wire, keys_of};

/// Lengths of plaintext in bytes.
pub const SIZES: [usize; 2] = [64, 1400];

/// The suites, one for each kind of AEAD.
pub const SUITES: [(&str, CipherSuite); 2] = [
    ("aes128gcm", CipherSuite::EcdheEcdsaAes128Gcm),
    ("chacha20poly1305", CipherSuite::EcdheEcdsaChaCha20Poly1305),
];

/// What is done again and again.
pub const KINDS: [(&str, Kind); 2] = [("plane", plane), ("shard", shard)];

/// Seals and opens so many records.
pub type Kind = fn(CipherSuite, usize, usize) -> Result<()>;

/// The names of all pieces of work: kind, suite and size.
pub fn names() -> Vec<String> {
    let mut names = Vec::new();
    for (kind, _) in KINDS {
        for (suite, _) in SUITES {
            names.extend(SIZES.map(|size| format!("{kind}_{suite}_{size}")));
        }
    }
    names
}

/// Does a piece of work `count` times.
pub fn perform(name: &str, count: usize) -> Result<()> {
    let unknown = || format!("there is no work {name:?}, but {}", names().join(", "));
    let [kind, suite, size] = name.split('_').collect::<Vec<_>>()[..] else {
        return Err(anyhow!(unknown()));
    };
    let (_, kind) = KINDS.into_iter().find(|it| it.0 == kind).with_context(unknown)?;
    let (_, suite) = SUITES.into_iter().find(|it| it.0 == suite).with_context(unknown)?;
    kind(suite, size.parse()?, count)
}

/// The record plane: a record is sealed, parsed, and opened between check and commit.
fn plane(suite: CipherSuite, size: usize, count: usize) -> Result<()> {
    let key = ExpandedKey::new(&keys_of(1, suite, Role::Client).0);
    let mut state = SealState::after(0, 1);
    let mut window = ReplayWindow::starting_after(0);
    let mut record = vec![0x42; suite.aead().record_overhead() + size];
    for _ in 0..count {
        let counters = state.take(suite.aead()).map_err(|reason| anyhow!("{reason:?}"))?;
        seal(&key, counters, APPLICATION_DATA, &mut record, size);
        let header = RecordHeader::parse(&mut SliceCursor::new(&record));
        let header = header.map_err(|_| anyhow!("the record is cut"))?;
        let checked = window.check(header.sequence);
        let opened = checked.and_then(|()| open(&key, &header, &mut record));
        opened.map_err(|reason| anyhow!("{reason:?}"))?;
        window.commit(header.sequence);
    }
    Ok(())
}

/// Two shards: plaintext to datagram at one, datagram to plaintext at the other.
fn shard(suite: CipherSuite, size: usize, count: usize) -> Result<()> {
    let now = Instant::now();
    let mut ends = Ends::new(now, suite).context("no room for one association")?;
    let (plaintext, mut wire, mut opened) = (vec![0x42; size], Wire::default(), Wire::default());
    for _ in 0..count {
        wire.clear();
        ends.near.send(now, ends.client, &plaintext, &mut wire);
        let datagram = wire.datagrams().first_mut().context("nothing was sealed")?;
        let mut ahead = ends.far.look_ahead();
        ahead.to_open(datagram);
        ahead.read();
        ends.far.receive(now, None, ENDPOINT, datagram, &mut opened);
    }
    ensure!(opened.plaintexts == count as u64, "{:?}", opened.dropped);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_work_can_be_done_by_its_name() {
        for name in names() {
            perform(&name, 3).unwrap();
        }
        assert!(perform("plane_aes128gcm", 1).is_err());
        assert!(perform("plane_rot13_64", 1).unwrap_err().to_string().contains("plane_aes128gcm"));
    }
}
