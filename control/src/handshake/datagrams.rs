//! The memory that OpenSSL takes for a socket: whole datagrams in two bounded queues.

use std::collections::VecDeque;
use std::io::{self, Read, Write};

/// Datagrams that may wait for OpenSSL. It reads each at once, so more than one means that it has
/// stopped to read.
const MAX_INCOMING: usize = 8;

/// Datagrams that may wait for the network: the longest flight that the filter lets a handshake
/// have (a certificate chain of 16 KiB in fragments of the smallest MTU), and a bit.
const MAX_OUTGOING: usize = 96;

/// One read is one datagram, one write is one datagram.
#[derive(Default)]
pub(super) struct Datagrams {
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
    overflowed: bool,
}

impl Datagrams {
    /// Queues a datagram to be read. OpenSSL takes an empty one for the end of all input, so there
    /// is none.
    pub(super) fn push(&mut self, datagram: &[u8]) {
        if datagram.is_empty() {
            return;
        }
        if self.incoming.len() == MAX_INCOMING {
            self.overflowed = true;
            return;
        }
        self.incoming.push_back(datagram.to_vec());
    }

    /// The next datagram that has been written.
    pub(super) fn pop(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    /// Whether a datagram has been lost because a queue was full.
    pub(super) fn overflowed(&self) -> bool {
        self.overflowed
    }
}

impl Read for Datagrams {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.incoming.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        // As with a socket, what does not fit is lost.
        let length = datagram.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram[..length]);
        Ok(length)
    }
}

impl Write for Datagrams {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        if self.outgoing.len() == MAX_OUTGOING {
            self.overflowed = true;
            return Err(io::Error::other("too many datagrams are waiting to be sent"));
        }
        if !datagram.is_empty() {
            self.outgoing.push_back(datagram.to_vec());
        }
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_keep_their_boundaries() {
        let mut datagrams = Datagrams::default();
        for datagram in [&b"one"[..], b"", b"three"] {
            datagrams.push(datagram);
            assert_eq!(datagrams.write(datagram).unwrap(), datagram.len());
        }
        let mut buffer = [0; 8];
        assert_eq!(datagrams.read(&mut buffer[..2]).unwrap(), 2);
        assert_eq!(datagrams.read(&mut buffer).unwrap(), 5);
        assert_eq!(&buffer[..5], b"three");
        assert_eq!(datagrams.read(&mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(datagrams.pop().unwrap(), b"one");
        assert_eq!(datagrams.pop().unwrap(), b"three");
        assert_eq!(datagrams.pop(), None);
    }

    #[test]
    fn full_queues_are_noticed() {
        let mut outgoing = Datagrams::default();
        (0..MAX_OUTGOING).for_each(|_| assert_eq!(outgoing.write(b"x").unwrap(), 1));
        assert!(!outgoing.overflowed());
        assert!(outgoing.write(b"x").is_err());
        assert!(outgoing.overflowed());

        let mut incoming = Datagrams::default();
        (0..=MAX_INCOMING).for_each(|_| incoming.push(b"x"));
        assert!(incoming.overflowed());
    }
}
