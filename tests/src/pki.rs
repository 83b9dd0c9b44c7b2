//! What `xdtls dev-certs` does not make: certificates for other server names, and lists of revoked
//! ones. The program `openssl` does.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use xdtls_netlab::capture;

/// A server's certificate for `name` by the CA in `folder`: `NAME.pem` and `NAME.key`, with `-rsa`
/// behind the name where the key is one.
pub fn issue_server(folder: &Path, name: &str, rsa: bool) -> Result<()> {
    let stem = if rsa { format!("{name}-rsa") } else { name.to_owned() };
    let mut command = openssl(folder);
    command.args(["req", "-x509", "-CA", "ca.pem", "-CAkey", "ca.key", "-days", "7", "-nodes"]);
    match rsa {
        true => command.args(["-newkey", "rsa:2048"]),
        false => command.args(["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]),
    };
    command.args(["-subj", &format!("/CN={name}")]);
    command.args(["-addext", &format!("subjectAltName=DNS:{name}")]);
    command.args(["-addext", "basicConstraints=critical,CA:false"]);
    command.args(["-addext", "extendedKeyUsage=serverAuth"]);
    command.args(["-keyout", &format!("{stem}.key"), "-out", &format!("{stem}.pem")]);
    capture(&mut command)?;
    Ok(())
}

/// Writes `ca.crl`, a list of the CA in `folder`, with the certificates of these names.
pub fn revoke(folder: &Path, names: &[&str]) -> Result<()> {
    const CONFIG: &str = "[ca]\ndefault_ca = all\n[all]\ndatabase = revoked.txt\n\
                          default_md = sha256\ndefault_crl_days = 7\n";
    let mut database = String::new();
    for name in names {
        let mut command = openssl(folder);
        command.args(["x509", "-serial", "-noout", "-in", &format!("{name}.pem")]);
        let printed = capture(&mut command)?;
        let (_, serial) = printed.trim().split_once('=').context("no serial number")?;
        // Valid until, revoked at, serial number, file, name.
        database += &format!("R\t400101000000Z\t250101000000Z\t{serial}\tunknown\t/CN={name}\n");
    }
    std::fs::write(folder.join("revoked.txt"), database)?;
    std::fs::write(folder.join("ca.cnf"), CONFIG)?;
    let mut command = openssl(folder);
    command.args(["ca", "-gencrl", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key"]);
    capture(command.args(["-out", "ca.crl"]))?;
    Ok(())
}

fn openssl(folder: &Path) -> Command {
    let mut command = Command::new("openssl");
    command.current_dir(folder);
    command
}
