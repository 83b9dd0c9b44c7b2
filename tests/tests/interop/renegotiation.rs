//! A second handshake within an association is refused, as a warning that OpenSSL takes for final.

use anyhow::{Result, ensure};

use crate::certificates::Certificates;
use crate::client::{self, Client};
use crate::lab::{Lab, PATIENCE};
use crate::{OPENSSL, Test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new(OPENSSL, "renegotiation_is_refused", after_data),
        Test::new(OPENSSL, "renegotiation_is_refused_before_any_data_too", before_data),
    ]
}

/// The gateway still keeps its final flight, which is not what a ClientHello asks for.
fn before_data(certificates: &Certificates) -> Result<()> {
    let lab = Lab::new(certificates)?;
    let client = Client::spawn(client::known_openssl(&lab))?;
    client.hear("Verification: OK")?;
    refused(client, &lab)
}

fn after_data(certificates: &Certificates) -> Result<()> {
    let lab = Lab::new(certificates)?;
    let mut client = Client::spawn(client::known_openssl(&lab))?;
    client.hear("Verification: OK")?;
    client.exchange("hello")?;
    refused(client, &lab)
}

/// s_client's `R` begins a handshake within its association.
fn refused(mut client: Client, lab: &Lab<'_>) -> Result<()> {
    client.say("R")?;
    client.hear("RENEGOTIATING")?;
    // The warning is `no_renegotiation`; that s_client gives up is its own decision.
    client.hear(":no renegotiation:")?;
    ensure!(!client.wait()?.status.success());
    lab.gateway()?.wait_for_line("ended by a fatal alert of the peer", PATIENCE)?;
    lab.wait_for_status(&[("/associations", 0), ("/handshakes_ok", 1)])
}
