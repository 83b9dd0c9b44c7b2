//! Pre-shared keys: the file that holds them, and OpenSSL's questions for them (RFC 4279).

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use openssl::error::ErrorStack;
use openssl::ssl::SslContextBuilder;
use ring::hmac;
use thiserror::Error;
use tracing::info;
use zeroize::Zeroizing;

use crate::hex;

/// Lengths of keys in bytes. A shorter one can be guessed from one handshake.
const KEY_LEN: std::ops::RangeInclusive<usize> = 16..=64;

/// The longest identity in bytes that every OpenSSL takes (RFC 4279 §5.3 asks for as many).
const IDENTITY_LEN_MAX: usize = 128;

/// What is wrong with a file of pre-shared keys. No message shows a key.
#[derive(Debug, Error)]
#[error("line {line}: {fault}")]
pub struct PskError {
    /// From 1.
    pub line: usize,
    /// What is wrong there.
    pub fault: PskFault,
}

/// What is wrong with a line.
#[derive(Debug, PartialEq, Eq, Error)]
pub enum PskFault {
    /// There is nothing before or no colon.
    #[error("it is not written as IDENTITY:KEY, the key in hexadecimal")]
    Form,
    /// The identity cannot be sent or shown.
    #[error("an identity has at most {IDENTITY_LEN_MAX} bytes and no control characters")]
    Identity,
    /// The key is not hexadecimal.
    #[error("the key of `{0}` is not hexadecimal, two digits for each byte")]
    Key(String),
    /// The key is too short or too long.
    #[error("the key of `{0}` has {1} bytes; it must have 16 to 64 (`openssl rand -hex 32`)")]
    Length(String, usize),
    /// The identity has a key already.
    #[error("`{0}` stands on line {1} already")]
    Twice(String, usize),
}

type Key = Zeroizing<Vec<u8>>;

/// Pre-shared keys by identity.
pub struct PskTable {
    keys: HashMap<String, Key>,
    /// What makes keys for identities that nobody has.
    decoy: hmac::Key,
}

impl PskTable {
    /// Reads a file with a line `IDENTITY:KEY` for each key, the key in hexadecimal. Empty lines and
    /// those that begin with `#` do not count.
    ///
    /// # Errors
    ///
    /// That it cannot be read, that everybody may read it, or which line is wrong and why.
    pub fn read(file: &Path) -> Result<Self> {
        let name = file.display();
        let mode = fs::metadata(file).map(|metadata| metadata.permissions().mode());
        if mode.with_context(|| format!("cannot read {name}"))? & 0o007 != 0 {
            bail!("{name}: everybody may read or change these keys: chmod 600 {name}");
        }
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
        Self::parse(&Zeroizing::new(text)).with_context(|| name.to_string())
    }

    /// Reads the text of such a file.
    ///
    /// # Errors
    ///
    /// Which line is wrong, and why.
    pub fn parse(text: &str) -> Result<Self, PskError> {
        let mut keys = HashMap::new();
        let mut lines: HashMap<&str, usize> = HashMap::new();
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            let wrong = |fault| PskError { line, fault };
            let (identity, key) = parse_line(content).map_err(wrong)?;
            if let Some(first) = lines.insert(identity, line) {
                return Err(wrong(PskFault::Twice(identity.to_owned(), first)));
            }
            keys.insert(identity.to_owned(), key);
        }
        let secret: [u64; 4] = std::array::from_fn(|_| crate::random::random_u64());
        let secret = secret.map(u64::to_ne_bytes);
        Ok(Self { keys, decoy: hmac::Key::new(hmac::HMAC_SHA256, secret.as_flattened()) })
    }

    /// The key of an identity.
    #[must_use]
    pub fn key(&self, identity: &str) -> Option<&[u8]> {
        self.keys.get(identity).map(|key| key.as_slice())
    }

    /// Every identity that has a key.
    pub fn identities(&self) -> impl Iterator<Item = &str> {
        self.keys.keys().map(String::as_str)
    }

    /// Lets a server ask for keys. An identity that nobody has gets a key that nobody knows, always
    /// the same: its handshake fails as with a wrong key, and so nobody learns which identities
    /// there are.
    pub(super) fn install(self: Arc<Self>, context: &mut SslContextBuilder) {
        context.set_psk_server_callback(move |_, identity, room| {
            let identity = identity.unwrap_or_default();
            let decoy = hmac::sign(&self.decoy, identity);
            let known = std::str::from_utf8(identity).ok().and_then(|it| self.key(it));
            if known.is_none() {
                let identity = String::from_utf8_lossy(identity);
                info!(?identity, "a client names a PSK identity that nobody has");
            }
            write(known.unwrap_or(decoy.as_ref()), room)
        });
    }
}

