//! Handshakes that must not succeed: who notices, what is said, and that an alert is sent.

use std::time::Instant;

use openssl::ssl::{SslContextBuilder, SslOptions};
use xdtls::handshake::{ContextError, Identity, OpensslAcceptor, OpensslConnector};
use xdtls_common::record::{HEADER_LEN, content_type};
use xdtls_proto::engine::{AcceptEngine, ConnectEngine, Engine, Progress};
use xdtls_proto::failure::{Failure, FailureClass};

use crate::World;
use crate::foreign;
use crate::pair::{MAX_DATAGRAM, Pair, To, local};
use crate::pki::{Authority, KeyType, Usage};

/// `SSL_OP_NO_EXTENDED_MASTER_SECRET`, which the `openssl` crate does not name.
const NO_EXTENDED_MASTER_SECRET: u64 = 1;

fn failure(progress: &Progress) -> &Failure {
    let Progress::Failed(failure) = progress else { panic!("{progress:?}") };
    failure
}

/// Whether the last thing said in this direction is an alert in the clear.
fn alerted<C: Engine>(pair: &Pair<C>, to: To) -> bool {
    let last = pair.records_to(to).concat().pop();
    last.is_some_and(|(header, _)| header.content_type == content_type::ALERT && header.epoch == 0)
}

/// Lets `connector` meet `acceptor` and returns the words of the client's failure to authenticate.
fn client_reason(connector: &OpensslConnector, acceptor: &OpensslAcceptor) -> String {
    let client = connector.connect(Instant::now(), MAX_DATAGRAM, None).unwrap();
    let mut pair = Pair::new(client, acceptor);
    pair.run();
    assert_eq!(pair.server_progress(), Progress::Pending, "nobody acts on an alert");
    assert!(alerted(&pair, To::Server));
    let Failure { class, reason } = failure(&pair.client.progress()).clone();
    assert_eq!(class, FailureClass::Authentication, "{reason}");
    reason
}

/// Lets a foreign client meet `acceptor` and returns the words of the server's failure, which is of
/// this class.
fn server_reason<C: Engine>(
    client: C,
    acceptor: &OpensslAcceptor,
    expected: FailureClass,
) -> String {
    let mut pair = Pair::new(client, acceptor);
    pair.run();
    assert_eq!(pair.client.progress(), Progress::Pending, "nobody acts on an alert");
    assert!(alerted(&pair, To::Client));
    let Failure { class, reason } = failure(&pair.server_progress()).clone();
    assert_eq!(class, expected, "{reason}");
    reason
}

#[test]
fn server_of_a_foreign_authority_is_refused() {
    let world = World::new(KeyType::Ecdsa);
    let stranger = Authority::new("stranger");
    let connector =
        OpensslConnector::new(&world.client.identity(), &stranger.pem(), "gw.example").unwrap();
    assert_eq!(
        client_reason(&connector, &world.acceptor()),
        "certificate verify failed (unable to get local issuer certificate)"
    );
}

#[test]
fn server_of_another_name_is_refused() {
    let world = World::new(KeyType::Ecdsa);
    for (name, words) in [
        ("other.example", "certificate verify failed (hostname mismatch)"),
        ("192.0.2.1", "certificate verify failed (IP address mismatch)"),
    ] {
        assert_eq!(client_reason(&world.connector(name), &world.acceptor()), words);
    }
}

#[test]
fn client_certificate_is_no_server_certificate() {
    let world = World::new(KeyType::Ecdsa);
    let posing = world.authority.issue(&["gw", "gw.example"], KeyType::Ecdsa, Usage::Client);
    let acceptor = OpensslAcceptor::new(&[posing.identity()], &world.authority.pem()).unwrap();
    let reason = client_reason(&world.connector("gw.example"), &acceptor);
    assert!(reason.contains("certificate purpose"), "{reason}");
}

#[test]
fn server_certificate_is_no_client_certificate() {
    let world = World::new(KeyType::Ecdsa);
    let client = foreign::client(Some(&world.server), |_| ());
    let reason = server_reason(client, &world.acceptor(), FailureClass::Authentication);
    assert!(reason.contains("certificate purpose"), "{reason}");
}

#[test]
fn client_without_certificate_is_refused() {
    let world = World::new(KeyType::Ecdsa);
    let client = foreign::client(None, |_| ());
    let reason = server_reason(client, &world.acceptor(), FailureClass::Authentication);
    assert_eq!(reason, "peer did not return a certificate");
}

