//! What `load` leaves for `unload` and `pktgen`: a file beside the gateway's log.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::settings::Settings;

const FILE: &str = "record.json";

/// A gateway that was loaded.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Record {
    /// The interface that it was loaded on.
    pub interface: String,
    /// Its network namespace: the number of the file that stands for it.
    pub namespace: u64,
    /// Its process.
    pub pid: u32,
    /// When that began, in the kernel's ticks: another process may get the same number later.
    pub started: u64,
    /// Where it answers questions.
    pub socket: PathBuf,
    /// How the interface was before.
    pub before: Settings,
}

impl Record {
    /// The record in a folder, if there is one.
    pub fn read(folder: &Path) -> Result<Option<Self>> {
        let path = folder.join(FILE);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| format!("cannot read {}", path.display()))?,
        };
        let malformed = || format!("{} is malformed: remove it", path.display());
        serde_json::from_str(&text).map(Some).with_context(malformed)
    }

    /// Writes it into a folder.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        fs::write(&path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("cannot write {}", path.display()))
    }

    /// Whether the process still runs.
    pub fn is_running(&self) -> bool {
        started(self.pid).is_some_and(|started| started == self.started)
    }
}

/// When a process began, in ticks after the machine did; `None` if it has ended.
pub(super) fn started(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may contain anything; state is field 3, the start is field 22.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    let zombie = fields.next()? == "Z";
    fields.nth(18)?.parse().ok().filter(|_| !zombie)
}

/// The network namespace that we are in.
pub(super) fn own_namespace() -> Result<u64> {
    Ok(fs::metadata("/proc/self/ns/net").context("cannot tell our network namespace")?.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_what_was_written_and_knows_its_process() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Record::read(folder.path()).unwrap(), None);
        let pid = std::process::id();
        let record = Record {
            interface: "eth0".to_owned(),
            namespace: own_namespace().unwrap(),
            pid,
            started: started(pid).unwrap(),
            socket: PathBuf::from("admin.sock"),
            before: Settings::default(),
        };
        record.write(folder.path()).unwrap();
        assert_eq!(Record::read(folder.path()).unwrap(), Some(record.clone()));
        assert!(record.is_running());
        // The number is somebody else's by now.
        assert!(!Record { started: record.started + 1, ..record }.is_running());
    }
}
