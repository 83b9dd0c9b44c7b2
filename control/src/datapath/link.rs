//! Keeps an eye on the interface that the XDP program is attached to.
//!
//! A cable that is pulled or an MTU that is changed is the operator's to know; traffic goes on by
//! itself when all is well again. An interface that is deleted takes the program and the AF_XDP
//! sockets with it, also when another of its name appears. What happens then is decided in
//! `docs/adr/0029-interface-gone.md`.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::anyhow;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::{info, warn};

use super::interface::Interface;

/// How often the interface is looked at. Not everything that matters is announced: the kernel tells
/// nobody of rtnetlink that the number of queues has changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How an interface is doing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkStatus {
    /// Its name.
    pub name: String,
    /// Whether packets can pass.
    pub state: LinkState,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Receive queues that are in use.
    pub queues: u32,
}

/// Whether packets can pass an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// They can.
    Up,
    /// It is down, or its cable is.
    Down,
    /// It has been deleted.
    Gone,
}

impl LinkState {
    /// As part of a sentence.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Gone => "gone",
        }
    }
}

impl From<&Interface> for LinkStatus {
    fn from(interface: &Interface) -> Self {
        Self {
            name: interface.name.clone(),
            state: if interface.up { LinkState::Up } else { LinkState::Down },
            mtu: interface.mtu,
            queues: interface.queues,
        }
    }
}

/// What AF_XDP sockets were made for.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// Queues that have sockets.
    pub queues: u32,
    /// The largest MTU in bytes whose packets fit into a frame.
    pub mtu_max: u32,
}

/// An interface that is watched as long as the runtime lasts.
#[derive(Clone, Debug)]
pub struct Link {
    newest: Arc<Mutex<LinkStatus>>,
    gone: watch::Receiver<bool>,
    required: bool,
}

impl Link {
    /// Begins to watch. `required` says whether a node may go on without the interface.
    pub fn watch(interface: &Interface, served: Served, required: bool) -> Self {
        let newest = Arc::new(Mutex::new(LinkStatus::from(interface)));
        let (tell, gone) = watch::channel(false);
        let link = Self { newest, gone, required };
        tokio::spawn(link.clone().follow(interface.index, served, tell));
        link
    }

    async fn follow(self, index: u32, served: Served, gone: watch::Sender<bool>) {
        let mut look = tokio::time::interval(LOOK_EVERY);
        let mut before = self.status();
        while before.state != LinkState::Gone {
            look.tick().await;
            let now = match Interface::find_by_index(index).await {
                Ok(Some(interface)) => LinkStatus::from(&interface),
                Ok(None) => LinkStatus { state: LinkState::Gone, ..before.clone() },
                // The kernel could not tell: it may next time.
                Err(_) => continue,
            };
            for (worth_waking, words) in changes(&before, &now, served, self.required) {
                if worth_waking { warn!("{words}") } else { info!("{words}") }
            }
            self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&now);
            before = now;
        }
        // Whoever does not listen has ended.
        let _ = gone.send(true);
    }

    /// How it was doing when last looked at.
    pub fn status(&self) -> LinkStatus {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it has been deleted.
    pub fn is_gone(&self) -> bool {
        *self.gone.borrow()
    }

    /// The error to end with, once the interface is gone; never where that is no reason to end.
    pub async fn lost(mut self) -> anyhow::Error {
        if !self.required || self.gone.wait_for(|gone| *gone).await.is_err() {
            return std::future::pending().await;
        }
        anyhow!("{}", gone_words(&self.status().name, true))
    }
}

fn gone_words(name: &str, required: bool) -> String {
    let consequence = if required {
        "datapath xdp forbids to go on without it: start again when there is an interface of this \
         name, as a service manager does"
    } else {
        "going on with sockets; a restart brings XDP back when there is an interface of this name"
    };
    format!("the interface {name} has been deleted, and XDP with it: {consequence}")
}

/// What is to be said of a change, and whether it is worth a warning.
fn changes(
    before: &LinkStatus,
    now: &LinkStatus,
    served: Served,
    required: bool,
) -> Vec<(bool, String)> {
    let name = &now.name;
    let mut changes = Vec::new();
    if now.state != before.state {
        changes.push(match now.state {
            LinkState::Up => (false, format!("the interface {name} is up again")),
            LinkState::Down => {
                (true, format!("the interface {name} is down: nothing passes until it is up again"))
            }
            LinkState::Gone => (true, gone_words(name, required)),
        });
    }
    if now.mtu != before.mtu {
        let fits = now.mtu <= served.mtu_max;
        let consequence = if fits {
            ""
        } else {
            "; frames were made for less, and longer packets are lost until a restart"
        };
        changes
            .push((!fits, format!("the interface {name} has an MTU of {}{consequence}", now.mtu)));
    }
    if now.queues != before.queues {
        let (queues, served) = (now.queues, served.queues);
        let consequence = if queues <= served {
            String::new()
        } else {
            format!(
                "; those beyond the first {served} have no AF_XDP sockets, and their packets take the \
                 slow path until a restart"
            )
        };
        let words = format!("the interface {name} has {queues} receive queues{consequence}");
        changes.push((queues > served, words));
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(now: LinkStatus, required: bool) -> Vec<(bool, String)> {
        let before =
            LinkStatus { name: "eth0".to_owned(), state: LinkState::Up, mtu: 1500, queues: 2 };
        let served = Served { queues: 2, mtu_max: 1774 };
        changes(&before, &LinkStatus { name: "eth0".to_owned(), ..now }, served, required)
    }

    fn link(state: LinkState, mtu: u32, queues: u32) -> LinkStatus {
        LinkStatus { name: String::new(), state, mtu, queues }
    }

    #[test]
    fn changes_are_told_with_what_they_mean() {
        let cases = [
            (link(LinkState::Up, 1500, 2), false, None),
            (link(LinkState::Down, 1500, 2), true, Some("until it is up again")),
            (link(LinkState::Up, 1400, 2), false, Some("MTU of 1400")),
            (link(LinkState::Up, 1700, 2), false, Some("MTU of 1700")),
            (link(LinkState::Up, 3000, 2), true, Some("longer packets are lost")),
            (link(LinkState::Up, 9000, 2), true, Some("longer packets are lost")),
            (link(LinkState::Up, 1500, 1), false, Some("1 receive queues")),
            (link(LinkState::Up, 1500, 4), true, Some("beyond the first 2 have no")),
            (link(LinkState::Gone, 1500, 2), true, Some("going on with sockets")),
        ];
        for (now, worth_waking, words) in cases {
            let told = told(now.clone(), false);
            assert_eq!(told.len(), usize::from(words.is_some()), "{now:?}: {told:?}");
            for (warning, said) in told {
                assert_eq!(warning, worth_waking, "{said}");
                assert!(said.contains(words.unwrap()), "{said}");
            }
        }
        let told = told(link(LinkState::Gone, 1500, 2), true);
        assert!(told[0].1.contains("start again when"), "{told:?}");
    }
}
