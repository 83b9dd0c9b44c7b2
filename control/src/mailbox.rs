//! A queue to another thread.
//!
//! Messages that must arrive are bounded by what causes them (one acknowledgement for each
//! association, say) and are always taken. Datagrams come from the network and are bounded here:
//! beyond the limit they are refused, and the caller counts the drop.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rustix::event::{EventfdFlags, eventfd};

/// Datagrams that may wait in one mailbox.
const MAX_DATAGRAMS: usize = 4096;

struct Letter<T> {
    message: T,
    counted: bool,
}

/// The sending side; clones share one queue.
pub struct Postbox<T> {
    sender: Sender<Letter<T>>,
    datagrams: Arc<AtomicUsize>,
    bell: Arc<OwnedFd>,
}

/// The receiving side.
pub struct Mailbox<T> {
    receiver: Receiver<Letter<T>>,
    datagrams: Arc<AtomicUsize>,
    bell: Arc<OwnedFd>,
}

/// The queue holds as many datagrams as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Makes both sides.
pub fn mailbox<T>() -> std::io::Result<(Postbox<T>, Mailbox<T>)> {
    let (sender, receiver) = crossbeam_channel::unbounded();
    let datagrams = Arc::new(AtomicUsize::new(0));
    let bell = Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?);
    let postbox = Postbox { sender, datagrams: datagrams.clone(), bell: bell.clone() };
    Ok((postbox, Mailbox { receiver, datagrams, bell }))
}

impl<T> Postbox<T> {
    /// Posts a message that must arrive. A receiver that is gone needs none.
    pub fn post(&self, message: T) {
        self.put(Letter { message, counted: false });
    }

    /// Offers a datagram.
    pub fn offer(&self, message: T) -> Result<(), Full> {
        if self.datagrams.fetch_add(1, Ordering::Relaxed) >= MAX_DATAGRAMS {
            self.datagrams.fetch_sub(1, Ordering::Relaxed);
            return Err(Full);
        }
        self.put(Letter { message, counted: true });
        Ok(())
    }

    fn put(&self, letter: Letter<T>) {
        if self.sender.send(letter).is_ok() {
            // The bell fails only when it has been rung 2^64 times unheard: it rings already.
            let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
        }
    }
}

impl<T> Clone for Postbox<T> {
    fn clone(&self) -> Self {
        Self {
            sender: self.sender.clone(),
            datagrams: self.datagrams.clone(),
            bell: self.bell.clone(),
        }
    }
}

impl<T> Mailbox<T> {
    /// What becomes readable when there is a message, for epoll.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Silences the bell. To be done before the last message is taken, or one might be overslept.
    pub fn silence(&self) {
        let mut count = [0; 8];
        // It fails when the bell has not rung, which is as good.
        let _ = rustix::io::read(&self.bell, &mut count);
    }

    /// The next message, if there is one.
    pub fn take(&self) -> Option<T> {
        self.receiver.try_recv().ok().map(|letter| self.open(letter))
    }

    /// Waits for the next message until `deadline`, or for ever without one. `None` when the time
    /// has come, or when nobody is left to post.
    pub fn wait(&self, deadline: Option<Instant>) -> Option<T> {
        let letter = match deadline {
            Some(deadline) => self.receiver.recv_deadline(deadline),
            None => self.receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        letter.ok().map(|letter| self.open(letter))
    }

    fn open(&self, letter: Letter<T>) -> T {
        if letter.counted {
            self.datagrams.fetch_sub(1, Ordering::Relaxed);
        }
        letter.message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_bounded_and_other_messages_are_not() {
        let (postbox, mailbox) = mailbox().unwrap();
        for number in 0..MAX_DATAGRAMS {
            assert_eq!(postbox.offer(number), Ok(()));
        }
        assert_eq!(postbox.offer(0), Err(Full));
        postbox.post(7);
        assert_eq!(mailbox.take(), Some(0));
        assert_eq!(postbox.offer(8), Ok(()));
        assert_eq!(postbox.offer(9), Err(Full));
        let rest: Vec<_> = std::iter::from_fn(|| mailbox.take()).collect();
        assert_eq!(rest.len(), MAX_DATAGRAMS + 1);
        assert_eq!(rest[rest.len() - 2..], [7, 8]);
    }

    #[test]
    fn the_bell_rings_until_it_is_silenced() {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let (postbox, mailbox) = mailbox().unwrap();
        let rings = || {
            let mut fds = [PollFd::from_borrowed_fd(mailbox.bell(), PollFlags::IN)];
            poll(&mut fds, Some(&Timespec::default())).unwrap() == 1
        };
        assert!(!rings());
        postbox.post(());
        assert!(rings());
        mailbox.silence();
        assert!(!rings());
        assert_eq!(mailbox.take(), Some(()));
    }
}
