//! Which of several certificates is shown: by the server for the name that a client asks for
//! (RFC 6066 §3), by the client for what the server accepts (RFC 5246 §7.4.4). Between key types
//! OpenSSL chooses, by cipher suites and signature algorithms.

use std::collections::HashMap;
use std::sync::LazyLock;

use openssl::error::ErrorStack;
use openssl::ex_data::Index;
use openssl::ssl::{
    NameType, SniError, SslAlert, SslContext, SslContextBuilder, SslContextRef, SslRef,
};
use xdtls_proto::name_pattern::NamePattern;

use super::credentials::{KeyType, Loaded};
use super::ffi::{self, Suitable};

/// The places of the identities that clients get who ask for `pattern`: one for each key type at
/// most. The whole name goes before a wildcard, then the first in the file goes first.
pub(crate) fn chosen_for(identities: &[Loaded], pattern: &NamePattern) -> Vec<usize> {
    let asked = pattern.to_string();
    let of_type = |key_type: &KeyType| {
        let mut places = (0..identities.len()).filter(|at| identities[*at].key_type == *key_type);
        let same = |at: &usize| identities[*at].server_names.contains(pattern);
        let wider = |at: &usize| identities[*at].server_names.iter().any(|it| it.matches(&asked));
        places.clone().find(same).or_else(|| places.find(wider))
    };
    KeyType::ALL.iter().filter_map(of_type).collect()
}

/// The places of the identities that clients get who ask for no name or for one that nobody has:
/// the first of each key type.
pub(crate) fn chosen_by_default(identities: &[Loaded]) -> Vec<usize> {
    let first = |key_type: &KeyType| identities.iter().position(|it| it.key_type == *key_type);
    KeyType::ALL.iter().filter_map(first).collect()
}

/// The contexts of a server by name, those of wildcards with `*.` before them.
pub(super) struct ByName {
    /// `None` is what those get who ask for no name.
    contexts: HashMap<String, Option<SslContext>>,
}

impl ByName {
    /// Makes a context with `make` for each set of identities that some name chooses, other than those
    /// that are chosen by default: to give an object another context takes a copy of all certificates.
    pub(super) fn new<E>(
        identities: &[Loaded],
        mut make: impl FnMut(&[usize]) -> Result<SslContext, E>,
    ) -> Result<Self, E> {
        let mut made = HashMap::from([(chosen_by_default(identities), None)]);
        let mut contexts = HashMap::new();
        for pattern in identities.iter().flat_map(|identity| &identity.server_names) {
            let chosen = chosen_for(identities, pattern);
            if !made.contains_key(&chosen) {
                made.insert(chosen.clone(), Some(make(&chosen)?));
            }
            contexts.insert(pattern.to_string(), made[&chosen].clone());
        }
        Ok(Self { contexts })
    }

    /// The context for a name; of `Some(None)`, the object has it already.
    fn find(&self, asked: &[u8]) -> Option<Option<&SslContextRef>> {
        let asked = std::str::from_utf8(asked).ok()?.to_ascii_lowercase();
        let below = || {
            let (label, rest) = asked.split_once('.')?;
            self.contexts.get(&format!("*.{rest}")).filter(|_| !label.is_empty())
        };
        self.contexts.get(&asked).or_else(below).map(Option::as_deref)
    }

    /// Lets `context` choose by the name that a client asks for. Those who ask for none, or for one
    /// that nobody has, get what `context` shows itself, or an alert if a name is `required`.
    pub(super) fn install(self, context: &mut SslContextBuilder, required: bool) {
        context.set_servername_callback(move |ssl, alert| {
            let asked = ssl.servername_raw(NameType::HOST_NAME);
            match asked.and_then(|asked| self.find(asked)) {
                Some(None) => Ok(()),
                Some(Some(chosen)) => {
                    ssl.set_ssl_context(chosen).map_err(|_: ErrorStack| SniError::ALERT_FATAL)
                }
                None if required => {
                    *alert = SslAlert::UNRECOGNIZED_NAME;
                    Err(SniError::ALERT_FATAL)
                }
                None => Err(SniError::NOACK),
            }
        });
    }
}

type Identities = Index<SslContext, Vec<Loaded>>;

/// Where a client's context keeps what it can show.
static IDENTITIES: LazyLock<Result<Identities, ErrorStack>> =
    LazyLock::new(SslContext::new_ex_index);

/// Lets a client show that of its `identities` which the server accepts.
pub(super) fn install_on_client(
    context: &mut SslContextBuilder,
    identities: Vec<Loaded>,
) -> Result<(), ErrorStack> {
    context.set_ex_data(IDENTITIES.clone()?, identities);
    ffi::set_certificate_callback(context);
    Ok(())
}

/// Gives a client's object the first identity that the server accepts by its authorities and
/// signature algorithms; without such a one the first whose signature it accepts, since a server
/// may know more authorities than it names. `false` ends the handshake.
pub(super) fn show_on_client(ssl: &mut SslRef) -> bool {
    let Ok(index) = IDENTITIES.clone() else { return false };
    let context = ssl.ssl_context().to_owned();
    let identities = context.ex_data(index).map_or(&[][..], Vec::as_slice);
    let mut by_signature = None;
    for identity in identities {
        let Loaded { certificate, intermediates, key, .. } = identity;
        match ffi::check_chain(ssl, certificate, key, intermediates) {
            Suitable::Fully => return show(ssl, identity),
            Suitable::BySignature => by_signature = by_signature.or(Some(identity)),
            Suitable::Not => {}
        }
    }
    // A client that shows nothing leaves it to the server to refuse.
    by_signature.is_none_or(|identity| show(ssl, identity))
}

fn show(ssl: &mut SslRef, identity: &Loaded) -> bool {
    let Loaded { certificate, intermediates, key, .. } = identity;
    ffi::use_certificate_and_key(ssl, certificate, key, intermediates).is_ok()
}
