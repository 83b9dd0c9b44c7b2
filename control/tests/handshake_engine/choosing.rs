//! One port, several certificates: the server's by name and key type, the client's by what the
//! server accepts.

use std::time::Instant;

use openssl::ssl::{SslContextBuilder, SslVerifyMode};
use xdtls::handshake::{AcceptorOptions, Identity, OpensslAcceptor, OpensslConnector, Trust};
use xdtls_common::record::content_type;
use xdtls_proto::engine::{ConnectEngine, Engine, Progress};
use xdtls_proto::failure::FailureClass;
use xdtls_proto::suite::CipherSuite;

use crate::World;
use crate::foreign::{self, ForeignClient};
use crate::pair::{MAX_DATAGRAM, Pair, To};
use crate::pki::{Authority, KeyType, Usage};

const DOMAINS: [&str; 3] = ["one.example", "two.example", "*.three.example"];

/// Three domains with two keys each.
fn six(authority: &Authority) -> Vec<Identity> {
    let issue = |name: &str, key_type| authority.issue(&[name, name], key_type, Usage::Server);
    let both = |name: &&str| [issue(name, KeyType::Ecdsa), issue(name, KeyType::Rsa)];
    DOMAINS.iter().flat_map(both).map(|leaf| leaf.identity()).collect()
}

/// A server that shows `identities`.
fn server(world: &World, identities: &[Identity], require_server_name: bool) -> OpensslAcceptor {
    let trust = Trust::new(&world.authority.pem()).unwrap();
    OpensslAcceptor::with(&AcceptorOptions {
        identities,
        require_server_name,
        trust: Some(&trust),
        ..AcceptorOptions::default()
    })
    .unwrap()
}

/// A client that asks for a name, or for none, and takes only certificates of one key type.
fn asking(
    name: Option<&str>,
    ciphers: &str,
    world: &World,
    acceptor: &OpensslAcceptor,
) -> Pair<ForeignClient> {
    let only = |context: &mut SslContextBuilder| context.set_cipher_list(ciphers).unwrap();
    let mut pair = Pair::new(foreign::client_asking(name, Some(&world.client), only), acceptor);
    pair.run();
    pair
}

#[test]
fn three_domains_and_two_key_types_share_a_port() {
    let world = World::new(KeyType::Ecdsa);
    let acceptor = server(&world, &six(&world.authority), false);
    let asked = [
        (Some("one.example"), "one.example"),
        (Some("TWO.example"), "two.example"),
        (Some("a.three.example"), "*.three.example"),
        // No name, or none that anybody has: the first.
        (None, "one.example"),
        (Some("three.example"), "one.example"),
        (Some("a.b.three.example"), "one.example"),
        (Some("other.example"), "one.example"),
    ];
    for (name, expected) in asked {
        for (ciphers, suite) in [("aECDSA+AESGCM", 0xc02b), ("aRSA+ECDHE+AESGCM", 0xc02f)] {
            let pair = asking(name, ciphers, &world, &acceptor);
            assert_eq!(pair.client.server_common_name(), expected, "{name:?}");
            let server = pair.server.unwrap().finish().unwrap();
            assert_eq!(server.suite.iana(), suite, "{name:?}");
        }
    }
}

#[test]
fn our_own_client_finds_each_domain() {
    let world = World::new(KeyType::Ecdsa);
    let acceptor = server(&world, &six(&world.authority), true);
    for name in ["one.example", "two.example", "b.three.example"] {
        let client = world.connector(name).connect(Instant::now(), MAX_DATAGRAM, None).unwrap();
        let mut pair = Pair::new(client, &acceptor);
        pair.run();
        let (client, _) = pair.finish();
        assert_eq!(client.suite, CipherSuite::EcdheEcdsaAes128Gcm, "{name}");
    }
}

