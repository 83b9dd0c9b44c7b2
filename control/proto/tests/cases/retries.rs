//! Attempts that follow failed ones: when they begin, and where they go.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use crate::support::scripted::Script;
use crate::support::world::{CLIENT, GATEWAY, Setup, World};

/// When, in ms, a client has sent the first ClientHello of each attempt, and where to.
fn attempts(world: &World, client: usize) -> Vec<(u64, SocketAddr)> {
    let (mut seen, address) = (BTreeSet::new(), world.nodes[client].address);
    let sent = world.network.sent.iter().filter(|(_, packet)| packet.from == address);
    let new = sent.filter(|(_, packet)| seen.insert(packet.bytes[..4].to_vec()));
    new.map(|(time, packet)| (world.ms_at(*time), packet.to)).collect()
}

fn dead(number: u8) -> SocketAddr {
    format!("203.0.113.{number}:4433").parse().unwrap()
}

#[test]
fn clients_that_fail_together_do_not_come_back_together() {
    const CLIENTS: u16 = 50;
    let mut world = World::with_gateway(Setup::default());
    let gateway = world.nodes[GATEWAY].address;
    // What names no server says that there is a gateway; nothing more is heard of it.
    world.network.lose =
        Some(Box::new(move |packet| packet.from == gateway && packet.bytes[..4] != [0; 4]));
    for port in 1..=CLIENTS {
        let address = format!("198.51.100.1:{port}").parse().unwrap();
        let client = world.add_client(address, Script::new("client"));
        world.open(client);
    }
    world.run_ms(5000);
    let clients = CLIENT..CLIENT + usize::from(CLIENTS);
    let second: BTreeSet<_> = clients.clone().map(|client| attempts(&world, client)[1].0).collect();
    let (first, last) = (second.first().unwrap(), second.last().unwrap());
    // Two timeouts behind the second hello, and 250 ms give or take half.
    let fell_silent = 20 + 400 + 800;
    assert!(*first >= fell_silent + 125 && *last <= fell_silent + 375, "{second:?}");
    assert!(last - first > 150 && second.len() > 30, "{second:?}");
}

#[test]
fn every_address_of_the_gateway_is_tried_in_turn() {
    let gateway = "192.0.2.1:4433".parse().unwrap();
    let addresses = vec![dead(1), dead(2), gateway];
    let mut world =
        World::new(Setup { addresses: addresses.clone(), ..Setup::default() }, Script::new("c"));
    world.open(CLIENT);
    world.run_ms(6000);
    assert_eq!(world.nodes[CLIENT].established(), 1);
    let tried: Vec<_> = attempts(&world, CLIENT).iter().map(|(_, to)| *to).collect();
    assert_eq!(tried, addresses);
    // The next association begins where the last one came about.
    world.establish(CLIENT);
    assert_eq!(attempts(&world, CLIENT).last().unwrap().1, gateway);
    assert_eq!(attempts(&world, CLIENT).len(), 4);
}

#[test]
fn dead_addresses_cost_the_wish_and_are_tried_again_until_its_deadline() {
    let addresses = vec![dead(1), dead(2)];
    let gateway = "192.0.2.1:4433".parse().unwrap();
    let everywhere = [addresses, vec![gateway]].concat();
    let mut world = World::new(
        Setup { addresses: everywhere.clone(), ..Setup::default() },
        Script::new("client"),
    );
    world.network.lose = Some(Box::new(|_| true));
    world.open(CLIENT);
    world.run_ms(16_000);
    assert!(world.nodes[CLIENT].journal.ended[0].outcome.is_err());
    let tried: Vec<_> = attempts(&world, CLIENT).iter().map(|(_, to)| *to).collect();
    assert!(tried.len() > 4, "{tried:?}");
    let expected = everywhere.iter().cycle().take(tried.len()).copied();
    assert_eq!(tried, expected.collect::<Vec<_>>());
}
