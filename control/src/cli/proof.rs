//! The options by which `xdtls connect` and a gateway prove to each other who they are.

use std::path::PathBuf;

use clap::Args;

/// Certificates, or a pre-shared key.
#[derive(Args, Clone, Debug)]
pub struct Proof {
    /// Certificate of this client: PEM, the leaf first, then its chain; with several, the first that
    /// the gateway accepts is shown
    #[arg(long, value_name = "FILE", required_unless_present = "psk_identity", requires = "ca")]
    pub certificate: Vec<PathBuf>,

    /// Private key of the certificate, PEM or DER: one for each, in the same order
    #[arg(long, value_name = "FILE", required_unless_present = "psk_identity")]
    pub key: Vec<PathBuf>,

    /// File with the passphrase of the keys that are encrypted
    #[arg(long, value_name = "FILE", requires = "key")]
    pub key_passphrase_file: Option<PathBuf>,

    /// CA certificates that the gateway's certificate must chain to: PEM
    #[arg(long, value_name = "FILE", required_unless_present = "psk_identity")]
    pub ca: Option<PathBuf>,

    /// List of revoked certificates, PEM or DER; with any, every CA of the gateway's certificate
    /// needs one
    #[arg(long, value_name = "FILE", requires = "ca")]
    pub crl: Vec<PathBuf>,

    /// Identity of a pre-shared key, to be used instead of certificates
    #[arg(
        long,
        value_name = "IDENTITY",
        requires = "psk_file",
        conflicts_with_all = ["certificate", "key", "ca"]
    )]
    pub psk_identity: Option<String>,

    /// File with lines IDENTITY:KEY, the key in hexadecimal
    #[arg(long, value_name = "FILE", requires = "psk_identity")]
    pub psk_file: Option<PathBuf>,

    /// Let a pre-shared key do alone, if the gateway has it so: who learns it later can read what is
    /// said now
    #[arg(long, requires = "psk_identity")]
    pub allow_no_forward_secrecy: bool,
}
