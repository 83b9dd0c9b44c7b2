//! Sessions that a later handshake may continue by their id (RFC 5246 §7.3), which spares both ends
//! the public-key operations.
//!
//! A gateway keeps them in OpenSSL's own cache, bounded in number and time; a client keeps its last
//! one. Both lie with the context: other certificates, authorities or lists of revoked certificates
//! make another context, and whatever was kept for the old one is gone with it. A session is as good
//! as its handshake was; who its peer is, and whether that is still admitted, is judged anew each
//! time. An association that replaces another never continues a session: it is there to have keys
//! that nobody has seen.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslRef, SslSession, SslSessionCacheMode};

use super::ffi;

/// OpenSSL resumes no session with certificates that has no context id. The cache is the context's
/// own, so that there is nothing to tell apart.
const CONTEXT_ID: &[u8] = b"xdtls";

/// What a gateway keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionLimits {
    /// Sessions at a time, at most; the one that ends first gives way. None with 0.
    pub sessions: u32,
    /// How long one can be continued after its full handshake.
    pub lifetime: Duration,
}

impl SessionLimits {
    /// Lets a server's context keep sessions.
    pub(super) fn install(&self, context: &mut SslContextBuilder) -> Result<(), ErrorStack> {
        // To OpenSSL a size of 0 is no bound at all.
        let Some(sessions) = i32::try_from(self.sessions).ok().filter(|count| *count > 0) else {
            return Ok(());
        };
        context.set_session_cache_mode(SslSessionCacheMode::SERVER);
        context.set_session_cache_size(sessions);
        ffi::set_session_lifetime(context, self.lifetime);
        context.set_session_id_context(CONTEXT_ID)
    }
}

/// A client's last session. Clones share it.
#[derive(Clone, Default)]
pub(super) struct LastSession(Arc<Mutex<Option<SslSession>>>);

impl LastSession {
    fn lock(&self) -> MutexGuard<'_, Option<SslSession>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets an object that has not begun ask to continue the session, if there is one.
    pub(super) fn offer(self, ssl: &mut SslRef) -> Result<Offer, ErrorStack> {
        let session = self.lock().clone();
        if let Some(session) = &session {
            ffi::offer_session(ssl, session)?;
        }
        Ok(Offer { last: self, offered: session.is_some() })
    }

    /// What an object keeps its session for that does not ask to continue another.
    pub(super) fn offer_none(self) -> Offer {
        Offer { last: self, offered: false }
    }
}

/// What one handshake of a client has to do with its last session.
pub(super) struct Offer {
    last: LastSession,
    /// Whether there was one that could be offered, and nothing has come of it yet.
    offered: bool,
}

impl Offer {
    /// Keeps the session of an object whose handshake is complete, if the server has named it.
    pub(super) fn keep(mut self, ssl: &SslRef) {
        self.offered = false;
        let session = ssl.session().filter(|session| !session.id().is_empty());
        *self.last.lock() = session.map(ToOwned::to_owned);
    }
}

/// Nothing good has come of an offer: the next handshake is a full one.
impl Drop for Offer {
    fn drop(&mut self) {
        if self.offered {
            *self.last.lock() = None;
        }
    }
}
