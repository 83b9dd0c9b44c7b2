//! Looking into a running node: a Unix socket that answers `status` with one JSON object.

use std::fs::Permissions;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{debug, info};

use crate::counters::Totals;
use crate::datapath::fast_path::FastPath;
use crate::node::Running;

/// The longest request, in bytes.
const MAX_REQUEST: u64 = 64;

/// How long a caller may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often the threads are looked after.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a node is, for `status`.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `gateway` or `client`.
    pub role: &'static str,
    /// How packets reach it.
    pub datapath: &'static str,
    /// How its XDP program runs, if there is one.
    pub xdp_mode: Option<&'static str>,
    /// How packets leave it.
    pub transmit: &'static str,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Report {
    /// The report of a node that listens on `address`.
    pub fn new(role: &'static str, address: SocketAddr, fast_path: Option<&FastPath>) -> Self {
        let datapath = if fast_path.is_some() { "xdp" } else { "socket" };
        let by_xdp = fast_path.is_some_and(|fast| fast.next_hops.is_some());
        let transmit = if by_xdp { "xdp" } else { "socket" };
        Self { role, datapath, xdp_mode: fast_path.map(|fast| fast.mode), transmit, address }
    }
}

#[derive(Serialize)]
struct Status<'a> {
    #[serde(flatten)]
    report: &'a Report,
    #[serde(flatten)]
    totals: Totals,
}

/// Answers on the socket for ever; without one, waits for ever.
pub async fn serve(path: Option<&Path>, report: Report, totals: impl Fn() -> Totals) -> Result<()> {
    let Some(path) = path else { return std::future::pending().await };
    let listener = listen(path).await?;
    let _removal = Removal(path);
    loop {
        let (stream, _) = listener.accept().await.context("cannot accept on the admin socket")?;
        let status = Status { report: &report, totals: totals() };
        let answered = tokio::time::timeout(PATIENCE, answer(stream, &status)).await;
        if !matches!(answered, Ok(Ok(()))) {
            debug!("a caller of the admin socket went away or asked for something unknown");
        }
    }
}

/// Removes the socket's file when the node ends.
struct Removal<'a>(&'a Path);

impl Drop for Removal<'_> {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(self.0) {
            debug!(%error, "cannot remove the admin socket");
        }
    }
}

/// Takes the place of a socket that nobody answers on any more, and of nothing else.
async fn listen(path: &Path) -> Result<UnixListener> {
    if UnixStream::connect(path).await.is_ok() {
        bail!("{}: another xdtls answers on this admin socket", path.display());
    }
    let is_socket = std::fs::symlink_metadata(path)
        .is_ok_and(|found| std::os::unix::fs::FileTypeExt::is_socket(&found.file_type()));
    if is_socket {
        std::fs::remove_file(path)
            .with_context(|| format!("cannot replace the old socket {}", path.display()))?;
    }
    let listener = UnixListener::bind(path)
        .with_context(|| format!("cannot make the admin socket {}", path.display()))?;
    std::fs::set_permissions(path, Permissions::from_mode(0o660))?;
    Ok(listener)
}

async fn answer(mut stream: UnixStream, status: &Status<'_>) -> Result<()> {
    let mut request = String::new();
    BufReader::new((&mut stream).take(MAX_REQUEST)).read_line(&mut request).await?;
    if request.trim() != "status" {
        bail!("unknown request");
    }
    let mut line = serde_json::to_vec(status)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    Ok(())
}

/// Asks the node behind `path` for its status: one JSON object.
pub async fn ask(path: &Path) -> Result<serde_json::Map<String, serde_json::Value>> {
    let mut stream = UnixStream::connect(path).await.with_context(|| {
        format!("nobody answers on {}: is xdtls running, with this admin socket?", path.display())
    })?;
    stream.write_all(b"status\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    serde_json::from_str(&answer).context("the answer is not a status")
}

/// A status in lines for people.
pub fn in_words(status: &serde_json::Map<String, serde_json::Value>) -> String {
    let mut lines = String::new();
    for (name, value) in status.iter().filter(|(_, value)| !value.is_object() && !value.is_null()) {
        let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        lines += &format!("{name:<24} {value}\n");
    }
    for (reason, count) in
        status.get("drops").and_then(|drops| drops.as_object()).into_iter().flatten()
    {
        lines += &format!("dropped {reason:<32} {count}\n");
    }
    lines
}

/// Waits for SIGTERM or SIGINT, or for a worker that has ended by itself, which is an error.
pub async fn until_told_to_stop(running: &Running) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = look.tick() => if running.has_failed() { bail!("a worker has stopped") },
        }
    }
    info!("stopping: closing all associations");
    Ok(())
}
