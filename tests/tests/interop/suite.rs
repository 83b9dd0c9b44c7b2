//! Each cipher suite, with the certificate that it needs: handshake, data both ways, close.

use anyhow::{Result, ensure};

use crate::certificates::Certificates;
use crate::client::{self, Client, PRIORITY};
use crate::lab::{Lab, Way};
use crate::{GNUTLS, OPENSSL, Test};

/// A cipher suite, as each client calls it.
#[derive(Clone, Copy)]
pub(crate) struct Suite {
    /// OpenSSL's name.
    pub(crate) openssl: &'static str,
    /// GnuTLS's key exchange and cipher.
    gnutls: [&'static str; 2],
    /// Mbed TLS's name.
    pub(crate) mbedtls: &'static str,
}

/// All that a gateway has.
pub(crate) const SUITES: [Suite; 6] = [
    Suite {
        openssl: "ECDHE-ECDSA-AES128-GCM-SHA256",
        gnutls: ["ECDHE-ECDSA", "AES-128-GCM"],
        mbedtls: "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256",
    },
    Suite {
        openssl: "ECDHE-RSA-AES128-GCM-SHA256",
        gnutls: ["ECDHE-RSA", "AES-128-GCM"],
        mbedtls: "TLS-ECDHE-RSA-WITH-AES-128-GCM-SHA256",
    },
    Suite {
        openssl: "ECDHE-ECDSA-AES256-GCM-SHA384",
        gnutls: ["ECDHE-ECDSA", "AES-256-GCM"],
        mbedtls: "TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384",
    },
    Suite {
        openssl: "ECDHE-RSA-AES256-GCM-SHA384",
        gnutls: ["ECDHE-RSA", "AES-256-GCM"],
        mbedtls: "TLS-ECDHE-RSA-WITH-AES-256-GCM-SHA384",
    },
    Suite {
        openssl: "ECDHE-ECDSA-CHACHA20-POLY1305",
        gnutls: ["ECDHE-ECDSA", "CHACHA20-POLY1305"],
        mbedtls: "TLS-ECDHE-ECDSA-WITH-CHACHA20-POLY1305-SHA256",
    },
    Suite {
        openssl: "ECDHE-RSA-CHACHA20-POLY1305",
        gnutls: ["ECDHE-RSA", "CHACHA20-POLY1305"],
        mbedtls: "TLS-ECDHE-RSA-WITH-CHACHA20-POLY1305-SHA256",
    },
];

pub(crate) fn tests() -> Vec<Test> {
    let of_openssl = SUITES.map(|suite| {
        Test::new(OPENSSL, suite.openssl, move |certificates| {
            openssl(certificates, suite, Way::Loopback)
        })
    });
    let of_gnutls = SUITES.map(|suite| {
        Test::new(GNUTLS, suite.openssl, move |certificates| {
            gnutls(certificates, suite, Way::Loopback)
        })
    });
    let [suite, ..] = SUITES;
    let over_xdp = [
        Test::new(OPENSSL, "over XDP", move |it| openssl(it, suite, Way::Driver)),
        Test::new(GNUTLS, "over XDP", move |it| gnutls(it, suite, Way::Driver)),
    ];
    of_openssl.into_iter().chain(of_gnutls).chain(over_xdp).collect()
}

fn openssl(certificates: &Certificates, suite: Suite, way: Way) -> Result<()> {
    let lab = Lab::over(certificates, way)?;
    let mut command = client::known_openssl(&lab);
    command.args(["-cipher", suite.openssl]);
    let mut client = Client::spawn(command)?;
    client.hear("Verification: OK")?;
    client.hear("Verified peername: gateway")?;
    client.hear(&format!("Cipher is {}", suite.openssl))?;
    talk(&mut client, &lab)?;
    client.say("Q")?;
    let finished = client.wait()?;
    ensure!(finished.status.success(), "{finished}");
    lab.wait_for_status(&[("/associations", 0), ("/handshakes_ok", 1)])?;
    lab.ensure_answered(way)
}

fn gnutls(certificates: &Certificates, suite: Suite, way: Way) -> Result<()> {
    let [key_exchange, cipher] = suite.gnutls;
    let lab = Lab::over(certificates, way)?;
    let priority = format!("{PRIORITY}:-KX-ALL:+{key_exchange}:-CIPHER-ALL:+{cipher}");
    let mut client = Client::spawn(client::known_gnutls(&lab, &priority))?;
    client.hear("The certificate is trusted")?;
    let description = client.hear("- Description: ")?;
    // (DTLS1.2-X.509)-(ECDHE-…)-(ECDSA-… or RSA-…)-(cipher)
    let signature = format!("-({}-", key_exchange.trim_start_matches("ECDHE-"));
    let fits = description.contains(&signature) && description.ends_with(&format!("({cipher})"));
    ensure!(fits, "{description}");
    client.hear("Simple Client Mode")?;
    talk(&mut client, &lab)?;
    let finished = client.close().wait()?;
    ensure!(finished.status.success(), "{finished}");
    lab.wait_for_status(&[("/associations", 0), ("/handshakes_ok", 1)])?;
    lab.ensure_answered(way)
}

/// Sends two lines and expects them back, through the gateway and its backend.
fn talk(client: &mut Client, lab: &Lab<'_>) -> Result<()> {
    let lines = ["first line", "and another one"];
    for line in lines {
        client.exchange(line)?;
    }
    // Each with its end of line.
    let bytes = lines.iter().map(|line| line.len() as u64 + 1).sum();
    lab.wait_for_status(&[
        ("/associations", 1),
        ("/opened", 2),
        ("/opened_bytes", bytes),
        ("/sealed_bytes", bytes),
        ("/handshakes_failed", 0),
    ])
}
