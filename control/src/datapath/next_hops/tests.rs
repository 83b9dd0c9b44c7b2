use xdtls_common::frame::VlanTag;

use super::tables::{Address, Device, Neighbour, Route, Tables, Way};
use super::*;

const OURS: u32 = 2;
const TAGGED: u32 = 5;
const TAG: VlanTag = VlanTag { protocol: 0x8100, control: 7 };

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn devices() -> Vec<Device> {
    let device = |index, vlan| Device { index, mac: [index as u8; 6], vlan, mtu: 1500 };
    vec![device(OURS, None), device(TAGGED, Some(TAG))]
}

fn addresses() -> Vec<Address> {
    let own = |device, text| Address { device, address: ip(text), preferred: true };
    vec![
        own(OURS, "10.0.0.1"),
        own(OURS, "fe80::1"),
        own(OURS, "fd00::1"),
        own(TAGGED, "10.7.0.1"),
        own(9, "192.168.9.1"),
    ]
}

fn neighbours() -> Vec<Neighbour> {
    let known = |device, text, last| {
        let mac = [0x52, 0, 0, 0, 0, last];
        Neighbour { device, address: ip(text), mac, stale: false }
    };
    vec![
        known(TAGGED, "10.7.0.2", 4),
        known(OURS, "10.0.0.2", 1),
        known(OURS, "10.0.0.254", 2),
        known(OURS, "fe80::9", 3),
        known(OURS, "fd00::9", 5),
    ]
}

fn route(prefix: &str, metric: u32, way: Option<(u32, Option<&str>)>) -> Route {
    let (network, length) = prefix.split_once('/').unwrap();
    let way = way.map(|(device, via)| Way { device, gateway: via.map(ip), source: None });
    Route { network: ip(network), prefix_len: length.parse().unwrap(), metric, way }
}

fn usual_routes() -> Vec<Route> {
    vec![
        route("0.0.0.0/0", 100, Some((OURS, Some("10.0.0.254")))),
        route("10.0.0.1/32", 0, None),
        route("10.0.0.0/24", 0, Some((OURS, None))),
        route("10.7.0.0/24", 0, Some((TAGGED, None))),
        route("192.168.9.0/24", 0, None),
        route("fd00::/64", 256, Some((OURS, None))),
        route("::/0", 1024, Some((OURS, Some("fe80::9")))),
    ]
}

fn tables(routes: Vec<Route>) -> Tables {
    Tables::new(devices(), routes, addresses(), neighbours())
}

/// The last byte of the next hop's MAC address, and our address.
fn find(tables: &Tables, remote: &str, local: Option<&str>) -> Option<(u8, String)> {
    let hop = tables.find(SocketAddr::new(ip(remote), 4433), local.map(ip))?;
    Some((hop.link.destination[5], hop.source.to_string()))
}

#[test]
fn the_most_specific_route_decides() {
    let tables = tables(usual_routes());
    let found = |mac, source: &str| Some((mac, source.to_owned()));
    assert_eq!(find(&tables, "10.0.0.2", None), found(1, "10.0.0.1"));
    assert_eq!(find(&tables, "203.0.113.5", None), found(2, "10.0.0.1"));
    assert_eq!(find(&tables, "::ffff:203.0.113.5", None), found(2, "10.0.0.1"));
    assert_eq!(find(&tables, "10.7.0.2", None), found(4, "10.7.0.1"));
    assert_eq!(find(&tables, "fd00::9", None), found(5, "fd00::1"));
    assert_eq!(find(&tables, "2001:db8::1", None), found(3, "fd00::1"));
}

#[test]
fn frames_of_a_vlan_have_its_tag_and_address() {
    let remote = SocketAddr::new(ip("10.7.0.2"), 1);
    let hop = tables(usual_routes()).find(remote, None).unwrap();
    assert_eq!((hop.link.vlan, hop.link.source, hop.mtu), (Some(TAG), [TAGGED as u8; 6], 1500));
}

