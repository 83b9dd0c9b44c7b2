//! The tables about who shows what and who may come in: `[[identity]]`, `[clients]`, `[[rule]]`.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use xdtls_proto::policy::{PeerPattern, TextPattern};

use super::document::Section;
use super::schema::{all, backend_index, first_use};
use super::value::Value;
use super::{Clients, Identity, NamePattern, Rule, RulePeer};
use crate::hex;

impl fmt::Display for RulePeer {
    /// As the configuration has it; the name of a certificate alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Authority(file) => write!(f, "ca {}", file.display()),
            Self::Pattern(PeerPattern::Name(name)) => name.fmt(f),
            Self::Pattern(PeerPattern::Uri(uri)) => write!(f, "uri {uri}"),
            Self::Pattern(PeerPattern::Email(email)) => write!(f, "email {email}"),
            Self::Pattern(PeerPattern::Address(address)) => write!(f, "ip {address}"),
            Self::Pattern(PeerPattern::Psk(identity)) => write!(f, "psk_identity {identity}"),
            Self::Pattern(PeerPattern::Key(hash) | PeerPattern::Authority(hash)) => {
                f.write_str("spki_sha256 ")?;
                hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// At least one, unless pre-shared keys do without.
pub(super) fn identities(root: &mut Section<'_>, has_psk: bool) -> Option<Vec<Identity>> {
    let tables = root.tables("identity");
    if tables.is_empty() && !has_psk {
        let remedy = "add an [[identity]] table with the gateway's `certificate` and `key`";
        root.missing("identity", remedy.to_owned());
    }
    all(tables.into_iter().map(identity))
}

fn identity(mut table: Section<'_>) -> Option<Identity> {
    let certificate = table.required("certificate", "\"gateway.pem\"").and_then(|v| v.file());
    let key = table.required("key", "\"gateway.key\"").and_then(|v| v.file());
    let passphrase = optional(table.value("key_passphrase_file", "\"gateway.pass\""), Value::file);
    let server_names = match table.value("server_names", "[\"gw.example\"]") {
        Some(value) => server_names(&value),
        None => Some(Vec::new()),
    };
    table.finish();
    Some(Identity {
        certificate: certificate?,
        key: key?,
        key_passphrase_file: passphrase?,
        server_names: server_names?,
    })
}

fn server_names(list: &Value<'_>) -> Option<Vec<NamePattern>> {
    let items = list.array("[\"gw.example\"]")?;
    if items.is_empty() {
        list.report("an empty list names nothing", "remove the line to use the certificate's own");
        return None;
    }
    let mut lines = HashMap::new();
    all(items.into_iter().map(|value| {
        let name = value.parse::<NamePattern>()?;
        first_use(&value, name.clone(), &mut lines)?;
        Some(name)
    }))
}

pub(super) fn clients(mut table: Section<'_>) -> Option<Clients> {
    let psk_file = optional(table.value("psk_file", "\"psk.txt\""), Value::file);
    let ca = match table.value("ca", "\"ca.pem\"") {
        None if !table.has("psk_file") => table.required("ca", "\"ca.pem\"").and(None),
        value => optional(value, Value::file),
    };
    let crl = match table.value("crl", "[\"ca.crl\"]") {
        Some(value) => crl(&value, ca == Some(None)),
        None => Some(Vec::new()),
    };
    let allow_no_forward_secrecy = match table.value("allow_no_forward_secrecy", "false") {
        Some(value) => value.boolean(),
        None => Some(false),
    };
    table.finish();
    Some(Clients {
        ca: ca?,
        crl: crl?,
        psk_file: psk_file?,
        allow_no_forward_secrecy: allow_no_forward_secrecy?,
    })
}

fn crl(list: &Value<'_>, without_ca: bool) -> Option<Vec<PathBuf>> {
    if without_ca {
        list.report(
            "there is no `ca` whose certificates it could revoke",
            "add `ca`, or remove it",
        );
        return None;
    }
    all(list.array("[\"ca.crl\"]")?.iter().map(Value::file))
}

pub(super) fn rules(root: &mut Section<'_>, backends: &[String]) -> Option<Vec<Rule>> {
    let mut lines = HashMap::new();
    all(root.tables("rule").into_iter().map(|mut table| {
        let peer = rule_peer(&mut table, &mut lines);
        let backend =
            table.required("backend", "\"app\"").and_then(|v| backend_index(&v, backends));
        table.finish();
        Some(Rule { peer: peer?, backend: backend? })
    }))
}

/// How one kind of pattern is read.
type Read = fn(&Value<'_>) -> Option<RulePeer>;

/// The keys of which a rule has exactly one.
const PATTERNS: [(&str, &str, Read); 7] = [
    ("certificate_name", "\"*.sensors.example\"", |v| pattern(v, PeerPattern::Name)),
    ("uri", "\"spiffe://example/sensors/*\"", |v| pattern(v, PeerPattern::Uri)),
    ("email", "\"ann@example.org\"", email),
    ("ip", "\"192.0.2.7\"", |v| pattern::<IpAddr>(v, PeerPattern::Address)),
    ("spki_sha256", "\"64 hexadecimal digits\"", key),
    ("ca", "\"sensors-ca.pem\"", |v| v.file().map(RulePeer::Authority)),
    ("psk_identity", "\"sensor-*\"", |v| pattern::<TextPattern>(v, PeerPattern::Psk)),
];

fn rule_peer(table: &mut Section<'_>, lines: &mut HashMap<String, usize>) -> Option<RulePeer> {
    let mut present = Vec::new();
    for (key, example, read) in PATTERNS {
        present.extend(table.value(key, example).map(|value| (key, value, read)));
    }
    if let [(first, ..), (_, second, _), ..] = present.as_slice() {
        let wrong = format!("a rule looks at one thing, and this one has `{first}`");
        second.report(wrong, "make a [[rule]] of its own of it");
        return None;
    }
    let Some((_, value, read)) = present.pop() else {
        let (key, example, _) = PATTERNS[0];
        return table.required(key, example).and(None);
    };
    let peer = read(&value)?;
    first_use(&value, peer.to_string(), lines)?;
    Some(peer)
}

fn pattern<T>(value: &Value<'_>, wrap: fn(T) -> PeerPattern) -> Option<RulePeer>
where
    T: std::str::FromStr,
    T::Err: fmt::Display,
{
    Some(RulePeer::Pattern(wrap(value.parse::<T>()?)))
}

fn email(value: &Value<'_>) -> Option<RulePeer> {
    let email = value.string()?;
    if !email.contains('@') {
        value.wrong(format!("`{email}` is no email address"));
        return None;
    }
    Some(RulePeer::Pattern(PeerPattern::Email(email.to_owned())))
}

fn key(value: &Value<'_>) -> Option<RulePeer> {
    let text = value.string()?;
    let Some(hash) = hex::sha256(text) else {
        value.report(
            format!("`{text}` is not the SHA-256 of a public key in 64 hexadecimal digits"),
            "print it with `openssl x509 -in client.pem -noout -pubkey | \
             openssl pkey -pubin -outform der | sha256sum`",
        );
        return None;
    };
    Some(RulePeer::Pattern(PeerPattern::Key(hash)))
}

/// Reads a value if it is there; `None` only after a report.
pub(super) fn optional<'a, T>(
    value: Option<Value<'a>>,
    read: impl FnOnce(&Value<'a>) -> Option<T>,
) -> Option<Option<T>> {
    match value {
        Some(value) => read(&value).map(Some),
        None => Some(None),
    }
}
