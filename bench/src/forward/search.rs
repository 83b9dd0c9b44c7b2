//! The highest rate with next to no loss.
//!
//! The search begins at a rate that is known, or at what arrives if as much is sent as can be. It goes
//! up, or down, by steps until one rate is carried and the next is not, and halves what lies between.
//! There is no other upper bound: what arrives of too much may be a twentieth of what is carried.
//!
//! A rate fails only if several trials in a row lose too much: whatever else the machine does for a
//! moment costs a trial more than it is allowed to lose. What counts is a longer trial at the rate
//! that was found, or a little below.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use super::load::{Load, Trial, Way};
use super::stage::{Stage, busy_seconds, seconds_of};
use super::{LOSS_MAX, Window};

/// How the search goes on from the rate that it begins with.
#[derive(Clone, Copy, Debug)]
struct Steps {
    /// From one rate to the next.
    factor: f64,
    /// How many there are at most.
    most: usize,
    /// How often the interval between two rates is halved.
    halvings: usize,
}

/// From what arrived of too much.
const COARSE: Steps = Steps { factor: 1.4, most: 20, halvings: 4 };

/// From the rate of an earlier round.
const FINE: Steps = Steps { factor: 1.15, most: 20, halvings: 2 };

/// How long each trial takes, and after how many bad ones a rate has failed.
pub(super) const TRIAL: Duration = Duration::from_millis(150);
const TRIES: usize = 3;

/// What loses more than this has failed at once: no moment's trouble costs so much.
const GROSS: f64 = 0.1;

/// How long the trial takes that counts, how often a lower rate is tried if it loses too much, and
/// how much lower.
const WINDOW: Duration = Duration::from_millis(400);
const WINDOWS_MAX: usize = 16;
const LOWER: f64 = 0.95;

/// A sender that falls short of the rate by more than this cannot send more.
const SHORT: f64 = 0.95;

/// The lowest rate that the search begins with, in datagrams a second.
const LEAST: f64 = 1_000.0;

/// Where the search begins, in datagrams a second.
#[derive(Clone, Copy, Debug)]
pub(super) enum Start {
    /// At the rate of an earlier round.
    Known(f64),
    /// At what arrives if as much is sent as can be.
    Overload(f64),
}

/// What is to be carried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traffic {
    pub(super) way: Way,
    /// Of a datagram, in bytes.
    pub(super) size: usize,
    /// More datagrams a second than are carried.
    pub(super) flat_out: f64,
}

/// What arrives a second, and what is dropped where, if as much is sent as can be.
pub(super) fn overload(
    load: &mut Load,
    Traffic { way, size, flat_out }: Traffic,
    stage: &Stage,
) -> Result<(f64, BTreeMap<String, u64>)> {
    let before = stage.lost()?;
    let trial = load.trial(way, size, flat_out, TRIAL);
    let mut lost = stage.lost()?;
    for (place, count) in &mut lost {
        *count = count.saturating_sub(before.get(place).copied().unwrap_or(0));
    }
    lost.retain(|_, count| *count > 0);
    Ok((trial.rate(), lost))
}

/// The window at the highest rate. `gateway` are the processes whose time counts.
pub(super) fn highest(
    load: &mut Load,
    traffic: Traffic,
    from: Start,
    gateway: &[u32],
) -> Result<Window> {
    let mut trial = |rate| load.trial(traffic.way, traffic.size, rate, TRIAL);
    let mut rate = match from {
        Start::Known(rate) => search(rate, FINE, &mut trial),
        Start::Overload(rate) => search(rate, COARSE, &mut trial),
    };
    let spent = || anyhow::Ok((seconds_of(gateway)?, busy_seconds()?));
    for _ in 0..WINDOWS_MAX {
        for _ in 0..TRIES {
            let before = spent()?;
            let trial = load.trial(traffic.way, traffic.size, rate, WINDOW);
            let after = spent()?;
            if is_good(trial) {
                let each = |before, after| (after - before) * 1e6 / trial.received as f64;
                return Ok(Window {
                    sent: trial.sent,
                    received: trial.received,
                    seconds: trial.seconds,
                    rate: trial.rate(),
                    gateway_us: each(before.0, after.0),
                    machine_us: each(before.1, after.1),
                });
            }
            rate = rate.min(offered(trial));
            if trial.loss() > GROSS {
                break;
            }
        }
        rate *= LOWER;
    }
    Ok(Window::default())
}

