//! Keys, and the Finished messages that are sealed with them.

use xdtls_common::cursor::SliceCursor;
use xdtls_common::record::{RecordHeader, content_type};
use xdtls_proto::keys::{KeyPair, Role};
use xdtls_proto::prf::prf;
use xdtls_proto::record_plane::{ExpandedKey, SealState, open, seal};

use super::{MASTER_SECRET, ScriptedEngine};
use crate::support::messages::{FINISHED, message, parse_message};

const VERIFY_DATA_LEN: usize = 12;

pub(super) struct Ciphers {
    seal: ExpandedKey,
    state: SealState,
    open: ExpandedKey,
}

impl ScriptedEngine {
    /// Both hellos are known.
    pub(super) fn agree(&mut self) {
        let suite = self.own.suites[0];
        let (client, server) = self.randoms();
        let pair = KeyPair::derive(suite, &MASTER_SECRET, client, server);
        let (seal, open) = pair.into_seal_and_open(self.role);
        self.ciphers = Some(Ciphers {
            seal: ExpandedKey::new(&seal),
            state: SealState::after(0, self.first_nonce),
            open: ExpandedKey::new(&open),
        });
    }

    pub(super) fn sealed_finished(&mut self, message_seq: u16) -> Vec<u8> {
        let finished = message(FINISHED, message_seq, &self.verify_data(self.role));
        let ciphers = self.ciphers.as_mut().unwrap();
        let aead = ciphers.seal.aead();
        let mut record = vec![0; aead.record_overhead() + finished.len()];
        record[aead.plaintext_offset()..][..finished.len()].copy_from_slice(&finished);
        let counters = ciphers.state.take(aead).unwrap();
        seal(&ciphers.seal, counters, content_type::HANDSHAKE, &mut record, finished.len());
        record
    }

    fn verify_data(&self, sender: Role) -> [u8; VERIFY_DATA_LEN] {
        let label = match sender {
            Role::Client => b"client finished",
            Role::Server => b"server finished",
        };
        let transcript = self.transcript();
        let mut data = [0; VERIFY_DATA_LEN];
        prf(self.own.suites[0].prf(), &MASTER_SECRET, label, &[&transcript], &mut data);
        data
    }

    pub(super) fn finished_has_come(&mut self) -> bool {
        if !self.change_cipher_spec_seen {
            return false;
        }
        let peer = if self.role == Role::Client { Role::Server } else { Role::Client };
        let wanted = self.verify_data(peer);
        let ciphers = self.ciphers.as_ref().unwrap();
        self.encrypted.drain(..).any(|mut record| {
            let header = RecordHeader::parse(&mut SliceCursor::new(&record)).unwrap();
            let plaintext = open(&ciphers.open, &header, &mut record).map(|range| &record[range]);
            let message = plaintext.ok().and_then(parse_message);
            message == Some((FINISHED, &wanted[..]))
        })
    }
}
