//! Whom the gateway refuses learns so by an alert, and is counted.

use anyhow::{Result, ensure};

use crate::certificates::Certificates;
use crate::client::{self, Client, PRIORITY};
use crate::lab::Lab;
use crate::{GNUTLS, OPENSSL, Test};

/// An OpenSSL configuration that leaves the extended master secret out.
const WITHOUT_EXTENDED_MASTER_SECRET: &str = "\
openssl_conf = openssl
[openssl]
ssl_conf = ssl
[ssl]
system_default = all
[all]
Options = -ExtendedMasterSecret
";

const FAILED: &[(&str, u64)] = &[("/handshakes_failed", 1)];
const DROPPED: &[(&str, u64)] = &[("/drops/extended_master_secret_missing", 1)];

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new(OPENSSL, "without_a_certificate_is_refused", |certificates| {
            let lab = Lab::new(certificates)?;
            openssl(&lab, client::openssl(&lab), "SSL alert number 40", FAILED)
        }),
        Test::new(GNUTLS, "without_a_certificate_is_refused", |certificates| {
            let lab = Lab::new(certificates)?;
            let client = Client::spawn(client::gnutls(&lab, PRIORITY))?;
            client.hear("Received alert [40]: Handshake failed")?;
            ensure!(!client.wait()?.status.success());
            refused(&lab, FAILED)
        }),
        Test::new(OPENSSL, "with_a_certificate_of_another_ca_is_refused", |certificates| {
            let lab = Lab::new(certificates)?;
            let mut command = client::openssl(&lab);
            command.arg("-cert").arg(certificates.other("client.pem"));
            command.arg("-key").arg(certificates.other("client.key"));
            openssl(&lab, command, "SSL alert number 48", FAILED)
        }),
        Test::new(OPENSSL, "refuses_a_gateway_of_another_ca", a_gateway_of_another_ca),
        Test::new(OPENSSL, "without_extended_master_secret_is_refused", |certificates| {
            let lab = Lab::new(certificates)?;
            let mut command = client::known_openssl(&lab);
            let configuration = lab.file("openssl.cnf", WITHOUT_EXTENDED_MASTER_SECRET)?;
            command.env("OPENSSL_CONF", configuration);
            openssl(&lab, command, "SSL alert number 40", DROPPED)
        }),
        Test::new(GNUTLS, "without_extended_master_secret_is_refused", |certificates| {
            let lab = Lab::new(certificates)?;
            gnutls_at_hello(&lab, "%NO_SESSION_HASH", DROPPED)
        }),
        Test::new(OPENSSL, "without_a_common_suite_is_refused", |certificates| {
            let lab = Lab::new(certificates)?;
            let mut command = client::known_openssl(&lab);
            command.args(["-cipher", "ECDHE-ECDSA-AES128-CCM"]);
            openssl(&lab, command, "SSL alert number 40", FAILED)
        }),
        Test::new(GNUTLS, "without_a_common_suite_is_refused", |certificates| {
            let lab = Lab::new(certificates)?;
            gnutls_at_hello(&lab, "-CIPHER-ALL:+AES-128-CCM", FAILED)
        }),
    ]
}

/// The client ends by itself and names the alert.
fn openssl(
    lab: &Lab<'_>,
    command: std::process::Command,
    alert: &str,
    counted: &[(&str, u64)],
) -> Result<()> {
    let client = Client::spawn(command)?;
    client.hear(alert)?;
    let finished = client.wait()?;
    ensure!(!finished.status.success(), "{finished}");
    refused(lab, counted)
}

/// GnuTLS up to 3.7 reads an alert that answers its ClientHello, and goes on repeating that one all
/// the same, towards OpenSSL's own server too: the alert stands in its trace only.
fn gnutls_at_hello(lab: &Lab<'_>, priority: &str, counted: &[(&str, u64)]) -> Result<()> {
    let mut command = client::known_gnutls(lab, &format!("{PRIORITY}:{priority}"));
    command.args(["--debug", "5"]);
    let client = Client::spawn(command)?;
    client.hear("Alert[2|40] - Handshake failed - was received")?;
    refused(lab, counted)
}

/// Without this the other tests would not show that the client verifies anything.
fn a_gateway_of_another_ca(certificates: &Certificates) -> Result<()> {
    let lab = Lab::new(certificates)?;
    let mut command = client::known_openssl(&lab);
    command.arg("-CAfile").arg(certificates.other("ca.pem"));
    let client = Client::spawn(command)?;
    client.hear("certificate verify failed")?;
    let finished = client.wait()?;
    ensure!(!finished.status.success(), "{finished}");
    refused(&lab, &[])
}

fn refused(lab: &Lab<'_>, counted: &[(&str, u64)]) -> Result<()> {
    let nothing = [("/associations", 0), ("/handshakes_ok", 0), ("/opened", 0)];
    lab.wait_for_status(&[&nothing, counted].concat())
}
