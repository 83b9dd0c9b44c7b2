//! Forged answers, and servers that fall silent: they cost an attempt, never the wish.

use std::time::Duration;

use xdtls_common::DropReason;
use xdtls_common::hello_verify::hello_verify_request;
use xdtls_common::id::LocalId;
use xdtls_common::prefix::Prefix;
use xdtls_common::record::content_type::{ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE};
use xdtls_proto::suite::CipherSuite;

use crate::support::messages::{
    CERTIFICATE, CLIENT_HELLO, Hello, SERVER_HELLO, SERVER_HELLO_DONE, message, record,
};
use crate::support::network::Packet;
use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, Setup, World};

/// The forger's id.
const FORGER: u32 = 0xbad_bad;

fn world() -> World {
    World::new(Setup::default(), Script::new("client one"))
}

/// A datagram of the forger, from the gateway's address, for the client's id of `hello`.
fn forged(world: &mut World, sender: u32, client: u32, records: &[Vec<u8>]) {
    let prefix = Prefix { sender, receiver: client }.encode();
    world.deliver_from(GATEWAY, [&prefix[..], &records.concat()].concat());
}

fn client_id(datagram: &[u8]) -> u32 {
    u32::from_be_bytes(datagram[..4].try_into().unwrap())
}

fn is_hello(bytes: &[u8]) -> bool {
    bytes[8] == HANDSHAKE && bytes[11..13] == [0, 0] && bytes[21] == CLIENT_HELLO
}

/// The ids under which the client has sent ClientHellos, in order.
fn attempts(world: &World) -> Vec<u32> {
    let hellos = world.sent_by(CLIENT).filter(|bytes| is_hello(bytes));
    let mut ids: Vec<_> = hellos.map(client_id).collect();
    ids.dedup();
    ids
}

/// Runs until the client's ClientHello with a cookie is under way.
fn run_to_second_hello(world: &mut World) -> u32 {
    world.open(CLIENT);
    world.run_ms(22);
    let hello = world.sent_by(CLIENT).last().unwrap();
    assert!(is_hello(hello) && world.sent_by(CLIENT).count() == 2);
    client_id(hello)
}

fn server_hello(suite: CipherSuite) -> Vec<u8> {
    let hello = Hello {
        random: [0xbb; 32],
        suites: vec![suite],
        extended_master_secret: true,
        ..Hello::default()
    };
    record(HANDSHAKE, 0, 0, &message(SERVER_HELLO, 1, &hello.server_body()))
}

fn rest_of_flight() -> Vec<u8> {
    let certificate = record(HANDSHAKE, 0, 1, &message(CERTIFICATE, 2, b"gateway"));
    [certificate, record(HANDSHAKE, 0, 2, &message(SERVER_HELLO_DONE, 3, b""))].concat()
}

/// The wish was fulfilled after `count` attempts, each under an id of its own, and no ClientHello
/// ever named a receiver.
fn check_fulfilled_after(world: &mut World, count: usize) {
    let ended = &world.nodes[CLIENT].journal.ended;
    assert_eq!(ended.iter().map(|ended| &ended.outcome).collect::<Vec<_>>(), [&Ok(())]);
    assert_eq!(ended[0].token, Some(1));
    let attempts = attempts(world);
    assert_eq!(attempts.len(), count, "{attempts:x?}");
    assert_eq!(LocalId::new(*attempts.last().unwrap()), Some(world.id(CLIENT)));
    assert!(world.sent_by(CLIENT).filter(|bytes| is_hello(bytes)).all(|b| b[4..8] == [0; 4]));
    assert_eq!(world.known(CLIENT).peer.value(), world.known(GATEWAY).local.value());
    let id = world.id(CLIENT);
    world.send(CLIENT, id, b"data");
    world.run_ms(20);
    assert_eq!(world.received(GATEWAY), [b"data"]);
}

const AES: CipherSuite = CipherSuite::EcdheEcdsaAes128Gcm;

#[test]
fn a_forged_first_flight_costs_one_attempt() {
    let other_suite = CipherSuite::EcdheRsaChaCha20Poly1305;
    for (flight, patience_ms) in [
        (vec![server_hello(AES)], 3000),
        // The scripted engine takes anybody's flight, and has sent its Finished by then.
        (vec![server_hello(AES), rest_of_flight()], 8000),
        // The engine cannot go on with this one and says so.
        (vec![server_hello(other_suite)], 3000),
    ] {
        let mut world = world();
        let client = run_to_second_hello(&mut world);
        forged(&mut world, FORGER, client, &flight);
        world.run_ms(patience_ms);
        check_fulfilled_after(&mut world, 2);
        world.run_ms(15_000);
        let reasons = world.nodes[GATEWAY].journal.ended.iter().map(|ended| ended.outcome.is_ok());
        assert_eq!(reasons.filter(|ok| *ok).count(), 1);
        assert_eq!(world.nodes[GATEWAY].established(), 1);
    }
}

#[test]
fn a_forged_server_hello_before_the_hello_verify_request_costs_one_attempt() {
    let mut world = world();
    world.open(CLIENT);
    let client = client_id(world.sent_by(CLIENT).last().unwrap());
    forged(&mut world, FORGER, client, &[server_hello(AES)]);
    world.run_ms(5000);
    check_fulfilled_after(&mut world, 2);
}

