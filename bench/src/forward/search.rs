//! The highest rate with next to no loss.
//!
//! Rates that are lost at are tried again: whatever else the machine does for a moment costs a
//! trial more than it is allowed to lose. Bounds are halved between trials of a fraction of a
//! second; what counts is one second at the rate that they have led to, or a little below.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;

use super::load::{Load, Trial, Way};
use super::stage::{Stage, busy_seconds, seconds_of};
use super::{LOSS_MAX, Window};

/// How often the interval of a rate is halved: from nothing to as much as can be sent, and around a
/// rate that is known.
const HALVINGS: [usize; 2] = [6, 4];

/// The interval around a rate that is known.
const AROUND: [f64; 2] = [0.8, 1.3];

/// How long each trial takes, and how often one is tried again.
pub(super) const TRIAL: Duration = Duration::from_millis(300);
const TRIES: usize = 2;

/// How long the trial takes that counts, how often a lower rate is tried if it loses too much, and
/// how much lower.
const WINDOW: Duration = Duration::from_secs(1);
const WINDOWS_MAX: usize = 16;
const LOWER: f64 = 0.96;

/// What is to be carried.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traffic {
    pub(super) way: Way,
    /// Of a datagram, in bytes.
    pub(super) size: usize,
    /// More datagrams a second than are carried.
    pub(super) flat_out: f64,
}

/// What is dropped where if as much is sent as can be.
pub(super) fn overload(
    load: &mut Load,
    Traffic { way, size, flat_out }: Traffic,
    stage: &Stage,
) -> Result<BTreeMap<String, u64>> {
    let before = stage.lost()?;
    load.trial(way, size, flat_out, TRIAL);
    let mut lost = stage.lost()?;
    for (place, count) in &mut lost {
        *count -= before.get(place).copied().unwrap_or(0);
    }
    lost.retain(|_, count| *count > 0);
    Ok(lost)
}

/// The window at the highest rate; `known` is one of an earlier round, or 0. `gateway` are the
/// processes whose time counts.
pub(super) fn highest(
    load: &mut Load,
    traffic: Traffic,
    known: f64,
    gateway: &[u32],
) -> Result<Window> {
    let mut rate = search(load, traffic, known);
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
        }
        rate *= LOWER;
    }
    Ok(Window::default())
}

/// About the highest rate.
fn search(load: &mut Load, traffic: Traffic, known: f64) -> f64 {
    let mut trial = |rate| load.trial(traffic.way, traffic.size, rate, TRIAL);
    if known > 0.0 {
        let bounds = AROUND.map(|factor| factor * known);
        return halve(bounds, HALVINGS[1], &mut trial);
    }
    let flat_out = trial(traffic.flat_out);
    if is_good(flat_out) {
        return offered(flat_out);
    }
    let most = offered(flat_out).min(2.0 * flat_out.rate().max(1e4));
    halve([0.0, most], HALVINGS[0], &mut trial)
}

/// The highest rate between two that is good, about; the lower of them if none is.
fn halve([mut low, mut high]: [f64; 2], times: usize, trial: &mut impl FnMut(f64) -> Trial) -> f64 {
    for _ in 0..times {
        let rate = f64::midpoint(low, high);
        if (0..TRIES).any(|_| is_good(trial(rate))) {
            low = rate;
        } else {
            high = rate;
        }
    }
    if low > 0.0 { low } else { high }
}

fn is_good(trial: Trial) -> bool {
    trial.received > 0 && trial.loss() <= LOSS_MAX
}

/// Datagrams a second that were sent.
fn offered(trial: Trial) -> f64 {
    trial.sent as f64 / trial.seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tunnel that carries so much.
    fn carries(most: f64) -> impl FnMut(f64) -> Trial {
        move |rate| Trial { sent: rate as u64, received: rate.min(most) as u64, seconds: 1.0 }
    }

    #[test]
    fn the_highest_rate_is_found_between_bounds() {
        let found = halve([0.0, 800_000.0], 6, &mut carries(300_000.0));
        assert!((287_500.0..=300_300.0).contains(&found), "{found}");
        assert_eq!(halve([80.0, 130.0], 4, &mut carries(20.0)), 80.0);
    }

    #[test]
    fn one_bad_trial_does_not_lower_it() {
        let (mut number, mut carried) = (0, carries(300_000.0));
        let mut trial = |rate| {
            number += 1;
            let trial = carried(rate);
            if number % 2 == 1 { Trial { received: 0, ..trial } } else { trial }
        };
        assert!(halve([0.0, 800_000.0], 6, &mut trial) > 287_000.0);
    }
}
