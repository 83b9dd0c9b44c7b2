//! The caller's end of the admin socket.

use std::path::Path;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::protocol::{MAX_RESPONSE, Request, Response};
use crate::exit::NoAnswer;

/// Asks the node behind `path`. What it refuses is an error with its words.
pub async fn ask(path: &Path, request: &Request) -> Result<Response> {
    let stream = UnixStream::connect(path).await;
    let mut stream = stream.map_err(|error| NoAnswer::or(path, error))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    stream.write_all(&line).await?;
    let mut answer = String::new();
    stream.take(MAX_RESPONSE).read_to_string(&mut answer).await?;
    match serde_json::from_str(&answer) {
        Ok(Response::Refused { reason }) => bail!("{reason}"),
        Ok(response) => Ok(response),
        Err(_) if answer.is_empty() => bail!("the node has ended before it answered"),
        Err(error) => Err(error).context("the answer cannot be read: is the node of this version?"),
    }
}
