//! Unmodified DTLS clients, none of which knows xdtls, talk to a gateway.
//!
//! ```text
//!   one network namespace, loopback only
//!   client ── 127.0.0.1:4434 prefix-shim ── 127.0.0.1:4433 xdtls gateway ── udp-echo
//! ```
//!
//! With one suite each, the gateway is on another host whose XDP program answers ClientHellos.
//!
//! Each test has its own namespace and processes. Skipped, with the reason, where no namespace can
//! be made or a client is not installed.
#![forbid(unsafe_code)]

mod certificates;
mod client;
mod closing;
mod final_flight;
mod lab;
mod mbedtls;
mod names;
mod psk;
mod refusal;
mod renegotiation;
mod resumption;
mod suite;

use std::process::{Command, ExitCode};
use std::sync::Arc;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};

use crate::certificates::Certificates;

/// What runs a test.
type Run = Box<dyn FnOnce(&Certificates) -> Result<()> + Send>;

/// A test of one client.
struct Test {
    name: String,
    /// The program that it needs, and the Debian package that has it.
    needs: (&'static str, &'static str),
    run: Run,
}

const OPENSSL: (&str, &str) = ("openssl", "openssl");
const GNUTLS: (&str, &str) = ("gnutls-cli", "gnutls-bin");
const PYTHON: (&str, &str) = ("python3", "python3-venv");

impl Test {
    fn new(
        needs: (&'static str, &'static str),
        name: &str,
        run: impl FnOnce(&Certificates) -> Result<()> + Send + 'static,
    ) -> Self {
        Self { name: format!("{}::{name}", needs.0), needs, run: Box::new(run) }
    }

    /// Why it cannot run here, if it cannot.
    fn obstacle(&self) -> Option<String> {
        let (program, package) = self.needs;
        // Only OpenSSL's program knows no `--version`; it starts all the same.
        let found = Command::new(program).arg("--version").output();
        found.is_err().then(|| format!("{program} (Debian package {package}) is not installed"))
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    // Whoever asks for a list wants no certificates, nor reasons.
    let nothing_to_do = arguments.list.then(|| "only listed".to_owned());
    let no_lab = nothing_to_do.or_else(xdtls_netlab::missing);
    let certificates = match no_lab.is_none().then(Certificates::make).transpose() {
        Ok(certificates) => certificates.map(Arc::new),
        Err(error) => {
            eprintln!("no certificates could be made: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let trial = |test: Test| {
        let obstacle = no_lab.clone().or_else(|| test.obstacle());
        if let (Some(reason), false) = (&obstacle, arguments.list) {
            println!("SKIP {}: {reason}", test.name);
        }
        let certificates = certificates.clone();
        let run = move || match certificates {
            Some(certificates) => (test.run)(&certificates).map_err(failed),
            None => Err("there is no lab".into()),
        };
        Trial::test(test.name, run).with_ignored_flag(obstacle.is_some())
    };
    let trials = tests().into_iter().map(trial).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn failed(error: anyhow::Error) -> Failed {
    // Without a backtrace: what the programs printed is what tells.
    Failed::from(format!("{error:#}"))
}

fn tests() -> Vec<Test> {
    // Those that wait for clients' timers come first: the others fill the time.
    let groups = [
        final_flight::tests(),
        suite::tests(),
        mbedtls::tests(),
        names::tests(),
        psk::tests(),
        refusal::tests(),
        closing::tests(),
        renegotiation::tests(),
        resumption::tests(),
    ];
    groups.into_iter().flatten().collect()
}
