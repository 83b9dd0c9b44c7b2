//! Alerts that we send ourselves (RFC 5246 §7.2).

use xdtls_common::record::content_type;

use crate::keys::DirectionKeys;
use crate::policy::Refusal;
use crate::record_plane::{ExpandedKey, SealState, seal};

/// Level: the association goes on.
pub const WARNING: u8 = 1;
/// Level: the association ends.
pub const FATAL: u8 = 2;

/// The sender will send no more.
pub const CLOSE_NOTIFY: u8 = 0;
/// No acceptable set of parameters.
pub const HANDSHAKE_FAILURE: u8 = 40;
/// The peer's certificate has been revoked.
pub const CERTIFICATE_REVOKED: u8 = 44;
/// The peer's certificate has expired.
pub const CERTIFICATE_EXPIRED: u8 = 45;
/// The certificate is valid, but policy does not admit its holder.
pub const ACCESS_DENIED: u8 = 49;
/// A second handshake within an association is refused.
pub const NO_RENEGOTIATION: u8 = 100;

/// What tells a peer that it is not admitted.
pub(crate) const fn of_refusal(refusal: Refusal) -> u8 {
    match refusal {
        Refusal::Revoked => CERTIFICATE_REVOKED,
        Refusal::Expired => CERTIFICATE_EXPIRED,
        Refusal::RevocationUnknown
        | Refusal::PskGone
        | Refusal::NoRule
        | Refusal::OurOwn
        | Refusal::ReplacesAnother => ACCESS_DENIED,
    }
}

/// One sealed alert record; `None` when the keys must not be used any more.
pub(crate) fn sealed(
    keys: &DirectionKeys,
    state: &mut SealState,
    alert: [u8; 2],
) -> Option<Vec<u8>> {
    let key = ExpandedKey::new(keys);
    let mut record = vec![0; keys.aead().record_overhead() + alert.len()];
    let start = keys.aead().plaintext_offset();
    record[start..start + alert.len()].copy_from_slice(&alert);
    let counters = state.take(keys.aead()).ok()?;
    seal(&key, counters, content_type::ALERT, &mut record, alert.len());
    Some(record)
}
