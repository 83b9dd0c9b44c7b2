//! How far the gateway's XDP program is from what XDP can do: the same frames against a program
//! that sends each back, and one that drops each.

use anyhow::{Context, Result, ensure};
use aya::maps::Array;
use serde::Serialize;
use xdtls_common::id::IdLayout;
use xdtls_common::map::{AssociationValue, BLOCK_SLOTS, Tag, TagBlock};
use xdtls_common::verdict::{Entry, Phase};
use xdtls_netlab::Process;

use super::{Bench, SLOTS, end};
use crate::numbers::Window;
use crate::process_cost::map;

/// Frames of one window.
const FRAMES: u64 = 2 << 20;

/// Frames a second that a receiver with a core of its own is offered, one after the other; 0 is as
/// many as the generator makes. What is beyond its capacity costs it more than nothing, because the
/// sender and it contend for the ring: which rate is answered best is each receiver's own.
const OFFERED: [u64; 6] = [0, 4_800_000, 3_900_000, 3_100_000, 2_500_000, 2_000_000];

/// The generation of the flood.
const WRONG: u32 = 1;

/// The four that are compared, window by window.
#[derive(Debug, Default, Serialize)]
pub struct Compared {
    /// Every frame sent back.
    pub xdp_tx: Vec<Window>,
    /// The gateway: HelloVerifyRequests.
    pub hello_verify_request: Vec<Window>,
    /// Every frame dropped.
    pub xdp_drop: Vec<Window>,
    /// The gateway: wrong generations on 1,048,576 occupied slots.
    pub drop: Vec<Window>,
}

/// The comparison in both layouts.
#[derive(Debug, Default, Serialize)]
pub struct Bounds {
    /// The receiver has a core that does nothing else; the generator may be faster.
    pub own_core: Compared,
    /// One core sends and receives: nothing is lost, and the generator's work is in all figures.
    pub shared_core: Compared,
}

impl Bounds {
    /// One window of each.
    pub fn round(&mut self, bench: &Bench) -> Result<()> {
        let hellos = ["--senders", "1048576"];
        let bits = (SLOTS.ilog2()).to_string();
        let generation = WRONG.to_string();
        let ids = ["--slot-bits", &bits, "--generation", &generation];
        let reflect = bench.lab.start_bound("reflect")?;
        for (own_core, compared) in self.layouts() {
            let window = measure(bench, own_core, "hello", &hellos, |change| change.sent_back)?;
            compared.xdp_tx.push(window);
        }
        end(reflect)?;
        let discard = bench.lab.start_bound("discard")?;
        for (own_core, compared) in self.layouts() {
            let window = measure(bench, own_core, "wrong-generation", &ids, |c| c.dropped)?;
            compared.xdp_drop.push(window);
        }
        end(discard)?;
        let gateway = bench.lab.start_gateway(SLOTS)?;
        occupy(&gateway)?;
        for (own_core, compared) in self.layouts() {
            let window = measure(bench, own_core, "hello", &hellos, |change| change.replies)?;
            compared.hello_verify_request.push(window);
            let window = measure(bench, own_core, "wrong-generation", &ids, |c| c.unknown_ids)?;
            compared.drop.push(window);
        }
        end(gateway)
    }

    fn layouts(&mut self) -> [(bool, &mut Compared); 2] {
        [(true, &mut self.own_core), (false, &mut self.shared_core)]
    }
}

/// What has changed in a window, by everybody's counters.
struct Change {
    sent_back: u64,
    dropped: u64,
    replies: u64,
    unknown_ids: u64,
}

/// The window with the highest rate of those that the layout has.
fn measure(
    bench: &Bench,
    own_core: bool,
    kind: &str,
    arguments: &[&str],
    handled: impl Fn(&Change) -> u64,
) -> Result<Window> {
    let offered = if own_core { &OFFERED[..] } else { &[0] };
    let mut best = Window::default();
    for rate in offered {
        let rate = rate.to_string();
        let arguments = [arguments, &["--rate", &rate]].concat();
        let window = window(bench, own_core, kind, &arguments, &handled)?;
        if window.rate() > best.rate() {
            best = window;
        }
    }
    Ok(best)
}

fn window(
    bench: &Bench,
    own_core: bool,
    kind: &str,
    arguments: &[&str],
    handled: impl Fn(&Change) -> u64,
) -> Result<Window> {
    bench.interrupt.check()?;
    let lab = bench.lab;
    lab.own_core(own_core, true)?;
    // A bound has no status.
    let unknown_ids =
        || lab.status().map_or(0, |it| it["drops"]["unknown_id"].as_u64().unwrap_or(0));
    let (before, unknown_before) = (lab.received()?, unknown_ids());
    let report = match own_core {
        true => lab.flood_first(kind, FRAMES, arguments)?,
        false => lab.flood(kind, FRAMES, arguments)?,
    };
    let (after, unknown_after) = (lab.received()?, unknown_ids());
    let change = |name: &str| -> Result<u64> {
        let name = format!("rx_queue_0_{name}");
        let (before, after) = (before.get(&name), after.get(&name));
        Ok(after.with_context(|| format!("veth has no counter {name}"))? - before.unwrap_or(&0))
    };
    lab.own_core(false, false)?;
    let change_of = Change {
        sent_back: change("xdp_tx")?,
        dropped: change("xdp_drops")?,
        replies: report.replies.hello_verify_requests,
        unknown_ids: unknown_after - unknown_before,
    };
    let received = change("xdp_packets")?;
    ensure!(received > 0, "nothing of the flood has arrived on receive queue 0");
    Ok(Window {
        sent: report.sent.frames,
        received,
        handled: handled(&change_of),
        seconds: report.sent.seconds,
    })
}

/// A generation other than the flood's, another one from slot to slot.
const fn occupied(slot: u32) -> u32 {
    let generations = u32::MAX / SLOTS;
    WRONG + 1 + (slot.wrapping_mul(0x85eb_ca6b) >> 12) % (generations - WRONG)
}

/// Puts an association into every slot of the gateway's tables. The gateway does not know of them:
/// they are there for the XDP program, which must look at them.
fn occupy(gateway: &Process) -> Result<()> {
    let layout = IdLayout::for_capacity(SLOTS, 1).context("too many slots")?;
    let mut tags: Array<_, [u8; size_of::<TagBlock>()]> = map(gateway.id(), "TAGS")?.try_into()?;
    let mut associations: Array<_, [u8; 16]> = map(gateway.id(), "ASSOCIATIONS")?.try_into()?;
    let entry = Entry { phase: Phase::Established, peer_id: 1 };
    for block in 0..SLOTS / BLOCK_SLOTS {
        let mut block_tags = [Tag::EMPTY; BLOCK_SLOTS as usize];
        for (slot, tag) in (block * BLOCK_SLOTS..).zip(&mut block_tags) {
            let id = layout.id(slot, occupied(slot)).context("no id")?;
            let association = AssociationValue::new(layout, id, entry);
            associations.set(slot, bytemuck::must_cast::<_, [u8; 16]>(association), 0)?;
            *tag = Tag::of(id.value());
        }
        tags.set(block, bytemuck::must_cast::<_, [u8; size_of::<TagBlock>()]>(block_tags), 0)?;
    }
    Ok(())
}
