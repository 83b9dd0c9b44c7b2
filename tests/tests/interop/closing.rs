//! Each end tells the other that it closes.

use anyhow::{Result, ensure};
use xdtls_netlab::Finished;

use crate::certificates::Certificates;
use crate::client::{self, Client, PRIORITY};
use crate::lab::{Lab, PATIENCE};
use crate::{GNUTLS, OPENSSL, Test};

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new(OPENSSL, "closes_its_association", client_closes_openssl),
        Test::new(GNUTLS, "closes_its_association_and_is_answered", client_closes_gnutls),
        Test::new(OPENSSL, "ends_when_the_gateway_stops", gateway_stops_openssl),
        Test::new(GNUTLS, "ends_when_the_gateway_stops", gateway_stops_gnutls),
    ]
}

fn client_closes_openssl(certificates: &Certificates) -> Result<()> {
    let lab = Lab::new(certificates)?;
    let mut client = established_openssl(&lab)?;
    client.say("Q")?;
    let finished = client.wait()?;
    ensure!(finished.status.success(), "{finished}");
    closed_by_client(&lab)
}

fn client_closes_gnutls(certificates: &Certificates) -> Result<()> {
    let lab = Lab::new(certificates)?;
    let client = established_gnutls(&lab)?;
    // It sends close_notify, and ends only when it has got one.
    let finished = client.close().wait()?;
    ensure!(finished.status.success() && has(&finished, "Peer has closed"), "{finished}");
    closed_by_client(&lab)
}

fn closed_by_client(lab: &Lab<'_>) -> Result<()> {
    lab.wait_for_status(&[("/associations", 0), ("/handshakes_ok", 1)])?;
    lab.gateway()?.wait_for_line("association ended: closed by the peer", PATIENCE)?;
    Ok(())
}

fn gateway_stops_openssl(certificates: &Certificates) -> Result<()> {
    let mut lab = Lab::new(certificates)?;
    let client = established_openssl(&lab)?;
    stop(&mut lab)?;
    let finished = client.wait()?;
    ensure!(finished.status.success() && has(&finished, "closed"), "{finished}");
    Ok(())
}

fn gateway_stops_gnutls(certificates: &Certificates) -> Result<()> {
    let mut lab = Lab::new(certificates)?;
    let client = established_gnutls(&lab)?;
    stop(&mut lab)?;
    let finished = client.wait()?;
    ensure!(finished.status.success() && has(&finished, "Peer has closed"), "{finished}");
    Ok(())
}

fn stop(lab: &mut Lab<'_>) -> Result<()> {
    let finished = lab.stop_gateway()?;
    let clean = finished.status.success() && has(&finished, "association ended: closed here");
    ensure!(clean, "{finished}");
    Ok(())
}

fn established_openssl(lab: &Lab<'_>) -> Result<Client> {
    let mut client = Client::spawn(client::known_openssl(lab))?;
    client.hear("Verification: OK")?;
    client.exchange("hello")?;
    Ok(client)
}

fn established_gnutls(lab: &Lab<'_>) -> Result<Client> {
    let mut client = Client::spawn(client::known_gnutls(lab, PRIORITY))?;
    client.hear("Simple Client Mode")?;
    client.exchange("hello")?;
    Ok(client)
}

fn has(finished: &Finished, pattern: &str) -> bool {
    finished.lines.iter().any(|line| line.text.contains(pattern))
}
