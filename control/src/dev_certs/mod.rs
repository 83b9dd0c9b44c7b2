//! A certificate authority for development: certificates for a gateway and its clients at once.
//!
//! Never overwrites a CA, and leaf certificates only with `--force`. Everything is checked before
//! the first file is written.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use openssl::error::ErrorStack;
use thiserror::Error;

mod files;
mod issue;
#[cfg(test)]
mod tests;

use issue::{Authority, Role};

/// Bytes in a common name (RFC 5280, appendix A.1: `ub-common-name`).
const NAME_BYTES_MAX: usize = 64;

/// What certificates to make, and where.
#[derive(Clone, Debug, clap::Args)]
pub struct Options {
    /// Folder for the files; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,

    /// One more client with this name; may be given several times
    #[arg(long = "name", value_name = "NAME")]
    pub names: Vec<String>,

    /// A peer with this name, which both answers and opens; may be given several times
    #[arg(long = "peer", value_name = "NAME")]
    pub peers: Vec<String>,

    /// Days that the certificates are valid
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub days: u32,

    /// Keys of gateway and clients: ecdsa (P-256) or rsa (2048 bits, files named NAME-rsa)
    #[arg(long, value_name = "TYPE", value_enum, default_value_t, hide_possible_values = true)]
    pub key_type: KeyType,

    /// Replace certificates and keys that are there, but never the CA
    #[arg(long)]
    pub force: bool,
}

/// Kind of a leaf's key. The CA's is always P-256.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, clap::ValueEnum)]
pub enum KeyType {
    /// P-256
    #[default]
    Ecdsa,
    /// 2048 bits
    Rsa,
}

/// Why no certificates were made.
#[derive(Debug, Error)]
pub enum DevCertsError {
    /// A client's name names files and stands in certificates: it has to be plain.
    #[error(
        "`{0}` cannot name a client: use at most {NAME_BYTES_MAX} letters, digits, `-`, `_` and \
         `.`, with a letter or digit at both ends"
    )]
    Name(String),
    /// Two certificates would have the same files.
    #[error("the name `{0}` is taken; choose another")]
    Taken(String),
    /// Leaf certificates or keys are there already.
    #[error("{}: there already; add --force to replace, or choose another --out", list(.0))]
    Exists(Vec<PathBuf>),
    /// The CA that is there cannot be used.
    #[error("{}: {why}; remove ca.pem and ca.key to get a new CA, or choose another --out", .path.display())]
    Authority {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A file or folder cannot be read or written.
    #[error("{}: {error}", .path.display())]
    File {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        error: std::io::Error,
    },
    /// OpenSSL cannot do what it was asked for.
    #[error("OpenSSL: {0}")]
    OpenSsl(#[from] ErrorStack),
}

/// A certificate to be made.
struct Leaf<'a> {
    name: &'a str,
    role: Role,
    certificate: PathBuf,
    key: PathBuf,
}

/// Makes the certificates, and a CA if the folder has none, and returns the files written.
///
/// Keys can be read by their owner only.
///
/// # Errors
///
/// When a name is refused, files are in the way, the CA cannot be used or a file cannot be
/// written.
pub fn write(options: &Options) -> Result<Vec<PathBuf>, DevCertsError> {
    let leaves = leaves(options)?;
    let existing: Vec<PathBuf> =
        leaves.iter().flat_map(Leaf::files).filter(|path| path.exists()).cloned().collect();
    if !options.force && !existing.is_empty() {
        return Err(DevCertsError::Exists(existing));
    }
    let mut written = Vec::new();
    let authority = authority(options, &mut written)?;
    for leaf in leaves {
        let (certificate, key) =
            authority.issue(leaf.name, leaf.role, options.key_type, options.days)?;
        files::replace(&leaf.certificate, &certificate.to_pem()?)?;
        files::replace_private(&leaf.key, &key.private_key_to_pem_pkcs8()?)?;
        written.extend([leaf.certificate, leaf.key]);
    }
    Ok(written)
}

