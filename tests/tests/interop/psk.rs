//! Pre-shared keys of other people's clients.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Result, ensure};
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::client::{Client, PRIORITY};
use crate::lab::{Lab, PORT};
use crate::{GNUTLS, OPENSSL, Test};

const IDENTITY: &str = "sensor-7";
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const WRONG: &str = "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

pub(crate) fn tests() -> Vec<Test> {
    vec![
        Test::new(OPENSSL, "talks_with_a_pre_shared_key", |certificates| {
            let lab = Keyed::new(certificates, "")?;
            let client = Client::spawn(openssl(&lab.lab, IDENTITY, KEY))?;
            client.hear("Cipher is ECDHE-PSK-CHACHA20-POLY1305")?;
            talk(client, &lab.lab)
        }),
        Test::new(OPENSSL, "talks_with_a_pre_shared_key_alone_where_that_is_allowed", |it| {
            let lab = Keyed::new(it, "allow_no_forward_secrecy = true")?;
            let mut command = openssl(&lab.lab, IDENTITY, KEY);
            command.args(["-cipher", "PSK-AES128-GCM-SHA256"]);
            let client = Client::spawn(command)?;
            client.hear("Cipher is PSK-AES128-GCM-SHA256")?;
            talk(client, &lab.lab)
        }),
        Test::new(OPENSSL, "is_refused_a_pre_shared_key_alone", |certificates| {
            let lab = Keyed::new(certificates, "")?;
            let mut command = openssl(&lab.lab, IDENTITY, KEY);
            command.args(["-cipher", "PSK-AES128-GCM-SHA256"]);
            Client::spawn(command)?.hear("SSL alert number 40")?;
            lab.lab.wait_for_status(&[("/handshakes_failed", 1), ("/handshakes_ok", 0)])
        }),
        Test::new(GNUTLS, "finishes_a_handshake_with_a_pre_shared_key", |certificates| {
            let lab = Keyed::new(certificates, "")?;
            // Up to 3.7 it crashes when it describes such a session, towards OpenSSL's own server
            // too. By then both ends are complete.
            let _client = Client::spawn(gnutls(&lab.lab, IDENTITY, KEY))?;
            established(&lab.lab)
        }),
        Test::new(OPENSSL, "learns_nothing_of_identities", |certificates| {
            let lab = Keyed::new(certificates, "[limits]\nhandshake_deadline = \"2s\"")?;
            for (count, (identity, key)) in (1..).zip([(IDENTITY, WRONG), ("sensor-8", KEY)]) {
                let client = Client::spawn(openssl(&lab.lab, identity, key))?;
                lab.lab.wait_for_status(&[("/handshake_failures/timed_out", count)])?;
                let heard = client.heard();
                ensure!(!heard.contains("alert") && !heard.contains("closed"), "{heard}");
            }
            lab.lab.wait_for_status(&[("/handshakes_ok", 0), ("/associations", 0)])
        }),
    ]
}

/// A gateway with pre-shared keys.
struct Keyed<'a> {
    lab: Lab<'a>,
    _keys: TempDir,
}

impl<'a> Keyed<'a> {
    fn new(certificates: &'a Certificates, clients: &str) -> Result<Self> {
        let folder = TempDir::new()?;
        let keys = folder.path().join("psk.txt");
        std::fs::write(&keys, format!("{IDENTITY}:{KEY}\n"))?;
        std::fs::set_permissions(&keys, Permissions::from_mode(0o600))?;
        let clients = format!("psk_file = {keys:?}\n{clients}");
        let lab = Lab::with_configuration(certificates, &clients, "")?;
        Ok(Self { lab, _keys: folder })
    }
}

fn openssl(lab: &Lab<'_>, identity: &str, key: &str) -> Command {
    let mut command = lab.command("openssl");
    command.args(["s_client", "-dtls1_2", "-connect", &format!("127.0.0.1:{PORT}")]);
    command.args(["-psk_identity", identity, "-psk", key]);
    command
}

fn gnutls(lab: &Lab<'_>, identity: &str, key: &str) -> Command {
    let mut command = lab.command("gnutls-cli");
    let priority = format!("{PRIORITY}:-KX-ALL:+ECDHE-PSK:-CIPHER-ALL:+CHACHA20-POLY1305");
    command.args(["--udp", "127.0.0.1", "--port", PORT, "--priority", &priority]);
    command.args(["--pskusername", identity, "--pskkey", key]);
    command
}

/// What is said comes back.
fn talk(mut client: Client, lab: &Lab<'_>) -> Result<()> {
    client.exchange("without any certificate")?;
    established(lab)
}

/// An association with whom it is.
fn established(lab: &Lab<'_>) -> Result<()> {
    lab.wait_for_status(&[("/handshakes_ok", 1), ("/handshakes_failed", 0), ("/associations", 1)])?;
    let listed = lab.ask(&["associations"])?;
    ensure!(listed.contains("psk:sensor-7"), "{listed}");
    Ok(())
}
