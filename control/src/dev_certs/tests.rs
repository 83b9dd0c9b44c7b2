use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use openssl::x509::X509;
use tempfile::TempDir;

use super::*;

fn options(folder: &TempDir) -> Options {
    Options {
        out: folder.path().join("certs"),
        names: vec!["node1.sensors.example".to_owned()],
        peers: Vec::new(),
        days: 30,
        key_type: KeyType::Ecdsa,
        force: false,
    }
}

/// Another implementation's judgement of the whole chain, with the checks that it keeps for
/// strict users.
fn verified(folder: &Path, purpose: &str, certificate: &str) -> bool {
    Command::new("openssl")
        .args(["verify", "-x509_strict", "-CAfile", "ca.pem", "-purpose", purpose, certificate])
        .current_dir(folder)
        .output()
        .expect("the openssl program runs")
        .status
        .success()
}

fn names(written: &[PathBuf]) -> Vec<&str> {
    written.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect()
}

#[test]
fn certificates_are_good_for_their_purpose_only() {
    let folder = TempDir::new().unwrap();
    let options = options(&folder);
    write(&options).unwrap();
    assert!(verified(&options.out, "sslserver", "gateway.pem"));
    assert!(!verified(&options.out, "sslclient", "gateway.pem"));
    for client in ["client.pem", "node1.sensors.example.pem"] {
        assert!(verified(&options.out, "sslclient", client));
        assert!(!verified(&options.out, "sslserver", client));
    }
}

#[test]
fn certificates_carry_their_names() {
    let folder = TempDir::new().unwrap();
    let options = options(&folder);
    write(&options).unwrap();
    let names = |file| {
        let certificate = X509::from_pem(&fs::read(options.out.join(file)).unwrap()).unwrap();
        let common =
            certificate.subject_name().entries().next().unwrap().data().as_slice().to_vec();
        let alternative = certificate.subject_alt_names().unwrap();
        let dns: Vec<String> =
            alternative.iter().filter_map(|name| name.dnsname().map(str::to_owned)).collect();
        let addresses = alternative.iter().filter(|name| name.ipaddress().is_some()).count();
        (String::from_utf8(common).unwrap(), dns.join(" "), addresses)
    };
    let named = |common: &str, dns: &str, addresses| (common.into(), dns.into(), addresses);
    assert_eq!(names("gateway.pem"), named("gateway", "gateway localhost", 2));
    assert_eq!(names("client.pem"), named("client", "client", 0));
    let node = "node1.sensors.example";
    assert_eq!(names("node1.sensors.example.pem"), named(node, node, 0));
}

#[test]
fn keys_are_private_and_belong_to_their_certificates() {
    let folder = TempDir::new().unwrap();
    let written = write(&options(&folder)).unwrap();
    for key in written.iter().filter(|path| path.extension().is_some_and(|e| e == "key")) {
        assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o777, 0o600);
        let certificate = fs::read(key.with_extension("pem")).unwrap();
        let authority = Authority::load(&certificate, &fs::read(key).unwrap()).unwrap();
        assert_eq!(authority.fault().unwrap(), None, "{}", key.display());
    }
}

#[test]
fn rsa_and_ecdsa_share_a_folder_and_its_ca() {
    let folder = TempDir::new().unwrap();
    let ecdsa = Options { names: vec![], ..options(&folder) };
    let rsa = Options { key_type: KeyType::Rsa, ..ecdsa.clone() };
    let written = write(&ecdsa).unwrap();
    assert_eq!(
        names(&written),
        ["ca.pem", "ca.key", "gateway.pem", "gateway.key", "client.pem", "client.key"]
    );
    let written = write(&rsa).unwrap();
    assert_eq!(
        names(&written),
        ["gateway-rsa.pem", "gateway-rsa.key", "client-rsa.pem", "client-rsa.key"]
    );
    assert!(verified(&rsa.out, "sslserver", "gateway.pem"));
    assert!(verified(&rsa.out, "sslserver", "gateway-rsa.pem"));
    assert!(verified(&rsa.out, "sslclient", "client-rsa.pem"));
}

#[test]
fn leaves_are_replaced_only_by_force_and_the_ca_never() {
    let folder = TempDir::new().unwrap();
    let options = Options { names: vec![], ..options(&folder) };
    write(&options).unwrap();
    fs::remove_file(options.out.join("client.pem")).unwrap();
    let read = |file| fs::read(options.out.join(file)).unwrap();
    let (ca, gateway) = (read("ca.pem"), read("gateway.pem"));

    let error = write(&options).unwrap_err().to_string();
    let said = error.replace(&folder.path().display().to_string(), "DIR");
    insta::assert_snapshot!(said, @"DIR/certs/gateway.pem, DIR/certs/gateway.key, DIR/certs/client.key: there already; add --force to replace, or choose another --out");
    assert!(!options.out.join("client.pem").exists(), "nothing is written after a refusal");
    assert_eq!(read("gateway.pem"), gateway);

    write(&Options { force: true, ..options.clone() }).unwrap();
    assert_ne!(read("gateway.pem"), gateway);
    assert_eq!(read("ca.pem"), ca);
}

#[test]
fn an_unusable_ca_is_refused() {
    let folder = TempDir::new().unwrap();
    let options = Options { names: vec![], force: true, ..options(&folder) };
    write(&options).unwrap();
    let refusal = || match write(&options) {
        Err(DevCertsError::Authority { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    fs::copy(options.out.join("client.key"), options.out.join("ca.key")).unwrap();
    assert_eq!(refusal(), "the certificate does not belong to ca.key");
    fs::write(options.out.join("ca.key"), "nonsense").unwrap();
    assert!(!refusal().is_empty());
    fs::remove_file(options.out.join("ca.key")).unwrap();
    assert_eq!(refusal(), "ca.key is missing");
}

#[test]
fn names_that_are_no_file_names_or_taken_are_refused() {
    let folder = TempDir::new().unwrap();
    let named = |name: &str| {
        let options = Options { names: vec!["b".to_owned(), name.to_owned()], ..options(&folder) };
        write(&options).unwrap_err()
    };
    for name in ["", ".", "..", "a/b", "../a", "-a", "a.", "a b", "ä", &"a".repeat(65)] {
        assert!(matches!(named(name), DevCertsError::Name(_)), "{name}");
    }
    for name in ["ca", "gateway", "client", "client-rsa", "b"] {
        assert!(matches!(named(name), DevCertsError::Taken(_)), "{name}");
    }
    assert!(!options(&folder).out.exists());
}

#[test]
fn the_summary_says_how_to_go_on() {
    let options = Options {
        out: PathBuf::from("certs"),
        names: vec![],
        peers: Vec::new(),
        days: 30,
        key_type: KeyType::Rsa,
        force: false,
    };
    let written = [PathBuf::from("certs/ca.pem"), PathBuf::from("certs/ca.key")];
    insta::assert_snapshot!(summary(&options, &written), @r#"
    wrote certs/ca.pem
    wrote certs/ca.key

    In a gateway.toml in the current folder:

      [[identity]]
      certificate = "certs/gateway-rsa.pem"
      key = "certs/gateway-rsa.key"

      [clients]
      ca = "certs/ca.pem"

    A client, with HOST as the gateway's address:

      xdtls connect --gateway HOST:4433 --server-name gateway --listen 127.0.0.1:5000 \
        --certificate certs/client-rsa.pem --key certs/client-rsa.key --ca certs/ca.pem

    For development only: whoever reads ca.key can be anybody.
    "#);
}
