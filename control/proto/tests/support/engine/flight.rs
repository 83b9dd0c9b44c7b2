//! How a flight is written, again and again until it is answered.

use std::time::Instant;

use xdtls_common::record::content_type;

use super::{FIRST_TIMEOUT, ScriptedEngine};
use crate::support::messages::{message, record};

/// A piece of a flight. Its record is numbered, and sealed, anew each time.
#[derive(Clone)]
pub(super) enum Part {
    Message(u8, u16, Vec<u8>),
    ChangeCipherSpec,
    Finished(u16),
}

impl ScriptedEngine {
    pub(super) fn send(&mut self, now: Instant, flight: Vec<Part>) {
        self.timer = Some((now + FIRST_TIMEOUT, FIRST_TIMEOUT));
        self.flight = flight;
        self.transmit();
    }

    pub(super) fn transmit(&mut self) {
        let flight = self.flight.clone();
        let records: Vec<_> = flight.iter().map(|part| self.encode(part)).collect();
        if self.script.record_per_datagram {
            self.outgoing.extend(records);
        } else {
            self.outgoing.push_back(records.concat());
        }
    }

    fn encode(&mut self, part: &Part) -> Vec<u8> {
        let (content_type, fragment) = match part {
            Part::Message(kind, message_seq, body) => {
                (content_type::HANDSHAKE, message(*kind, *message_seq, body))
            }
            Part::ChangeCipherSpec => (content_type::CHANGE_CIPHER_SPEC, vec![1]),
            Part::Finished(message_seq) => return self.sealed_finished(*message_seq),
        };
        let sequence = self.next_record;
        self.next_record += 1;
        record(content_type, 0, sequence, &fragment)
    }
}
