//! The files of a gateway that was loaded: its log, and a configuration to begin with where the user
//! has none.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use xdtls_netlab::{capture, program};

/// Where a gateway of ours listens, on all addresses.
const PORT: u16 = 4433;

/// Where it forwards to.
pub(super) const BACKEND: &str = "127.0.0.1:9000";

/// What a gateway is started with.
pub(super) struct Configuration {
    /// The file.
    pub(super) file: PathBuf,
    /// Its admin socket.
    pub(super) socket: PathBuf,
}

impl Configuration {
    /// That of the user.
    pub(super) fn given(file: &Path) -> Result<Self> {
        let unreadable = || format!("cannot read {}", file.display());
        let file = fs::canonicalize(file).with_context(unreadable)?;
        let text = fs::read_to_string(&file).with_context(unreadable)?;
        // What else is wrong with it, the gateway says with line and remedy.
        let table: toml::Table = text.parse().with_context(unreadable)?;
        let socket = table.get("admin").and_then(|admin| admin.get("socket"));
        let socket = socket.and_then(toml::Value::as_str).with_context(|| {
            format!(
                "{} names no admin socket, through which the gateway would be asked: add\n    \
                 [admin]\n    socket = \"/run/xdtls/admin.sock\"",
                file.display()
            )
        })?;
        let folder = file.parent().unwrap_or(Path::new("/"));
        Ok(Self { socket: folder.join(socket), file })
    }

    /// One to begin with, with certificates for development.
    pub(super) fn made(folder: &Path) -> Result<Self> {
        let mut certificates = Command::new(program("xdtls")?);
        capture(certificates.args(["dev-certs", "--force", "--out"]).arg(certificates_in(folder)))?;
        let file = folder.join("gateway.toml");
        fs::write(&file, text()).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(Self { file, socket: folder.join("admin.sock") })
    }
}

/// Where certificates for development are.
pub(crate) fn certificates_in(folder: &Path) -> PathBuf {
    folder.join("certs")
}

fn text() -> String {
    format!(
        "# Made by `cargo xtask load`, to begin with: everybody with a certificate of certs/ca.pem goes to\n\
         # the one backend.\n\
         [gateway]\nlisten = \"0.0.0.0:{PORT}\"\n\n\
         [[identity]]\ncertificate = \"certs/gateway.pem\"\nkey = \"certs/gateway.key\"\n\n\
         [clients]\nca = \"certs/ca.pem\"\n\n\
         [[backend]]\nname = \"app\"\naddress = \"{BACKEND}\"\n\n\
         [forward]\ndefault_backend = \"app\"\n\n\
         [admin]\nsocket = \"admin.sock\"\n"
    )
}

/// The gateway's log.
pub(super) fn log_in(folder: &Path) -> PathBuf {
    folder.join("gateway.log")
}

/// A log to be written by a gateway.
pub(super) fn new_log(folder: &Path) -> Result<File> {
    let path = log_in(folder);
    File::create(&path).with_context(|| format!("cannot write {}", path.display()))
}

/// The last lines of the log.
pub(super) fn log_end(folder: &Path, lines: usize) -> String {
    let text = fs::read_to_string(log_in(folder)).unwrap_or_default();
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Makes the folder for all that `load` makes, which must be nobody else's: `unload` removes it.
pub(super) fn make(folder: &Path) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let occupied = fs::read_dir(folder)?.next().is_some();
    ensure!(!occupied, "{} is not empty: remove it, or choose another folder", folder.display());
    Ok(fs::canonicalize(folder)?)
}

/// Removes all that `load` has made.
pub(super) fn remove(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}
