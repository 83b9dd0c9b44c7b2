//! What the handshake machines need of a DTLS implementation: one object for one handshake.
//!
//! The engine never sees the prefix, a cookie-less ClientHello on the server side, or a record that
//! the [filter](crate::filter) did not pass. It does no I/O: records go in one at a time, datagrams
//! come out of a queue, and time is an argument wherever the implementation allows that.

use std::net::IpAddr;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use xdtls_common::id::{LocalId, PeerId};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::rekey::Replaces;
use crate::suite::CipherSuite;

/// How far a handshake has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More records are needed.
    Pending,
    /// The peer's Finished has been verified and ours is written.
    Complete,
    /// The handshake has failed for the reason given; an alert may be waiting in the queue.
    Failed(Failure),
}

/// One handshake of one association, in one role for life.
pub trait Engine {
    /// Takes one whole record, header included.
    fn handle_record(&mut self, now: Instant, record: &[u8]);

    /// Retransmits what is due. Calling it early does no harm.
    fn handle_timeout(&mut self, now: Instant);

    /// When [`Engine::handle_timeout`] wants to be called next.
    fn deadline(&self, now: Instant) -> Option<Instant>;

    /// The next datagram for the peer, without prefix.
    fn poll_transmit(&mut self) -> Option<Vec<u8>>;

    /// How far the handshake has come.
    fn progress(&self) -> Progress;

    /// Takes what the record plane needs and frees the engine's own state. Fails unless
    /// [`Progress::Complete`], or when what was negotiated is not acceptable.
    fn finish(self) -> Result<Finished, Failure>;
}

/// Makes engines that answer.
pub trait AcceptEngine {
    /// The engine it makes.
    type Engine: Engine;

    /// Starts with the record of a ClientHello whose cookie has been judged good, and whose rekey
    /// token has, if it carries one: the ServerHello repeats it, and says that the association will
    /// be `local` here. `max_datagram` is the largest datagram, in bytes without prefix, that the
    /// engine may write.
    fn accept(
        &self,
        now: Instant,
        local: LocalId,
        client_hello: &[u8],
        max_datagram: usize,
    ) -> Result<Self::Engine, Failure>;
}

/// Makes engines that open.
pub trait ConnectEngine {
    /// The engine it makes.
    type Engine: Engine;

    /// Starts a handshake; its ClientHello is waiting in the queue. With `replaces` it is a full one,
    /// and the ClientHello carries the token.
    fn connect(
        &self,
        now: Instant,
        max_datagram: usize,
        replaces: Option<&Replaces>,
    ) -> Result<Self::Engine, Failure>;
}

/// What a finished handshake hands to the record plane.
pub struct Finished {
    /// The negotiated suite.
    pub suite: CipherSuite,
    /// The master secret (RFC 5246 §8.1, RFC 7627).
    pub master_secret: Zeroizing<[u8; 48]>,
    /// The ClientHello's random.
    pub client_random: [u8; 32],
    /// The ServerHello's random.
    pub server_random: [u8; 32],
    /// Whether both sides sent the xdtls extension in a version that both know.
    pub extension: bool,
    /// Whether the ServerHello repeats the ClientHello's rekey token: this association is to replace
    /// another.
    pub replaces: bool,
    /// What the server calls the association, by its ServerHello; a client knows.
    pub answerer: Option<PeerId>,
    /// Whether it continues an earlier session.
    pub resumed: bool,
    /// Who the peer has proved to be.
    pub identity: PeerIdentity,
}

/// Who a peer has proved to be: the holder of a certificate, or of a pre-shared key. In the latter
/// case everything but [`PeerIdentity::psk`] is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PeerIdentity {
    /// DNS subject alternative names, or the common name where there are none.
    pub names: Vec<String>,
    /// URI subject alternative names.
    pub uris: Vec<String>,
    /// Email addresses among the subject alternative names.
    pub emails: Vec<String>,
    /// IP addresses among the subject alternative names.
    pub addresses: Vec<IpAddr>,
    /// SHA-256 of the certificate's SubjectPublicKeyInfo.
    pub spki_sha256: [u8; 32],
    /// The certificates of the verified chain, the peer's own first.
    pub chain: Vec<CertificateId>,
    /// SHA-256 of the SubjectPublicKeyInfo of each authority in the chain.
    pub authorities: Vec<[u8; 32]>,
    /// When the first certificate of the chain expires, in seconds since 1970.
    pub expires_s: Option<i64>,
    /// The identity that goes with a pre-shared key (RFC 4279 §5.1).
    pub psk: Option<String>,
}

/// What a list of revoked certificates knows a certificate by (RFC 5280 §5.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CertificateId {
    /// SHA-256 of the issuer's name in DER.
    pub issuer_sha256: [u8; 32],
    /// The serial number, big-endian.
    pub serial: Vec<u8>,
}

impl std::fmt::Display for PeerIdentity {
    /// What people call the peer; for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let addresses: Vec<_> = self.addresses.iter().map(IpAddr::to_string).collect();
        let all = [&self.names, &self.uris, &self.emails, &addresses];
        match (&self.psk, all.into_iter().find(|names| !names.is_empty())) {
            (Some(identity), _) => write!(f, "psk:{identity}"),
            (None, Some(names)) => f.write_str(&names.join(", ")),
            (None, None) => f.write_str("a certificate without a name"),
        }
    }
}
