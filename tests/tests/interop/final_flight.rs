//! The gateway's ChangeCipherSpec and Finished are lost: the client repeats its own flight, and gets
//! them again from a gateway that has long given OpenSSL's object up.
//!
//! OpenSSL repeats its messages in datagrams of their own, GnuTLS all in one.

use anyhow::Result;

use crate::certificates::Certificates;
use crate::client::{self, Client, PRIORITY};
use crate::lab::Lab;
use crate::{GNUTLS, OPENSSL, Test};

pub(crate) fn tests() -> Vec<Test> {
    let mut tests = Vec::new();
    // Three times first: clients wait 1, 2 and 4 seconds.
    for (times, words) in [(3, "three_times"), (1, "once")] {
        let name = format!("gets_over_a_final_flight_lost_{words}");
        tests.push(Test::new(OPENSSL, &name, move |certificates| openssl(certificates, times)));
        tests.push(Test::new(GNUTLS, &name, move |certificates| gnutls(certificates, times)));
    }
    tests
}

fn openssl(certificates: &Certificates, times: u64) -> Result<()> {
    let lab = losing(certificates, times)?;
    let mut client = Client::spawn(client::known_openssl(&lab))?;
    client.hear("Verification: OK")?;
    finish(&mut client, &lab, times)
}

fn gnutls(certificates: &Certificates, times: u64) -> Result<()> {
    let lab = losing(certificates, times)?;
    let mut client = Client::spawn(client::known_gnutls(&lab, PRIORITY))?;
    client.hear("Simple Client Mode")?;
    finish(&mut client, &lab, times)
}

fn losing(certificates: &Certificates, times: u64) -> Result<Lab<'_>> {
    Lab::with_shim(certificates, &["--lose-final-flights", &times.to_string()])
}

fn finish(client: &mut Client, lab: &Lab<'_>, times: u64) -> Result<()> {
    client.exchange("at last")?;
    // One repetition for each loss: no more, and none that nobody asked for.
    lab.wait_for_status(&[
        ("/final_flights_repeated", times),
        ("/handshakes_ok", 1),
        ("/handshakes_failed", 0),
        ("/associations", 1),
    ])
}