/// Tells which files were written and how gateway and client use them.
#[must_use]
pub fn summary(options: &Options, written: &[PathBuf]) -> String {
    let file = |stem: &str, extension| options.file(stem, extension).display().to_string();
    let wrote: String = written.iter().map(|path| format!("wrote {}\n", path.display())).collect();
    format!(
        "{wrote}
In a gateway.toml in the current folder:

  [[identity]]
  certificate = \"{gateway}\"
  key = \"{gateway_key}\"

  [clients]
  ca = \"{ca}\"

A client, with HOST as the gateway's address:

  xdtls connect --gateway HOST:4433 --server-name gateway --listen 127.0.0.1:5000 \\
    --certificate {client} --key {client_key} --ca {ca}

For development only: whoever reads ca.key can be anybody.
",
        gateway = file("gateway", "pem"),
        gateway_key = file("gateway", "key"),
        client = file("client", "pem"),
        client_key = file("client", "key"),
        ca = options.out.join("ca.pem").display(),
    )
}

impl Options {
    /// File of a leaf. ECDSA and RSA live side by side.
    fn file(&self, stem: &str, extension: &str) -> PathBuf {
        let suffix = match self.key_type {
            KeyType::Ecdsa => "",
            KeyType::Rsa => "-rsa",
        };
        self.out.join(format!("{stem}{suffix}.{extension}"))
    }
}

impl Leaf<'_> {
    fn files(&self) -> [&PathBuf; 2] {
        [&self.certificate, &self.key]
    }
}

fn leaves(options: &Options) -> Result<Vec<Leaf<'_>>, DevCertsError> {
    let mut taken = BTreeSet::from(["ca", "gateway", "client"]);
    for name in options.names.iter().chain(&options.peers) {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let ends = |c: char| c.is_ascii_alphanumeric();
        let good = name.starts_with(ends) && name.ends_with(ends) && name.chars().all(plain);
        if !good || name.len() > NAME_BYTES_MAX {
            return Err(DevCertsError::Name(name.clone()));
        }
        // `client-rsa` is the file of another key type's `client`.
        if !taken.insert(name.strip_suffix("-rsa").unwrap_or(name)) {
            return Err(DevCertsError::Taken(name.clone()));
        }
    }
    let clients = options.names.iter().map(|name| (name.as_str(), Role::Client));
    let peers = options.peers.iter().map(|name| (name.as_str(), Role::Peer));
    let always = [("gateway", Role::Gateway), ("client", Role::Client)].into_iter();
    let all = always.chain(clients).chain(peers);
    let leaf = |(name, role)| {
        let (certificate, key) = (options.file(name, "pem"), options.file(name, "key"));
        Leaf { name, role, certificate, key }
    };
    Ok(all.map(leaf).collect())
}

/// The folder's CA, or a new one, which is written.
fn authority(options: &Options, written: &mut Vec<PathBuf>) -> Result<Authority, DevCertsError> {
    let (certificate, key) = (options.out.join("ca.pem"), options.out.join("ca.key"));
    match (certificate.exists(), key.exists()) {
        (true, true) => load_authority(certificate, &key),
        (false, false) => {
            let authority = Authority::new(options.days)?;
            files::create_folder(&options.out)?;
            files::replace(&certificate, &authority.certificate.to_pem()?)?;
            files::replace_private(&key, &authority.key.private_key_to_pem_pkcs8()?)?;
            written.extend([certificate, key]);
            Ok(authority)
        }
        (true, false) => Err(unusable(certificate, "ca.key is missing")),
        (false, true) => Err(unusable(key, "ca.pem is missing")),
    }
}

fn load_authority(certificate: PathBuf, key: &Path) -> Result<Authority, DevCertsError> {
    let (pem, key_pem) = (files::read(&certificate)?, files::read(key)?);
    match Authority::load(&pem, &key_pem) {
        Ok(authority) => match authority.fault()? {
            Some(why) => Err(unusable(certificate, why)),
            None => Ok(authority),
        },
        Err(error) => Err(unusable(certificate, &error.to_string())),
    }
}

fn unusable(path: PathBuf, why: &str) -> DevCertsError {
    DevCertsError::Authority { path, why: why.to_owned() }
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}