/// Lets a client show one identity.
pub(super) fn install_on_client(context: &mut SslContextBuilder, identity: &str, key: &[u8]) {
    // OpenSSL wants it to end with a zero.
    let identity = [identity.as_bytes(), &[0]].concat();
    let key = Zeroizing::new(key.to_vec());
    context.set_psk_client_callback(move |_, _hint, identity_room, key_room| {
        write(&identity, identity_room)?;
        write(&key, key_room)
    });
}

fn write(bytes: &[u8], room: &mut [u8]) -> Result<usize, ErrorStack> {
    let room = room.get_mut(..bytes.len()).ok_or_else(ErrorStack::get)?;
    room.copy_from_slice(bytes);
    Ok(bytes.len())
}

fn parse_line(line: &str) -> Result<(&str, Key), PskFault> {
    // An identity may have colons, hexadecimal has none.
    let (identity, digits) = line.rsplit_once(':').ok_or(PskFault::Form)?;
    let (identity, digits) = (identity.trim_end(), digits.trim_start());
    if identity.is_empty() {
        return Err(PskFault::Form);
    }
    if identity.len() > IDENTITY_LEN_MAX || identity.chars().any(char::is_control) {
        return Err(PskFault::Identity);
    }
    let key = hex::decode(digits).ok_or_else(|| PskFault::Key(identity.to_owned()))?;
    let key = Key::new(key);
    if !KEY_LEN.contains(&key.len()) {
        return Err(PskFault::Length(identity.to_owned(), key.len()));
    }
    Ok((identity, key))
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;

    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0F";

    #[test]
    fn a_file_has_a_line_for_each_identity() {
        let text = format!("# keys\n\n sensor-7:{KEY}\r\nurn:dev:8 : {KEY}{KEY}\n");
        let table = PskTable::parse(&text).unwrap();
        let expected: Vec<u8> = (0..16).collect();
        assert_eq!(table.key("sensor-7"), Some(&expected[..]));
        assert_eq!(table.key("urn:dev:8").map(<[u8]>::len), Some(32));
        assert_eq!(table.key("sensor"), None);
        assert_eq!(table.identities().count(), 2);
    }

    #[test]
    fn faults_name_their_line_and_show_no_key() {
        let long = "x".repeat(129);
        let cases = [
            ("just a name".to_owned(), "line 2: it is not written as IDENTITY:KEY"),
            (format!(":{KEY}"), "line 2: it is not written as IDENTITY:KEY"),
            (format!("{long}:{KEY}"), "line 2: an identity has at most 128 bytes"),
            (format!("a\tb:{KEY}"), "no control characters"),
            (format!("a:{KEY}0"), "the key of `a` is not hexadecimal"),
            ("a:correct horse battery".to_owned(), "the key of `a` is not hexadecimal"),
            ("a:".to_owned(), "the key of `a` has 0 bytes; it must have 16 to 64"),
            ("a:0001020304050607".to_owned(), "the key of `a` has 8 bytes"),
            (format!("a:{}", KEY.repeat(5)), "the key of `a` has 80 bytes"),
            (format!("good:{KEY}"), "line 2: `good` stands on line 1 already"),
        ];
        for (line, expected) in cases {
            let Err(error) = PskTable::parse(&format!("good:{KEY}\n{line}\n")) else {
                panic!("{line}")
            };
            let said = error.to_string();
            assert!(said.contains(expected), "{said}");
            assert!(!said.contains(&KEY[..8]) && !said.contains("horse"), "{said}");
        }
    }

    #[test]
    fn a_file_that_everybody_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("psk.txt");
        fs::write(&file, format!("a:{KEY}\n")).unwrap();
        for (mode, good) in [(0o600, true), (0o640, true), (0o644, false), (0o602, false)] {
            fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            let read = PskTable::read(&file).map(|_| ());
            assert_eq!(read.is_ok(), good, "{mode:o}: {read:?}");
        }
    }
}
