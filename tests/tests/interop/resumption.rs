//! A session that OpenSSL's client has written to a file is continued by another run of it, whose
//! Finished is the last message.

use anyhow::Result;

use crate::certificates::Certificates;
use crate::client::{self, Client};
use crate::lab::{Lab, PATIENCE};
use crate::{OPENSSL, Test};

pub(crate) fn tests() -> Vec<Test> {
    vec![Test::new(OPENSSL, "resumes_its_session", resumes)]
}

fn resumes(certificates: &Certificates) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("session.pem");
    let lab = Lab::new(certificates)?;
    for (option, words) in [("-sess_out", "New, "), ("-sess_in", "Reused, ")] {
        let mut command = client::known_openssl(&lab);
        command.arg(option).arg(&file);
        let mut client = Client::spawn(command)?;
        client.hear(words)?;
        client.exchange("hello")?;
        // s_client says goodbye when its input ends.
        client.close().wait()?;
        lab.wait_for_status(&[("/associations", 0)])?;
    }
    lab.gateway()?.wait_for_line("closed by the peer", PATIENCE)?;
    lab.wait_for_status(&[("/handshakes_ok", 2), ("/handshakes_resumed", 1), ("/sessions", 1)])
}
