//! Mbed TLS, through its Python module, which is fetched into the target directory.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xdtls_netlab::Process;

use crate::certificates::Certificates;
use crate::lab::{Lab, PATIENCE, PORT, Way};
use crate::suite::{SUITES, Suite};
use crate::{PYTHON, Test};

const CLIENT: &str = include_str!("mbedtls_client.py");

/// Mbed TLS 2.28 is in it.
const MODULE: &str = "python-mbedtls==2.10.1";

/// What fetching may take.
const FETCH_PATIENCE: Duration = Duration::from_secs(40);

pub(crate) fn tests() -> Vec<Test> {
    let talk =
        |suite: Suite| Test::new(PYTHON, suite.mbedtls, move |it| talks(it, suite, Way::Loopback));
    let [suite, ..] = SUITES;
    let over_xdp = Test::new(PYTHON, "over XDP", move |it| talks(it, suite, Way::Driver));
    SUITES.map(talk).into_iter().chain([over_xdp]).collect()
}

fn talks(certificates: &Certificates, suite: Suite, way: Way) -> Result<()> {
    let python = match python() {
        Ok(python) => python,
        Err(reason) => {
            println!("SKIP {}::{}: {reason}", PYTHON.0, suite.mbedtls);
            return Ok(());
        }
    };
    let lab = Lab::over(certificates, way)?;
    let mut command = lab.command(python);
    command.args(["-c", CLIENT, PORT]);
    command.args(["ca.pem", "client.pem", "client.key"].map(|file| certificates.trusted(file)));
    command.args([suite.mbedtls, "a line"]);
    let finished = Process::spawn("Mbed TLS", command)?.wait(PATIENCE)?;
    let lines: Vec<_> = finished.lines.iter().map(|line| line.text.as_str()).collect();
    let expected = [suite.mbedtls, "a line", "closed"];
    ensure!(finished.status.success() && lines == expected, "{finished}");
    lab.wait_for_status(&[("/associations", 0), ("/handshakes_ok", 1), ("/opened_bytes", 6)])?;
    lab.ensure_answered(way)?;
    lab.gateway()?.wait_for_line("association ended: closed by the peer", PATIENCE)?;
    Ok(())
}

/// A Python that has the module, or why there is none, as one line.
fn python() -> Result<&'static Path, &'static str> {
    static PYTHON: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let made = PYTHON.get_or_init(|| {
        fetch().map_err(|error| format!("{MODULE} is not to be had: {}", one_line(&error)))
    });
    made.as_deref().map_err(String::as_str)
}

fn fetch() -> Result<PathBuf> {
    let own = std::env::current_exe()?;
    let target = own.ancestors().nth(3).context("the test lies in the target directory")?;
    let folder = target.join("interop-python");
    let python = folder.join("bin/python");
    // Test runs that start together fetch one after the other.
    let lock = File::create(target.join("interop-python.lock"))?;
    lock.lock()?;
    let has_module = || {
        let mut command = Command::new(&python);
        command.args(["-c", "import mbedtls.tls"]);
        run(command)
    };
    if has_module().is_ok() {
        return Ok(python);
    }
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(&folder);
    run(venv)?;
    let mut pip = Command::new(&python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    // A wheel or nothing: building it would need Mbed TLS's sources.
    pip.args(["--retries", "1", "--timeout", "10", "--only-binary", ":all:", MODULE]);
    run(pip)?;
    has_module()?;
    Ok(python)
}

fn run(command: Command) -> Result<()> {
    let finished = Process::spawn("python", command)?.wait(FETCH_PATIENCE)?;
    // It is to fit into a SKIP line, and pip comes to the point in the end.
    let last_words = finished.lines.last().map_or("", |line| &line.text);
    ensure!(finished.status.success(), "{last_words}");
    Ok(())
}

fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").split_whitespace().collect::<Vec<_>>().join(" ")
}
