//! The node's end of the admin socket.

use std::fs::Permissions;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tracing::debug;

use super::protocol::{MAX_REQUEST, MAX_RESPONSE, Request, Response};

/// Who may read and write the socket: its owner and group.
const MODE: u32 = 0o660;

/// Callers that are served at once; more wait to be accepted.
const MAX_CALLERS: usize = 32;

/// How long a caller may take to ask, and to take its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whoever can answer requests.
pub trait Answer: Send + Sync + 'static {
    /// Answers; what it does not do it refuses in words.
    fn answer(&self, request: Request) -> impl Future<Output = Response> + Send;
}

/// Answers on the socket for ever; without one, waits for ever.
pub async fn serve(path: Option<&Path>, node: Arc<impl Answer>) -> Result<()> {
    let Some(path) = path else { return std::future::pending().await };
    let listener = listen(path).await?;
    let _removal = Removal(path);
    let places = Arc::new(Semaphore::new(MAX_CALLERS));
    loop {
        let place = places.clone().acquire_owned().await.context("the admin socket is closed")?;
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // No descriptor left, say: nothing for which a gateway has to end.
                debug!(%error, "cannot accept on the admin socket");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let node = node.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &*node).await {
                debug!(%error, "a caller of the admin socket went away");
            }
            drop(place);
        });
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
        .is_ok_and(|found| FileTypeExt::is_socket(&found.file_type()));
    if is_socket {
        std::fs::remove_file(path)
            .with_context(|| format!("cannot replace the old socket {}", path.display()))?;
    }
    let listener = UnixListener::bind(path)
        .with_context(|| format!("cannot make the admin socket {}", path.display()))?;
    std::fs::set_permissions(path, Permissions::from_mode(MODE))?;
    Ok(listener)
}

/// Reads one request and answers it. Only the caller's part is timed: an answer may take as long as
/// it takes.
async fn converse(mut stream: UnixStream, node: &impl Answer) -> Result<()> {
    let mut line = String::new();
    let mut bounded = BufReader::new((&mut stream).take(MAX_REQUEST));
    tokio::time::timeout(PATIENCE, bounded.read_line(&mut line)).await??;
    let response = match parse(&line) {
        Ok(request) => node.answer(request).await,
        Err(reason) => Response::Refused { reason },
    };
    let mut line = serde_json::to_vec(&response)?;
    if line.len() as u64 >= MAX_RESPONSE {
        let reason = format!("the answer is longer than {MAX_RESPONSE} bytes: ask for less");
        line = serde_json::to_vec(&Response::Refused { reason })?;
    }
    line.push(b'\n');
    tokio::time::timeout(PATIENCE, stream.write_all(&line)).await??;
    Ok(())
}

fn parse(line: &str) -> Result<Request, String> {
    if !line.ends_with('\n') {
        return Err(format!("a request is one line of at most {MAX_REQUEST} bytes"));
    }
    serde_json::from_str(line).map_err(|error| format!("this is no request: {error}"))
}

#[cfg(test)]
mod tests {
    use super::super::client::ask;
    use super::*;

    /// Answers once it is asked twice at the same time.
    struct Pair(tokio::sync::Barrier);

    impl Answer for Pair {
        async fn answer(&self, _request: Request) -> Response {
            self.0.wait().await;
            Response::Refused { reason: "met".to_owned() }
        }
    }

    #[tokio::test]
    async fn a_caller_that_waits_does_not_hold_up_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let (serving, pair) = (path.clone(), Arc::new(Pair(tokio::sync::Barrier::new(2))));
        let server = tokio::spawn(async move { serve(Some(&serving), pair).await });
        while !path.exists() {
            tokio::task::yield_now().await;
        }
        let silent = UnixStream::connect(&path).await.unwrap();
        let (first, second) =
            tokio::join!(ask(&path, &Request::Status), ask(&path, &Request::Status));
        for answer in [first, second] {
            assert_eq!(answer.unwrap_err().to_string(), "met");
        }
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        drop(silent);
        server.abort();
    }

    #[tokio::test]
    async fn the_socket_is_for_its_owner_and_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let _listener = listen(&path).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    }

    #[test]
    fn what_is_no_request_is_refused_in_words() {
        assert_eq!(parse("{\"request\":\"status\"}\n"), Ok(Request::Status));
        let refused = |line: &str, words: &str| {
            let said = parse(line).unwrap_err();
            assert!(said.contains(words), "{said}");
        };
        refused("{\"request\":\"status\"}", "one line of at most 4096 bytes");
        refused("status\n", "no request");
        refused("{\"request\":\"dance\"}\n", "unknown variant `dance`");
    }
}
