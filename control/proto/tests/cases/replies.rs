//! How many ClientHellos without cookie are answered, and what becomes of the others.

use std::net::SocketAddr;

use xdtls_common::DropReason;
use xdtls_proto::shard::ReplyLimits;

use crate::support::world::{GATEWAY, Setup, World};

fn world(replies: ReplyLimits) -> World {
    World::with_gateway(Setup { replies, ..Setup::default() })
}

/// Lets one ClientHello without cookie arrive from each of these addresses; how many are answered, and
/// how many dropped for the reason.
fn flood(
    world: &mut World,
    sources: impl Iterator<Item = SocketAddr>,
    reason: DropReason,
) -> (u64, u64) {
    let count = |world: &World| {
        let answered = world.counters(GATEWAY).hello_verify_requests;
        assert_eq!(answered as usize, world.sent_by(GATEWAY).count());
        (answered, world.nodes[GATEWAY].dropped(reason))
    };
    let before = count(world);
    for from in sources {
        world.deliver(GATEWAY, from, World::first_hello(9));
    }
    let after = count(world);
    (after.0 - before.0, after.1 - before.1)
}

/// Different ports of one host.
fn ports(host: u16) -> impl Iterator<Item = SocketAddr> {
    (1..=50).map(move |port| format!("198.51.100.{host}:{port}").parse().unwrap())
}

/// Different hosts, in networks of their own where they are IPv6.
fn hosts() -> impl Iterator<Item = SocketAddr> {
    (1..=50).map(|host| match host % 2 {
        0 => format!("198.51.100.{host}:5000").parse().unwrap(),
        _ => format!("[2001:db8:0:{host}::1]:5000").parse().unwrap(),
    })
}

#[test]
fn one_source_gets_its_share_of_replies() {
    let mut world = world(ReplyLimits::First { replies: 0, replies_per_source: 10 });
    let reason = DropReason::SourceReplyLimit;
    assert_eq!(flood(&mut world, ports(1), reason), (11, 39));
    assert_eq!(flood(&mut world, ports(2), reason), (11, 39), "another has its own");
    assert_eq!(flood(&mut world, hosts().skip(2), reason), (48, 0));
    world.run_ms(1000);
    assert_eq!(flood(&mut world, ports(1), reason), (10, 40));
}

#[test]
fn all_sources_together_get_so_many_replies() {
    let mut world = world(ReplyLimits::First { replies: 10, replies_per_source: 0 });
    let reason = DropReason::ReplyLimit;
    assert_eq!(flood(&mut world, hosts(), reason), (11, 39));
    world.run_ms(500);
    assert_eq!(flood(&mut world, hosts(), reason), (5, 45));
}

#[test]
fn beside_a_program_in_the_driver_it_is_the_slow_paths_limit() {
    let mut world = world(ReplyLimits::Slow(10));
    let reason = DropReason::SlowHelloLimit;
    assert_eq!(flood(&mut world, hosts(), reason), (11, 39));
    world.run_ms(1000);
    assert_eq!(flood(&mut world, ports(1), reason), (10, 40));
}

#[test]
fn good_cookies_are_let_in_whatever_is_spent() {
    for limits in [ReplyLimits::First { replies: 1, replies_per_source: 1 }, ReplyLimits::Slow(1)] {
        let mut world = world(limits);
        flood(&mut world, ports(1), DropReason::ReplyLimit);
        let from = ports(1).next().unwrap();
        let hello = world.hello_with_cookie(from, 9, [1; 32]);
        world.deliver(GATEWAY, from, hello);
        assert_eq!(world.half_open(), 1);
    }
}