/// About the highest rate that is carried; the lowest that was tried if none is.
fn search(from: f64, steps: Steps, trial: &mut impl FnMut(f64) -> Trial) -> f64 {
    let Steps { factor, most, halvings } = steps;
    let mut carried = |rate| {
        for _ in 0..TRIES {
            let trial = trial(rate);
            if is_good(trial) || trial.loss() > GROSS {
                return Some(trial).filter(|trial| is_good(*trial));
            }
        }
        None
    };
    let (mut low, mut high) = (None, None);
    let mut rate = from.max(LEAST);
    for _ in 0..most {
        match carried(rate) {
            Some(trial) if offered(trial) < SHORT * rate => return offered(trial),
            Some(_) => (low, rate) = (Some(rate), rate * factor),
            None => (high, rate) = (Some(rate), rate / factor),
        }
        if low.is_some() && high.is_some() {
            break;
        }
    }
    let (Some(mut low), Some(mut high)) = (low, high) else { return low.unwrap_or(rate) };
    for _ in 0..halvings {
        let rate = f64::midpoint(low, high);
        if carried(rate).is_some() {
            low = rate;
        } else {
            high = rate;
        }
    }
    low
}

fn is_good(trial: Trial) -> bool {
    trial.received > 0 && trial.loss() <= LOSS_MAX
}

/// Datagrams a second that were sent, for as long as any were.
fn offered(trial: Trial) -> f64 {
    trial.sent as f64 / trial.sending
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tunnel that carries so much.
    fn carries(most: f64) -> impl FnMut(f64) -> Trial {
        move |rate| Trial {
            sent: rate as u64,
            received: rate.min(most) as u64,
            sending: 1.0,
            seconds: 1.0,
        }
    }

    #[test]
    fn the_highest_rate_is_found_from_above_and_from_below() {
        for from in [0.0, 20_000.0, 290_000.0, 900_000.0] {
            let found = search(from, COARSE, &mut carries(300_000.0));
            assert!((289_000.0..=300_300.0).contains(&found), "{found} from {from}");
        }
        let found = search(290_000.0, FINE, &mut carries(300_000.0));
        assert!((288_000.0..=300_300.0).contains(&found), "{found}");
    }

    #[test]
    fn two_bad_trials_in_a_row_do_not_lower_it() {
        let (mut number, mut carried) = (0, carries(300_000.0));
        let mut trial = |rate| {
            number += 1;
            let trial = carried(rate);
            let disturbed = (0.95 * trial.received as f64) as u64;
            if number % 3 == 0 { trial } else { Trial { received: disturbed, ..trial } }
        };
        assert!(search(20_000.0, COARSE, &mut trial) > 289_000.0);
    }

    #[test]
    fn a_sender_that_cannot_send_more_ends_the_search() {
        let mut trial = |rate: f64| {
            let sent = rate.min(250_000.0) as u64;
            Trial { sent, received: sent, sending: 1.0, seconds: 1.0 }
        };
        assert_eq!(search(200_000.0, COARSE, &mut trial), 250_000.0);
    }

    #[test]
    fn what_carries_nothing_ends_the_search_too() {
        let mut trial = |rate| Trial { sent: rate as u64, received: 0, sending: 1.0, seconds: 1.0 };
        assert!(search(200_000.0, COARSE, &mut trial) < LEAST);
    }
}