#[test]
fn what_is_not_ours_is_left_to_the_kernel() {
    let tables = tables(usual_routes());
    // Another interface; ourselves; a neighbour without a MAC address.
    for remote in ["192.168.9.5", "10.0.0.1", "10.0.0.77"] {
        assert_eq!(find(&tables, remote, None), None, "{remote}");
    }
    assert_eq!(find(&Tables::default(), "10.0.0.2", None), None);
}

#[test]
fn an_address_is_used_only_while_it_is_ours() {
    let tables = tables(usual_routes());
    let found = |source: &str| Some((1, source.to_owned()));
    assert_eq!(find(&tables, "10.0.0.2", Some("192.168.9.1")), found("192.168.9.1"));
    assert_eq!(find(&tables, "10.0.0.2", Some("::ffff:10.0.0.1")), found("10.0.0.1"));
    assert_eq!(find(&tables, "10.0.0.2", Some("10.0.0.3")), None);
}

#[test]
fn of_two_addresses_none_is_chosen_unless_the_route_prefers_it() {
    let mut own = addresses();
    own.push(Address { address: ip("10.0.0.11"), ..own[0] });
    let two = Tables::new(devices(), usual_routes(), own.clone(), neighbours());
    assert_eq!(find(&two, "10.0.0.2", None), None);
    assert!(find(&two, "10.0.0.2", Some("10.0.0.11")).is_some());
    own[5].preferred = false;
    let one = Tables::new(devices(), usual_routes(), own.clone(), neighbours());
    assert_eq!(find(&one, "10.0.0.2", None), Some((1, "10.0.0.1".to_owned())));
    let source = Some(ip("10.0.0.11"));
    let mut routes = usual_routes();
    routes[2].way = Some(Way { device: OURS, gateway: None, source });
    let told = Tables::new(devices(), routes, own, neighbours());
    assert_eq!(find(&told, "10.0.0.2", None), Some((1, "10.0.0.11".to_owned())));
}

#[test]
fn the_metric_decides_between_equal_prefixes_and_a_tie_is_a_doubt() {
    let other = route("0.0.0.0/0", 50, None);
    let better = tables([usual_routes(), vec![other]].concat());
    assert_eq!(find(&better, "203.0.113.5", None), None);
    let worse = tables([usual_routes(), vec![Route { metric: 200, ..other }]].concat());
    assert_eq!(find(&worse, "203.0.113.5", None), Some((2, "10.0.0.1".to_owned())));
    let same = Route { metric: 100, ..usual_routes()[0] };
    let tie = tables([usual_routes(), vec![same]].concat());
    assert_eq!(find(&tie, "203.0.113.5", None), None);
    // What is more specific is not in doubt.
    assert!(find(&tie, "10.0.0.2", None).is_some());
}

#[test]
fn link_local_addresses_are_reached_through_their_scope() {
    let tables = tables(Vec::new());
    let remote = |scope| std::net::SocketAddrV6::new("fe80::9".parse().unwrap(), 1, 0, scope);
    let hop = tables.find(remote(OURS).into(), None).unwrap();
    assert_eq!((hop.link.destination[5], hop.source), (3, ip("fe80::1")));
    assert_eq!(tables.find(remote(9).into(), None), None);
    assert_eq!(tables.find(remote(0).into(), None), None);
}

#[test]
fn workers_see_the_newest_copy_when_they_look() {
    let board = Board::default();
    let mut hops = NextHops::of(&board);
    let remote = SocketAddr::new(ip("10.0.0.2"), 1);
    board.publish(tables(usual_routes()));
    assert_eq!(hops.find(remote, None), None);
    hops.refresh();
    let hop = hops.find(remote, None).unwrap();
    let used: Vec<_> = board.newest().used.iter().map(|it| it.load(Ordering::Relaxed)).collect();
    assert_eq!(used.iter().filter(|used| **used).count(), 1);
    assert!(used[hop.neighbour]);
    board.publish(Tables::default());
    assert!(hops.find(remote, None).is_some());
    hops.refresh();
    assert_eq!(hops.find(remote, None), None);
}
