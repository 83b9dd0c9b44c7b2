//! Three domains with two key types each on one port: whoever asks for a name and a key type gets the
//! certificate with both.

use anyhow::{Result, ensure};
use tempfile::TempDir;
use xdtls_tests::pki;

use crate::certificates::Certificates;
use crate::client::{self, Client};
use crate::lab::Lab;
use crate::{OPENSSL, Test};

const DOMAINS: [&str; 3] = ["one.example", "two.example", "three.example"];

/// Whether the key is RSA, the suites that a client offers, and how it calls the key.
const KEY_TYPES: [(bool, &str, &str); 2] = [
    (false, "ECDHE-ECDSA-AES128-GCM-SHA256", "id-ecPublicKey"),
    (true, "ECDHE-RSA-AES128-GCM-SHA256", "rsaEncryption"),
];

pub(crate) fn tests() -> Vec<Test> {
    vec![Test::new(OPENSSL, "three_domains_and_two_key_types_on_one_port", three_domains)]
}

fn three_domains(certificates: &Certificates) -> Result<()> {
    // A copy of the CA, so that its folder stays as it is for others.
    let folder = TempDir::new()?;
    for file in ["ca.pem", "ca.key"] {
        std::fs::copy(certificates.trusted(file), folder.path().join(file))?;
    }
    let mut tables = String::new();
    for (domain, (rsa, ..)) in each() {
        pki::issue_server(folder.path(), domain, rsa)?;
        let stem =
            folder.path().join(if rsa { format!("{domain}-rsa") } else { domain.to_owned() });
        tables += &format!(
            "[[identity]]\ncertificate = {:?}\nkey = {:?}\n",
            stem.with_added_extension("pem"),
            stem.with_added_extension("key"),
        );
    }
    let lab = Lab::with_configuration(certificates, "", &tables)?;
    for (count, (domain, (_, suite, key))) in (1..).zip(each()) {
        let mut command = client::known_openssl(&lab);
        // The last name to verify counts.
        command.args(["-servername", domain, "-verify_hostname", domain, "-cipher", suite]);
        let mut client = Client::spawn(command)?;
        client.hear(&format!("subject=CN = {domain}"))?;
        client.hear("Verification: OK")?;
        client.hear(&format!("Verified peername: {domain}"))?;
        client.hear(&format!("Cipher is {suite}"))?;
        ensure!(client.hear("a:PKEY: ")?.contains(key), "{domain} has another key");
        client.exchange(&format!("to {domain} with {suite}"))?;
        client.say("Q")?;
        ensure!(client.wait()?.status.success());
        lab.wait_for_status(&[("/handshakes_ok", count), ("/associations", 0)])?;
    }
    Ok(())
}

fn each() -> impl Iterator<Item = (&'static str, (bool, &'static str, &'static str))> {
    DOMAINS.into_iter().flat_map(|domain| KEY_TYPES.map(|key_type| (domain, key_type)))
}
