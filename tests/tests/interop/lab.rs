//! A gateway with a backend behind it and the shim before it, in a namespace of their own.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use xdtls_netlab::{Finished, Netns, Process, Veth, XdpPass, capture, program};

use crate::certificates::Certificates;

/// Far longer than anything here takes on a machine that works.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The port that clients talk to: the shim's.
pub(crate) const PORT: &str = "4434";

/// How the shim reaches the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// On one host, over loopback.
    Loopback,
    /// Over a veth pair to an interface on which an XDP program answers ClientHellos.
    Driver,
}

impl Way {
    const fn gateway(self) -> &'static str {
        match self {
            Self::Loopback => "127.0.0.1:4433",
            Self::Driver => "10.9.0.2:4433",
        }
    }

    /// Lines of the gateway's configuration.
    const fn lines(self) -> &'static str {
        match self {
            Self::Loopback => "",
            Self::Driver => {
                "datapath = \"xdp\"\ninterface = \"outside\"\nanswer_hellos = \"xdp\"\n"
            }
        }
    }
}

/// What is between client and gateway if they are two hosts. The veth pair goes with the namespace.
struct Wire {
    netns: Netns,
    _peer_program: XdpPass,
}

impl Wire {
    fn to(client: &Netns) -> Result<Self> {
        let netns = Netns::new("interop-gw")?;
        let (near, far) = ("10.9.0.1/24", "10.9.0.2/24");
        let veth = Veth::pair(client, "outside", near, &netns, "outside", far, 2)?;
        // With unfinished checksums the program would leave every ClientHello to the gateway.
        veth.disable_tx_offload()?;
        Ok(Self { _peer_program: client.pass_xdp("outside")?, netns })
    }
}

/// Running processes; dropping it ends them.
pub(crate) struct Lab<'a> {
    gateway: Option<Process>,
    _shim: Process,
    _echo: Process,
    _wire: Option<Wire>,
    netns: Netns,
    folder: TempDir,
    /// The gateway's certificates, and the clients'.
    pub(crate) certificates: &'a Certificates,
}

impl<'a> Lab<'a> {
    /// Starts everything.
    pub(crate) fn new(certificates: &'a Certificates) -> Result<Self> {
        Self::start(certificates, Way::Loopback, &[], [""; 2])
    }

    /// Starts everything, with more lines of `[clients]` and more tables in the configuration.
    pub(crate) fn with_configuration(
        certificates: &'a Certificates,
        clients: &str,
        tables: &str,
    ) -> Result<Self> {
        Self::start(certificates, Way::Loopback, &[], [clients, tables])
    }

    /// Starts everything, with another way to the gateway.
    pub(crate) fn over(certificates: &'a Certificates, way: Way) -> Result<Self> {
        Self::start(certificates, way, &[], [""; 2])
    }

    /// The same, with more arguments for the shim.
    pub(crate) fn with_shim(certificates: &'a Certificates, shim: &[&str]) -> Result<Self> {
        Self::start(certificates, Way::Loopback, shim, [""; 2])
    }

    fn start(
        certificates: &'a Certificates,
        way: Way,
        shim: &[&str],
        more: [&str; 2],
    ) -> Result<Self> {
        let (netns, folder) = (Netns::new("interop")?, tempfile::tempdir()?);
        let wire = (way == Way::Driver).then(|| Wire::to(&netns)).transpose()?;
        let host = wire.as_ref().map_or(&netns, |wire| &wire.netns);
        let mut command = host.command(program("udp-echo")?);
        command.args(["--listen", "127.0.0.1:0"]);
        let echo = Process::spawn("udp-echo", command)?;
        let backend = echo.wait_for_line("listening on ", PATIENCE)?;
        let config = folder.path().join("gateway.toml");
        let backend = backend.trim_start_matches("listening on ");
        std::fs::write(&config, configuration(certificates, backend, way, more))?;
        let mut command = host.command(program("xdtls")?);
        command.args(["gateway", "--log", "debug", "--config"]).arg(config);
        let gateway = Process::spawn("xdtls gateway", command)?;
        gateway.wait_for_line("gateway is ready", PATIENCE)?;
        let mut command = netns.command(program("prefix-shim")?);
        command
            .args(["--gateway", way.gateway(), "--listen", &format!("127.0.0.1:{PORT}")])
            .args(shim);
        let shim = Process::spawn("prefix-shim", command)?;
        shim.wait_for_line("listening on ", PATIENCE)?;
        Ok(Self {
            gateway: Some(gateway),
            _shim: shim,
            _echo: echo,
            _wire: wire,
            netns,
            folder,
            certificates,
        })
    }

    /// A command that runs beside the gateway.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        self.netns.command(program)
    }

    /// A file that goes with the lab.
    pub(crate) fn file(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    }

    /// What `xdtls` prints when it asks the gateway.
    pub(crate) fn ask(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(program("xdtls")?);
        command.args(arguments).arg("--socket").arg(self.folder.path().join("admin.sock"));
        capture(&mut command)
    }

    /// What `xdtls status` says of the gateway.
    pub(crate) fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.ask(&["status", "--json"])?)?)
    }

    /// Waits until counters have these values; `/drops/REASON` is one, too.
    pub(crate) fn wait_for_status(&self, expected: &[(&str, u64)]) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.status()?;
            let value = |name: &str| status.pointer(name).and_then(Value::as_u64).unwrap_or(0);
            if expected.iter().all(|(name, count)| value(name) == *count) {
                return Ok(());
            }
            let transcript = || self.gateway().map(|gateway| gateway.lines());
            ensure!(
                Instant::now() < deadline,
                "expected {expected:?}, got {status}\n{:?}",
                transcript()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether the XDP program has answered every ClientHello that has been answered, if it was to.
    pub(crate) fn ensure_answered(&self, way: Way) -> Result<()> {
        let status = self.status()?;
        let count = |name: &str| status.pointer(name).and_then(Value::as_u64).unwrap_or(0);
        let by_driver = count("/xdp/hello_verify_request");
        ensure!(count("/hello_verify_requests") >= 1, "{status}");
        let expected = if way == Way::Driver { count("/hello_verify_requests") } else { 0 };
        ensure!(by_driver == expected, "{status}");
        Ok(())
    }

    /// The gateway, as long as it has not been stopped.
    pub(crate) fn gateway(&self) -> Result<&Process> {
        self.gateway.as_ref().context("the gateway has been stopped")
    }

    /// Stops the gateway with SIGTERM.
    pub(crate) fn stop_gateway(&mut self) -> Result<Finished> {
        self.gateway.take().context("the gateway has been stopped before")?.terminate(PATIENCE)
    }
}

fn configuration(
    certificates: &Certificates,
    backend: &str,
    way: Way,
    [clients, tables]: [&str; 2],
) -> String {
    let identity = |name: &str| {
        let certificate = certificates.trusted(&format!("{name}.pem"));
        let key = certificates.trusted(&format!("{name}.key"));
        format!("[[identity]]\ncertificate = {certificate:?}\nkey = {key:?}\n")
    };
    format!(
        "[gateway]\nlisten = \"{}\"\n{}workers = 2\n{}{}\
         [clients]\nca = {:?}\n{clients}\n\
         [[backend]]\nname = \"echo\"\naddress = \"{backend}\"\n\
         [forward]\ndefault_backend = \"echo\"\n\
         [admin]\nsocket = \"admin.sock\"\n{tables}",
        way.gateway(),
        way.lines(),
        identity("gateway"),
        identity("gateway-rsa"),
        certificates.trusted("ca.pem"),
    )
}
