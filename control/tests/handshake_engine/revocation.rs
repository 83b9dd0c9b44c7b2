//! Lists of revoked certificates, and what else a certificate says of its holder.

use std::net::IpAddr;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use openssl::sha::sha256;
use xdtls::handshake::{
    AcceptorOptions, CrlError, OpensslAcceptor, OpensslConnector, Trust, authority_keys,
};
use xdtls_proto::engine::{ConnectEngine, Engine, PeerIdentity, Progress};
use xdtls_proto::failure::FailureClass;
use xdtls_proto::policy::{Admission, Policy, Refusal};

use crate::World;
use crate::pair::{MAX_DATAGRAM, Pair};
use crate::pki::{Authority, KeyType, Leaf, Usage};

const CURRENT: [i64; 2] = [-1, 7];

fn now_s() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64
}

/// Trust in an authority with these lists.
fn trusting(authority: &Authority, crls: &[Vec<u8>]) -> Result<Trust, CrlError> {
    let mut trust = Trust::new(&authority.pem()).unwrap();
    crls.iter().try_for_each(|crl| trust.add_crls(crl, now_s()))?;
    Ok(trust)
}

/// What a gateway that asks these lists makes of a client.
fn judged(world: &World, client: &Leaf, crls: &[Vec<u8>]) -> Result<PeerIdentity, String> {
    let trust = trusting(&world.authority, crls).unwrap();
    let identities = [world.server.identity()];
    let acceptor = OpensslAcceptor::with(&AcceptorOptions {
        identities: &identities,
        trust: Some(&trust),
        ..AcceptorOptions::default()
    });
    let connector =
        OpensslConnector::new(&client.identity(), &world.authority.pem(), "gw.example").unwrap();
    let client = connector.connect(Instant::now(), MAX_DATAGRAM, None).unwrap();
    let mut pair = Pair::new(client, &acceptor.unwrap());
    pair.run();
    match pair.server_progress() {
        Progress::Failed(failure) => {
            assert_eq!(failure.class, FailureClass::Authentication);
            Err(failure.reason)
        }
        _ => Ok(pair.finish().1.identity),
    }
}

#[test]
fn revoked_clients_are_refused_by_lists_in_pem_and_der() {
    let world = World::new(KeyType::Ecdsa);
    let other = world.authority.issue(&["other"], KeyType::Ecdsa, Usage::Client);
    let crl = world.authority.crl(&[&world.client], CURRENT);
    for file in [crl.to_pem().unwrap(), crl.to_der().unwrap()] {
        let refused = judged(&world, &world.client, std::slice::from_ref(&file));
        assert_eq!(refused.unwrap_err(), "certificate verify failed (certificate revoked)");
        assert_eq!(judged(&world, &other, &[file]).unwrap().names, ["other"]);
    }
}

#[test]
fn without_a_list_of_the_issuer_nobody_comes_in() {
    let world = World::new(KeyType::Ecdsa);
    let elsewhere = Authority::new("elsewhere").crl(&[], CURRENT).to_pem().unwrap();
    let refused = judged(&world, &world.client, &[elsewhere]).unwrap_err();
    assert_eq!(refused, "certificate verify failed (unable to get certificate CRL)");
}

#[test]
fn every_certificate_of_a_chain_is_looked_up() {
    let mut world = World::new(KeyType::Ecdsa);
    let below = world.authority.intermediate("below");
    world.client = below.issue(&["client below"], KeyType::Ecdsa, Usage::Client);
    let with_chain = |world: &World| {
        let mut identity = world.client.identity();
        identity.certificate_chain_pem.extend(below.pem());
        identity
    };
    let met = |crls: &[Vec<u8>]| {
        let trust = trusting(&world.authority, crls).unwrap();
        let identities = [world.server.identity()];
        let options = AcceptorOptions {
            identities: &identities,
            trust: Some(&trust),
            ..AcceptorOptions::default()
        };
        let acceptor = OpensslAcceptor::with(&options).unwrap();
        let connector =
            OpensslConnector::new(&with_chain(&world), &world.authority.pem(), "gw.example");
        let client = connector.unwrap().connect(Instant::now(), MAX_DATAGRAM, None).unwrap();
        let mut pair = Pair::new(client, &acceptor);
        pair.run();
        pair.server_progress() == Progress::Complete
    };
    let of_root = |revoked: &[&Leaf]| world.authority.crl(revoked, CURRENT).to_pem().unwrap();
    let of_below = below.crl(&[], CURRENT).to_pem().unwrap();
    assert!(met(&[of_root(&[]), of_below.clone()]));
    // Both in one file, too.
    assert!(met(&[[of_root(&[]), of_below.clone()].concat()]));
    assert!(!met(&[of_root(&[])]), "nothing is known of the client's issuer");
    assert!(!met(&[of_root(&[&below.as_leaf()]), of_below]), "the issuer is revoked");
}

