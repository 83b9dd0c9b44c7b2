//! Reading and writing of the files, with errors that name them.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::DevCertsError;

pub(super) fn create_folder(path: &Path) -> Result<(), DevCertsError> {
    fs::create_dir_all(path).map_err(|error| named(path, error))
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, DevCertsError> {
    fs::read(path).map_err(|error| named(path, error))
}

/// Writes a file that everybody may read.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), DevCertsError> {
    write(path, bytes, 0o644).map_err(|error| named(path, error))
}

/// Writes a file that only its owner may read.
pub(super) fn replace_private(path: &Path, bytes: &[u8]) -> Result<(), DevCertsError> {
    write(path, bytes, 0o600).map_err(|error| named(path, error))
}

/// Removes the old file first: it may have another mode, or be a link to elsewhere.
fn write(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?.write_all(bytes)
}

fn named(path: &Path, error: io::Error) -> DevCertsError {
    DevCertsError::File { path: path.to_owned(), error }
}
