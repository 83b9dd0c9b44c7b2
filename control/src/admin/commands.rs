//! The commands that ask a running node: each returns what it prints.

use std::path::Path;

use anyhow::{Result, bail};

use super::client::ask;
use super::protocol::{AccessChange, Request, Response};
use super::show;
use super::status::Status;
use crate::access::ListName;

async fn ask_status(socket: &Path) -> Result<Status> {
    match ask(socket, &Request::Status).await? {
        Response::Status(status) => Ok(*status),
        other => bail!("this answers another question: {other:?}"),
    }
}

/// `xdtls status`
pub async fn status(socket: &Path, json: bool) -> Result<String> {
    let status = ask_status(socket).await?;
    Ok(if json { json_line(&status)? } else { show::status(&status) })
}

/// `xdtls allow` and `xdtls deny`: one prefix a line.
pub async fn access(socket: &Path, list: ListName, change: AccessChange) -> Result<String> {
    match ask(socket, &Request::Access { list, change }).await? {
        Response::Access { prefixes } => {
            Ok(prefixes.iter().map(|prefix| format!("{prefix}\n")).collect())
        }
        other => bail!("this answers another question: {other:?}"),
    }
}

fn json_line(value: &impl serde::Serialize) -> Result<String> {
    Ok(serde_json::to_string(value)? + "\n")
}