#[test]
fn lists_that_cannot_be_believed_are_refused_with_a_reason() {
    let world = World::new(KeyType::Ecdsa);
    let refused =
        |file: &[u8]| trusting(&world.authority, &[file.to_vec()]).err().unwrap().to_string();
    let expired = world.authority.crl(&[], [-7, -1]).to_pem().unwrap();
    let said = refused(&expired);
    assert!(said.starts_with("the CRL of CN=test authority has expired on "), "{said}");
    assert!(said.ends_with("fetch the current one"), "{said}");
    let impostor = Authority::new("test authority").crl(&[], CURRENT).to_pem().unwrap();
    let said = refused(&impostor);
    assert_eq!(said, "the CRL of CN=test authority was not signed by the CA of that name");
    for rubbish in [&b""[..], b"rubbish", &world.authority.pem()] {
        let said = refused(rubbish);
        assert!(said.starts_with("it holds no CRL in PEM or DER"), "{said}");
    }
}

#[test]
fn clients_refuse_a_gateway_that_was_revoked() {
    let world = World::new(KeyType::Ecdsa);
    let met = |revoked: &[&Leaf]| {
        let crl = world.authority.crl(revoked, CURRENT).to_pem().unwrap();
        let trust = trusting(&world.authority, &[crl]).unwrap();
        let identities = [world.client.identity()];
        let connector = OpensslConnector::with_certificates(&identities, &trust, "gw.example");
        let client = connector.unwrap().connect(Instant::now(), MAX_DATAGRAM, None).unwrap();
        let mut pair = Pair::new(client, &world.acceptor());
        pair.run();
        pair.client.progress()
    };
    assert_eq!(met(&[&world.client]), Progress::Complete);
    let Progress::Failed(failure) = met(&[&world.server]) else { panic!("it was revoked") };
    assert_eq!(failure.reason, "certificate verify failed (certificate revoked)");
}

#[test]
fn whose_handshake_is_over_is_judged_by_a_new_list_alone() {
    let world = World::new(KeyType::Ecdsa);
    let identity = judged(&world, &world.client, &[]).unwrap();
    let judge = |revoked: &[&Leaf]| {
        let crl = world.authority.crl(revoked, CURRENT).to_der().unwrap();
        let trust = trusting(&world.authority, &[crl]).unwrap();
        let admission = Admission {
            policy: Policy { rules: Vec::new(), default_backend: Some(1) },
            revocations: trust.revocation_lists().unwrap(),
            ..Admission::default()
        };
        admission.judge(now_s(), &identity)
    };
    assert_eq!(judge(&[&world.server]), Ok(1));
    assert_eq!(judge(&[&world.client]), Err(Refusal::Revoked));
}

#[test]
fn an_identity_has_all_that_rules_look_at() {
    let world = World::new(KeyType::Ecdsa);
    let names = [
        "common",
        "c.example",
        "spiffe://example/sensors/7",
        "ann@example.org",
        "192.0.2.7",
        "2001:db8::7",
    ];
    let client = world.authority.issue(&names, KeyType::Rsa, Usage::Client);
    let identity = judged(&world, &client, &[]).unwrap();
    assert_eq!(identity.names, ["c.example"]);
    assert_eq!(identity.uris, ["spiffe://example/sensors/7"]);
    assert_eq!(identity.emails, ["ann@example.org"]);
    let addresses: [IpAddr; 2] = ["192.0.2.7", "2001:db8::7"].map(|it| it.parse().unwrap());
    assert_eq!(identity.addresses, addresses);
    assert_eq!(identity.spki_sha256, sha256(&client.key.public_key_to_der().unwrap()));
    assert_eq!(identity.authorities, authority_keys(&world.authority.pem()).unwrap());
    assert_eq!(identity.chain.len(), 2);
    let left_s = identity.expires_s.unwrap() - now_s();
    assert!((23 * 3600..=24 * 3600).contains(&left_s), "{left_s}");
    assert_eq!(identity.psk, None);
}