#[test]
fn a_forged_hello_verify_request_costs_one_attempt() {
    for sender in [0, FORGER] {
        let mut world = world();
        world.open(CLIENT);
        let client = client_id(world.sent_by(CLIENT).last().unwrap());
        let request = hello_verify_request(client, 0, b"not a cookie");
        forged(&mut world, sender, client, &[request[8..].to_vec()]);
        world.run_ms(5000);
        // Its first four bytes, as a time, lie in the future.
        assert_eq!(world.nodes[GATEWAY].dropped(DropReason::CookieInvalid), 2);
        check_fulfilled_after(&mut world, 2);
    }
}

#[test]
fn what_is_no_handshake_message_makes_the_client_follow_nobody() {
    let mut world = world();
    let client = run_to_second_hello(&mut world);
    for records in [
        record(ALERT, 0, 9, &[2, 40]),
        record(CHANGE_CIPHER_SPEC, 0, 9, &[1]),
        record(CHANGE_CIPHER_SPEC, 0, 9, &[7]),
        record(HANDSHAKE, 0, 9, &[]),
        record(HANDSHAKE, 0, 9, &[2; 5]),
        record(HANDSHAKE, 0, 9, &message(SERVER_HELLO, 200, b"far ahead")),
        record(HANDSHAKE, 1, 9, &[0; 48]),
        record(23, 0, 9, b"data"),
        record(23, 1, 9, &[0; 48]),
    ] {
        forged(&mut world, FORGER, client, &[records]);
    }
    world.run_ms(200);
    check_fulfilled_after(&mut world, 1);
}

#[test]
fn a_client_that_follows_a_server_does_not_listen_to_another() {
    let mut world = world();
    let client = run_to_second_hello(&mut world);
    world.run_ms(20);
    let flight = world.sent_by(CLIENT).last().unwrap();
    assert_ne!(flight[4..8], [0; 4], "it follows the gateway");
    // One message that the gateway has sent, and one that would be new.
    for message_seq in [2, 6] {
        let certificate = message(CERTIFICATE, message_seq, b"somebody else");
        forged(&mut world, FORGER, client, &[record(HANDSHAKE, 0, 9, &certificate)]);
    }
    assert_eq!(world.nodes[CLIENT].dropped(DropReason::WrongPeerId), 2);
    world.run_ms(200);
    check_fulfilled_after(&mut world, 1);
    assert_eq!(world.known(CLIENT).names, ["gateway"]);
}

/// Whoever knows the ids can lead this attempt astray with far-ahead record numbers only if they are
/// believed.
#[test]
fn forged_record_numbers_do_not_stop_a_handshake() {
    let mut world = world();
    let client = run_to_second_hello(&mut world);
    let noise = message(CERTIFICATE, 9, &[0; 20]);
    forged(&mut world, 0, client, &[record(HANDSHAKE, 0, (1 << 48) - 1, &noise)]);
    world.run_ms(12);
    let server = client_id(world.sent_by(GATEWAY).last().unwrap());
    let prefix = Prefix { sender: client, receiver: server }.encode();
    let far = record(HANDSHAKE, 0, (1 << 48) - 1, &noise);
    world.deliver_from(CLIENT, [&prefix[..], &far].concat());
    world.run_ms(200);
    check_fulfilled_after(&mut world, 1);
}

#[test]
fn a_server_that_falls_silent_after_server_hello_costs_an_attempt() {
    let script = |name| Script { record_per_datagram: true, ..Script::new(name) };
    let setup = Setup { script: script("gateway"), ..Setup::default() };
    let mut world = World::new(setup, script("client one"));
    let (gateway, mut silent) = (world.nodes[GATEWAY].address, None);
    world.network.lose = Some(Box::new(move |packet: &Packet| {
        // HelloVerifyRequests name no server; of the first server only ServerHello arrives.
        let server = client_id(&packet.bytes);
        packet.from == gateway
            && server != 0
            && *silent.get_or_insert(server) == server
            && packet.bytes[21] != SERVER_HELLO
    }));
    world.open(CLIENT);
    world.run_ms(5000);
    check_fulfilled_after(&mut world, 2);
}

#[test]
fn a_wish_ends_at_its_deadline_however_its_attempts_fail() {
    // The server never answers, is cut off behind its first word, or each attempt is forged away.
    for spoil in 0..3 {
        let mut world = world();
        let gateway = world.nodes[GATEWAY].address;
        world.network.lose = Some(Box::new(move |packet| {
            packet.from == gateway && (spoil == 0 || packet.bytes[..4] != [0; 4])
        }));
        world.open(CLIENT);
        for _ in 0..1000 {
            world.run_ms(15);
            let last = world.sent_by(CLIENT).last().unwrap().to_vec();
            if spoil == 2 && is_hello(&last) {
                forged(&mut world, FORGER, client_id(&last), &[server_hello(AES)]);
            }
        }
        let ended = &world.nodes[CLIENT].journal.ended;
        assert_eq!(ended.len(), 1, "spoil {spoil}");
        assert_eq!(ended[0].took, Duration::from_secs(15));
        let reason = ended[0].outcome.clone().unwrap_err().reason;
        assert!(reason.contains("15.0 s"), "{reason}");
        assert_eq!(attempts(&world).len() > 1, spoil > 0);
        let sent = world.sent_by(CLIENT).count();
        world.network.lose = None;
        world.run_ms(60_000);
        assert_eq!(world.sent_by(CLIENT).count(), sent, "nothing is tried any more");
        assert_eq!(world.nodes[CLIENT].established(), 0);
    }
}
