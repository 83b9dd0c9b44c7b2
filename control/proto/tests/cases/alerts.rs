//! What ends an association, and what does not: nothing that is not authenticated.

use xdtls_common::DropReason;
use xdtls_common::prefix::Prefix;
use xdtls_common::record::content_type::ALERT;
use xdtls_proto::association::CloseCause;

use crate::support::messages::record;
use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, Setup, World, other};

fn established() -> World {
    World::established(Setup::default(), Script::new("client one"))
}

fn data_still_passes(world: &mut World) -> bool {
    let id = world.id(CLIENT);
    world.send(CLIENT, id, b"still here");
    world.run_ms(20);
    world.received(GATEWAY).ends_with(&[b"still here"])
}

#[test]
fn close_notify_ends_both_ends() {
    for closer in [CLIENT, GATEWAY] {
        let mut world = established();
        let (own, peer) = (world.id(closer), world.id(other(closer)));
        world.close(closer, own);
        assert_eq!(world.nodes[closer].journal.closed, [(own, CloseCause::Local)]);
        world.run_ms(10);
        assert_eq!(world.nodes[other(closer)].journal.closed, [(peer, CloseCause::PeerClosed)]);
        let answer = world.sent_by(other(closer)).last().unwrap();
        assert_eq!(world.known(closer).open(answer), [(ALERT, 2, vec![1, 0])]);
        world.run_ms(100);
        assert_eq!(world.nodes[closer].journal.drops, [(DropReason::Closed, 1)].into());
        assert_eq!(world.nodes.iter().map(|node| node.established()).sum::<usize>(), 0);
    }
}

/// Its level says nothing (RFC 5246 §7.2.1).
#[test]
fn close_notify_at_the_level_of_errors_is_close_notify() {
    let mut world = established();
    let datagram = world.known(CLIENT).datagram(ALERT, 10, &[2, 0]);
    world.deliver_from(CLIENT, datagram);
    let closed = (world.id(GATEWAY), CloseCause::PeerClosed);
    assert_eq!(world.nodes[GATEWAY].journal.closed, [closed]);
}

#[test]
fn data_before_close_notify_arrives_and_data_behind_it_does_not() {
    let mut world = established();
    let known = world.known(CLIENT);
    let records = [(23, 10, &b"before"[..]), (ALERT, 11, &[1, 0]), (23, 12, b"behind")]
        .map(|(kind, sequence, body)| known.record(kind, sequence, body));
    let datagram = [&known.prefix()[..], &records.concat()].concat();
    world.deliver_from(CLIENT, datagram);
    assert_eq!(world.received(GATEWAY), [b"before"]);
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::Closed), 1);
}

#[test]
fn an_authentic_fatal_alert_ends_the_association_without_an_answer() {
    for sender in [CLIENT, GATEWAY] {
        let mut world = established();
        let receiver = other(sender);
        let (id, sent) = (world.id(receiver), world.sent_by(receiver).count());
        let datagram = world.known(sender).datagram(ALERT, 10, &[2, 20]);
        world.deliver_from(sender, datagram);
        assert_eq!(world.nodes[receiver].journal.closed, [(id, CloseCause::PeerAlert(20))]);
        assert_eq!(world.sent_by(receiver).count(), sent);
    }
}

#[test]
fn warnings_and_malformed_alerts_end_nothing() {
    let mut world = established();
    let bodies = [&[1, 90][..], &[], &[2], &[2, 20, 0], &[3, 20]];
    for (body, sequence) in bodies.into_iter().zip(10..) {
        let datagram = world.known(CLIENT).datagram(ALERT, sequence, body);
        world.deliver_from(CLIENT, datagram);
    }
    assert_eq!(world.nodes[GATEWAY].dropped(DropReason::MalformedContent), 4);
    assert!(data_still_passes(&mut world));
}

#[test]
fn no_alert_that_is_not_authentic_ends_an_association() {
    for sender in [CLIENT, GATEWAY] {
        let mut world = established();
        let known = world.known(sender);
        let mut altered = known.datagram(ALERT, 10, &[2, 20]);
        *altered.last_mut().unwrap() ^= 1;
        let clear = |epoch| [&known.prefix()[..], &record(ALERT, epoch, 9, &[2, 40])].concat();
        let (epoch_0, epoch_1, epoch_2) = (clear(0), clear(1), clear(2));
        for (datagram, reason) in [
            (altered, DropReason::NotAuthentic),
            (epoch_0, DropReason::WrongEpoch),
            (epoch_1, DropReason::MalformedRecord),
            (epoch_2, DropReason::WrongEpoch),
        ] {
            world.deliver_from(sender, datagram);
            assert!(world.nodes[other(sender)].dropped(reason) > 0, "{reason:?}");
        }
        assert!(world.nodes[other(sender)].journal.closed.is_empty());
        assert!(data_still_passes(&mut world));
    }
}

#[test]
fn epoch_0_alerts_do_not_disturb_a_handshake_at_either_end() {
    let mut world = World::new(Setup::default(), Script::new("client one"));
    world.open(CLIENT);
    for _ in 0..80 {
        for node in [CLIENT, GATEWAY] {
            let Some(last) = world.sent_by(node).last() else { continue };
            let sender = last[..4].try_into().map(u32::from_be_bytes).unwrap();
            for forger in [0, 0xbad] {
                let prefix = Prefix { sender: forger, receiver: sender }.encode();
                let alert = [&prefix[..], &record(ALERT, 0, 9, &[2, 40])].concat();
                world.deliver_from(other(node), alert);
            }
            // As the peer itself might have written it.
            if let Some(prefix) = world.sent_by(other(node)).last().map(|bytes| bytes[..8].to_vec())
            {
                let alert = [&prefix[..], &record(ALERT, 0, 9, &[2, 40])].concat();
                world.deliver_from(other(node), alert);
            }
        }
        world.run_ms(1);
    }
    let ended = &world.nodes[CLIENT].journal.ended;
    assert_eq!(ended.len(), 1);
    assert_eq!(ended[0].outcome, Ok(()));
    assert_eq!(world.nodes[CLIENT].journal.known.len(), 1);
    let ids: Vec<_> = world.sent_by(CLIENT).map(|bytes| &bytes[..4]).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "at the first attempt");
}

#[test]
fn an_epoch_0_alert_is_named_when_the_time_is_up() {
    let mut world = World::with_gateway(Setup::default());
    let address = "198.51.100.9:9".parse().unwrap();
    world.add_foreign(address, 77, Script::new("foreign"));
    let gateway = world.nodes[GATEWAY].address;
    world.network.lose =
        Some(Box::new(move |packet| packet.from == gateway && packet.bytes[..4] != [0; 4]));
    world.run_ms(100);
    let server_hello = world.sent_by(GATEWAY).last().unwrap();
    let server: [u8; 4] = server_hello[..4].try_into().unwrap();
    let prefix = Prefix { sender: 77, receiver: u32::from_be_bytes(server) }.encode();
    let alert = [&prefix[..], &record(ALERT, 0, 9, &[2, 48])].concat();
    world.deliver(GATEWAY, address, alert);
    assert_eq!(world.half_open(), 1);
    world.run_ms(15_000);
    assert_eq!(world.half_open(), 0);
    let reason = world.nodes[GATEWAY].journal.ended[0].outcome.clone().unwrap_err().reason;
    assert!(reason.contains("15.0 s") && reason.contains("alert 48"), "{reason}");
}
