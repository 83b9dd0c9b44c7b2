//! `[[peer]]`: links to other nodes.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::{all, first_use};
use crate::config::Peer;
use crate::config::document::Section;
use crate::config::peers::optional;
use crate::config::value::Value;
use crate::hex;

/// Links of one node: each has a socket on every worker, and each handshake asks all of them.
const PEERS_MAX: usize = 1024;

/// All links. `backends` are names that are taken.
pub(super) fn peers(
    tables: Vec<Section<'_>>,
    backends: &[String],
    outside: Option<SocketAddr>,
) -> Option<Vec<Peer>> {
    let mut used = Used::default();
    all(tables.into_iter().enumerate().map(|(place, table)| {
        if place == PEERS_MAX {
            table.refuse(
                format!("a node has at most {PEERS_MAX} links"),
                "remove this and the next",
            );
        }
        peer(table, &mut used, backends, outside)
    }))
}

/// Lines where something is used that stands for one link.
#[derive(Default)]
struct Used<'a> {
    names: HashMap<&'a str, usize>,
    certificate_names: HashMap<&'a str, usize>,
    addresses: HashMap<SocketAddr, usize>,
    ports: HashMap<SocketAddr, usize>,
}

fn peer<'a>(
    mut table: Section<'a>,
    used: &mut Used<'a>,
    backends: &[String],
    outside: Option<SocketAddr>,
) -> Option<Peer> {
    let name = table.required("name", "\"berlin\"").and_then(|value| {
        let name = named(&value, &mut used.names)?;
        if backends.iter().any(|backend| backend == name) {
            value.report(format!("`{name}` is a backend already"), "choose another name");
            return None;
        }
        Some(name.to_owned())
    });
    let certificate_name = table
        .required("certificate_name", "\"berlin.example\"")
        .and_then(|value| named(&value, &mut used.certificate_names).map(str::to_owned));
    let key_sha256 = optional(table.value("key_sha256", "\"64 hexadecimal digits\""), key);
    let address = optional(table.value("address", "\"192.0.2.7:4433\""), |value| {
        peer_address(value, &mut used.addresses, outside)
    });
    let listen = table.required("listen", "\"127.0.0.1:5000\"").and_then(|value| {
        let listen = value.parse::<SocketAddr>()?;
        if listen.port() != 0 {
            first_use(&value, listen, &mut used.ports)?;
        }
        Some(listen)
    });
    let deliver = table.required("deliver", "\"127.0.0.1:6000\"").and_then(|value| {
        let deliver = destination(&value)?;
        if listen.is_some_and(|listen| listen.is_ipv4() != deliver.is_ipv4()) {
            let wrong = "`listen` and `deliver` are not of one family";
            value.report(wrong, "use addresses of one family");
            return None;
        }
        Some(deliver)
    });
    table.finish();
    Some(Peer {
        name: name?,
        certificate_name: certificate_name?,
        key_sha256: key_sha256?,
        address: address?,
        listen: listen?,
        deliver: deliver?,
    })
}

fn named<'a>(value: &Value<'a>, lines: &mut HashMap<&'a str, usize>) -> Option<&'a str> {
    let name = value.string()?;
    if name.is_empty() {
        value.wrong("must not be empty");
        return None;
    }
    first_use(value, name, lines)?;
    Some(name)
}

fn destination(value: &Value<'_>) -> Option<SocketAddr> {
    let address = value.parse::<SocketAddr>()?;
    if address.port() == 0 || address.ip().is_unspecified() {
        value.wrong(format!("`{address}` is no address to send to"));
        return None;
    }
    Some(address)
}

fn peer_address(
    value: &Value<'_>,
    lines: &mut HashMap<SocketAddr, usize>,
    outside: Option<SocketAddr>,
) -> Option<SocketAddr> {
    let address = destination(value)?;
    first_use(value, address, lines)?;
    reachable(value, address, outside)
}

/// The outside's socket reaches addresses of its own family, and one of IPv6 for all addresses those
/// of IPv4 too.
fn reachable(
    value: &Value<'_>,
    address: SocketAddr,
    outside: Option<SocketAddr>,
) -> Option<SocketAddr> {
    let Some(listen) = outside else { return Some(address) };
    let both = listen.is_ipv6() && listen.ip().is_unspecified();
    if listen == address {
        let wrong = format!("`{address}` is gateway.listen: this node cannot be its own peer");
        value.report(wrong, "give the peer's address");
        return None;
    }
    if listen.is_ipv4() != address.is_ipv4() && !both {
        let wrong = format!("`{address}` cannot be reached from gateway.listen, {listen}");
        value.report(wrong, "use addresses of one family, or listen on [::]");
        return None;
    }
    Some(address)
}

fn key(value: &Value<'_>) -> Option<[u8; 32]> {
    let text = value.string()?;
    let key = hex::sha256(text);
    if key.is_none() {
        let how = "openssl x509 -in peer.pem -noout -pubkey | openssl pkey -pubin -outform DER | \
                   openssl dgst -sha256";
        value.report("must be the SHA-256 of a public key, 64 hexadecimal digits", how);
    }
    key
}