#[test]
fn a_name_may_be_required() {
    let world = World::new(KeyType::Ecdsa);
    let acceptor = server(&world, &six(&world.authority), true);
    for name in [None, Some("other.example"), Some("three.example")] {
        let pair = asking(name, "aECDSA+AESGCM", &world, &acceptor);
        let Progress::Failed(failure) = pair.server_progress() else { panic!("{name:?}") };
        assert_eq!(failure.class, FailureClass::NothingInCommon);
        assert_eq!(failure.reason, "no identity has the server name that the client asks for");
        let (header, record) = pair.records_to(To::Client).concat().pop().unwrap();
        assert_eq!(header.content_type, content_type::ALERT);
        assert_eq!(record[record.len() - 2..], [2, 112], "unrecognized_name");
    }
}

#[test]
fn server_names_of_the_configuration_go_before_those_of_the_certificate() {
    let world = World::new(KeyType::Ecdsa);
    let issue = |name: &str| {
        world.authority.issue(&[name, "both.example", "*.example"], KeyType::Ecdsa, Usage::Server)
    };
    let (first, mut second) = (issue("first").identity(), issue("second").identity());
    second.server_names = vec!["both.example".parse().unwrap(), "own.example".parse().unwrap()];
    let first_only = Identity { server_names: vec!["*.example".parse().unwrap()], ..first };
    let acceptor = server(&world, &[first_only, second], false);
    let of = |name| {
        let pair = asking(Some(name), "aECDSA+AESGCM", &world, &acceptor);
        pair.client.server_common_name()
    };
    // The whole name goes before a wildcard, whichever stands first.
    assert_eq!([of("both.example"), of("own.example")], ["second", "second"]);
    assert_eq!(of("any.example"), "first");
}

#[test]
fn a_client_shows_what_the_server_accepts() {
    let world = World::new(KeyType::Ecdsa);
    let (here, there) = (Authority::new("here"), Authority::new("there"));
    let issue = |authority: &Authority, name: &str, key_type| {
        authority.issue(&[name], key_type, Usage::Client)
    };
    let mine = [
        issue(&here, "here, ECDSA", KeyType::Ecdsa),
        issue(&here, "here, RSA", KeyType::Rsa),
        issue(&there, "there, ECDSA", KeyType::Ecdsa),
        issue(&there, "there, RSA", KeyType::Rsa),
    ];
    let trust = Trust::new(&world.authority.pem()).unwrap();
    let shown = |order: [usize; 4], authority: &Authority, signatures: &str| {
        let identities = order.map(|at| mine[at].identity());
        let connector = OpensslConnector::with_certificates(&identities, &trust, "gw.example");
        let client = connector.unwrap().connect(Instant::now(), MAX_DATAGRAM, None).unwrap();
        foreign::common_name_shown_by(client, &world.server, |context| {
            let anybody = SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT;
            context.set_verify_callback(anybody, |_, _| true);
            context.add_client_ca(authority.certificate()).unwrap();
            context.set_sigalgs_list(signatures).unwrap();
        })
    };
    let (ecdsa_first, rsa_first) = ([0, 1, 2, 3], [3, 2, 1, 0]);
    let (any, ecdsa) = ("ECDSA+SHA256:RSA-PSS+SHA256:RSA+SHA256", "ECDSA+SHA256");
    assert_eq!(shown(ecdsa_first, &here, any), "here, ECDSA");
    assert_eq!(shown(ecdsa_first, &there, any), "there, ECDSA");
    assert_eq!(shown(rsa_first, &here, any), "here, RSA");
    assert_eq!(shown(rsa_first, &there, any), "there, RSA");
    assert_eq!(shown(rsa_first, &there, ecdsa), "there, ECDSA");
    // A server may trust more authorities than it names.
    assert_eq!(shown(ecdsa_first, &Authority::new("elsewhere"), any), "here, ECDSA");
    assert_eq!(shown(rsa_first, &Authority::new("elsewhere"), ecdsa), "there, ECDSA");
}