#[test]
fn client_of_a_foreign_authority_is_refused() {
    let world = World::new(KeyType::Ecdsa);
    let stranger = Authority::new("stranger").issue(&["c"], KeyType::Ecdsa, Usage::Client);
    let client = foreign::client(Some(&stranger), |_| ());
    let reason = server_reason(client, &world.acceptor(), FailureClass::Authentication);
    assert!(reason.starts_with("certificate verify failed ("), "{reason}");
}

#[test]
fn client_without_a_common_suite_is_refused() {
    let world = World::new(KeyType::Ecdsa);
    let other = |context: &mut SslContextBuilder| {
        context.set_cipher_list("ECDHE-ECDSA-AES256-SHA384:DHE-RSA-AES128-GCM-SHA256").unwrap();
    };
    let client = foreign::client(Some(&world.client), other);
    let reason = server_reason(client, &world.acceptor(), FailureClass::NothingInCommon);
    assert_eq!(reason, "no shared cipher");
}

#[test]
fn missing_extended_master_secret_is_noticed_at_the_end() {
    let world = World::new(KeyType::Ecdsa);
    let without = |context: &mut SslContextBuilder| {
        context.set_options(SslOptions::from_bits_retain(NO_EXTENDED_MASTER_SECRET));
    };
    let mut pair = Pair::new(foreign::client(Some(&world.client), without), &world.acceptor());
    pair.run();
    let finished = pair.server.unwrap().finish().map(|_| ());
    assert_eq!(
        finished,
        Err(FailureClass::NothingInCommon.because("the peer lacks the extended master secret"))
    );
}

#[test]
fn only_a_second_client_hello_makes_an_engine() {
    let world = World::new(KeyType::Ecdsa);
    let mut hello = world.connect().poll_transmit().unwrap();
    let accept = |record: &[u8], max_datagram| {
        let engine = world.acceptor().accept(Instant::now(), local(), record, max_datagram);
        engine.map(|_| ()).unwrap_err().reason
    };
    let message_seq_0 = "a ClientHello with a cookie has message_seq 1";
    assert_eq!(accept(&hello, MAX_DATAGRAM), message_seq_0);
    assert_eq!(accept(&hello[..40], MAX_DATAGRAM), "the record is not one whole ClientHello");
    hello[HEADER_LEN + 5] = 1;
    let no_cookie = accept(&hello, MAX_DATAGRAM);
    assert!(no_cookie.starts_with("the ClientHello is not acceptable"), "{no_cookie}");
    assert_eq!(accept(&hello, 100), "datagrams of 100 bytes are too small");
}

#[test]
fn unfinished_handshakes_have_no_keys() {
    let finished = World::new(KeyType::Ecdsa).connect().finish().map(|_| ());
    assert_eq!(finished, Err(FailureClass::Internal.because("the handshake is not complete")));
}

#[test]
fn configuration_errors_have_clear_words() {
    let world = World::new(KeyType::Ecdsa);
    let (ca, other) = (world.authority.pem(), world.client.identity());
    let acceptor = |identities: &[Identity], ca: &[u8]| {
        OpensslAcceptor::new(identities, ca).map(|_| ()).unwrap_err().to_string()
    };
    let server = || world.server.identity();
    let mismatch = Identity { key: other.key.clone(), ..server() };
    assert_eq!(acceptor(&[mismatch], &ca), "the private key does not belong to the certificate");
    let nothing = "there is neither a certificate with its key nor a pre-shared key";
    assert_eq!(acceptor(&[], &ca), nothing);
    assert_eq!(acceptor(&[server()], b""), "CA certificates: there is no certificate in PEM");
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(acceptor(&[server()], broken).starts_with("CA certificates: a certificate is not"));
    let empty = Identity { certificate_chain_pem: Vec::new(), ..server() };
    assert_eq!(acceptor(&[empty], &ca), "certificate chain: there is no certificate in PEM");
}

#[test]
fn server_names_that_would_match_anything_are_refused() {
    let world = World::new(KeyType::Ecdsa);
    for name in ["", ".example", "*.example", "gw.example.", "a\0b"] {
        let refused = OpensslConnector::new(&world.client.identity(), &world.authority.pem(), name);
        let error = refused.map(|_| ()).unwrap_err();
        assert!(matches!(error, ContextError::ServerName(_)), "{name:?}");
    }
}
