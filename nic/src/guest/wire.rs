//! What the wire outside has carried and lost: the host tells.

use std::collections::BTreeMap;
use std::io::{BufRead, Write, stdin, stdout};

use anyhow::{Context, Result};

/// Asks the host for all counters of its taps so far, by `tap.direction.counter`.
pub(super) fn counters() -> Result<BTreeMap<String, u64>> {
    let mut out = stdout().lock();
    writeln!(out, "@wire").and_then(|()| out.flush()).context("the host does not listen")?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer).context("the host does not answer")?;
    serde_json::from_str(answer.trim())
        .with_context(|| format!("the host's answer is malformed: {answer:?}"))
}

/// Those of them that are losses.
pub(super) fn lost() -> Result<BTreeMap<String, u64>> {
    let loss = |name: &str| name.ends_with(".dropped") || name.ends_with(".errors");
    Ok(counters()?.into_iter().filter(|(name, _)| loss(name)).collect())
}
