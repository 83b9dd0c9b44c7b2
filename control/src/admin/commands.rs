//! The commands that ask a running node: each returns what it prints.

use anyhow::{Result, bail};
use serde::Serialize;

use super::client::ask;
use super::protocol::{Request, Response};
use super::show;
use crate::access::ListName;
use crate::cli::{self, Asked, AssociationsAction};

/// The answer, as JSON or in words.
fn print<T: Serialize>(asked: &Asked, answer: &T, words: impl Fn(&T) -> String) -> Result<String> {
    Ok(if asked.json { serde_json::to_string(answer)? + "\n" } else { words(answer) })
}

/// What becomes of an answer to another question; no node of this version gives one.
fn unexpected<T>(response: &Response) -> Result<T> {
    bail!("this answers another question: {response:?}")
}

/// `xdtls status`
pub async fn status(arguments: &cli::Status) -> Result<String> {
    match ask(&arguments.asked.socket, &Request::Status).await? {
        Response::Status(status) => print(&arguments.asked, &*status, show::status),
        other => unexpected(&other),
    }
}

/// `xdtls allow` and `xdtls deny`: one prefix a line.
pub async fn access(list: ListName, arguments: &cli::Access) -> Result<String> {
    let request = Request::Access { list, change: arguments.action.into() };
    match ask(&arguments.asked.socket, &request).await? {
        Response::Access { prefixes } => print(&arguments.asked, &prefixes, |prefixes| {
            prefixes.iter().map(|prefix| format!("{prefix}\n")).collect()
        }),
        other => unexpected(&other),
    }
}

/// `xdtls drops`
pub async fn drops(arguments: &cli::Drops) -> Result<String> {
    match ask(&arguments.asked.socket, &Request::Status).await? {
        Response::Status(status) => {
            let drops = show::explained(&status.totals);
            print(&arguments.asked, &drops, |drops| show::drops(drops))
        }
        other => unexpected(&other),
    }
}

/// `xdtls associations`
pub async fn associations(arguments: &cli::Associations) -> Result<String> {
    let request = match arguments.action {
        None => Request::Associations { after: None, limit: cli::DEFAULT_LIMIT.into() },
        Some(AssociationsAction::List { limit, after }) => {
            Request::Associations { after, limit: limit.into() }
        }
        Some(AssociationsAction::Show { id }) => Request::Association { id },
        Some(AssociationsAction::Close { id }) => Request::Close { id },
    };
    let asked = &arguments.asked;
    match ask(&asked.socket, &request).await? {
        Response::Associations(page) => print(asked, &page, show::page),
        Response::Association(association) => print(asked, &*association, show::association),
        response @ Response::Closed { id } => print(asked, &response, |_| {
            format!("association {id:08x} is closed; close_notify was sent to its peer\n")
        }),
        other => unexpected(&other),
    }
}

/// `xdtls reload`
pub async fn reload(arguments: &cli::Reload) -> Result<String> {
    match ask(&arguments.asked.socket, &Request::Reload).await? {
        Response::Reloaded(reloaded) => print(&arguments.asked, &reloaded, show::reloaded),
        other => unexpected(&other),
    }
}
