//! The certificates that all tests share.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use tempfile::TempDir;
use xdtls_netlab::{capture, program};

/// Certificates of one CA for gateway and client, with ECDSA and RSA keys; and those of another CA,
/// which nobody trusts. They go with their owner.
pub(crate) struct Certificates {
    folder: TempDir,
}

impl Certificates {
    /// Makes them with `xdtls dev-certs`.
    pub(crate) fn make() -> Result<Self> {
        let certificates = Self { folder: tempfile::tempdir()? };
        for (out, key_type) in [("trusted", "ecdsa"), ("trusted", "rsa"), ("other", "ecdsa")] {
            let out = certificates.folder.path().join(out);
            let mut command = Command::new(program("xdtls")?);
            command.arg("dev-certs").arg("--out").arg(out).args(["--key-type", key_type]);
            capture(&mut command)?;
        }
        Ok(certificates)
    }

    /// A file of the CA that gateway and clients trust.
    pub(crate) fn trusted(&self, file: &str) -> PathBuf {
        self.folder.path().join("trusted").join(file)
    }

    /// A file of the CA that nobody trusts.
    pub(crate) fn other(&self, file: &str) -> PathBuf {
        self.folder.path().join("other").join(file)
    }
}
