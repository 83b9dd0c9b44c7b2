//! One handshake of one association: an OpenSSL object over datagrams in memory.

use std::time::Instant;

use openssl::error::{Error, ErrorStack};
use openssl::ssl::{ErrorCode, ShutdownState, Ssl, SslContextRef, SslRef, SslStream};
use openssl::x509::X509VerifyResult;
use xdtls_common::client_hello::ClientHello;
use xdtls_common::cursor::SliceCursor;
use xdtls_common::id::LocalId;
use xdtls_common::record::RecordHeader;
use xdtls_proto::engine::{Engine, Finished, Progress};
use xdtls_proto::failure::FailureClass::{Authentication, Internal, NothingInCommon, Protocol};
use xdtls_proto::failure::{Failure, FailureClass};
use xdtls_proto::rekey::Replaces;
use xdtls_proto::suite::CipherSuite;
use zeroize::Zeroizing;

use super::datagrams::Datagrams;
use super::sessions::{LastSession, Offer};
use super::{extension, ffi, peer};

/// OpenSSL 3.0 writes datagrams that are longer than the MTU it was told by up to this many bytes.
const MTU_OVERRUN: usize = 14;

/// The shortest fragment of a protected record that OpenSSL judges by its tag: explicit nonce and
/// tag of AES-GCM. A shorter one ends the handshake, though nobody has vouched for it.
const MIN_PROTECTED_FRAGMENT: u16 = 8 + 16;

/// One handshake, in one role for life. Dropping it frees OpenSSL's object and all its secrets.
pub struct OpensslEngine {
    stream: SslStream<Datagrams>,
    progress: Progress,
    /// What a client has to do with earlier and later sessions.
    offer: Option<Offer>,
}

impl OpensslEngine {
    /// Answers. `client_hello` is the record of a ClientHello whose cookie is good.
    pub(super) fn accept(
        context: &SslContextRef,
        local: LocalId,
        client_hello: &[u8],
        max_datagram: usize,
    ) -> Result<Self, Failure> {
        match ClientHello::parse(&mut SliceCursor::new(client_hello)) {
            // Behind `DTLSv1_listen` OpenSSL waits for 1, and would drop 0 as a repetition.
            Ok(hello) if hello.message_seq == 1 => (),
            Ok(_) => {
                return Err(Protocol.because("a ClientHello with a cookie has message_seq 1"));
            }
            Err(_) => return Err(Protocol.because("the record is not one whole ClientHello")),
        }
        let mut ssl = new_ssl(context, max_datagram)?;
        ssl.set_accept_state();
        extension::name(&mut ssl, local).map_err(|errors| internal(&errors))?;
        let mut engine = Self::new(ssl, None)?;
        engine.stream.get_mut().push(client_hello);
        // A plain accept cannot start behind a HelloVerifyRequest that somebody else has sent.
        ffi::listen(&mut engine.stream).map_err(|errors| {
            let reason = format!("the ClientHello is not acceptable: {}", words(&errors));
            class_of(&errors).because(reason)
        })?;
        engine.drive();
        Ok(engine)
    }

    /// Opens. `server_name` is what ClientHello asks for.
    pub(super) fn connect(
        context: &SslContextRef,
        server_name: Option<&str>,
        max_datagram: usize,
        replaces: Option<&Replaces>,
        last_session: LastSession,
    ) -> Result<Self, Failure> {
        let mut ssl = new_ssl(context, max_datagram)?;
        ssl.set_connect_state();
        let offer = match replaces {
            Some(what) => extension::replace(&mut ssl, what).map(|()| last_session.offer_none()),
            None => last_session.offer(&mut ssl),
        };
        let offer = offer.map_err(|errors| internal(&errors))?;
        if let Some(name) = server_name {
            ssl.set_hostname(name).map_err(|errors| internal(&errors))?;
        }
        let mut engine = Self::new(ssl, Some(offer))?;
        engine.drive();
        Ok(engine)
    }

    fn new(ssl: Ssl, offer: Option<Offer>) -> Result<Self, Failure> {
        let stream =
            SslStream::new(ssl, Datagrams::default()).map_err(|errors| internal(&errors))?;
        Ok(Self { stream, progress: Progress::Pending, offer })
    }

    /// Lets OpenSSL read what is there and go as far as it can.
    fn drive(&mut self) {
        let progress = match self.stream.do_handshake() {
            Ok(()) => Progress::Complete,
            // OpenSSL drops noise in silence and wants more.
            Err(error) if error.code() == ErrorCode::WANT_READ => Progress::Pending,
            Err(error) => {
                let none = ErrorStack::get();
                self.failed(error.ssl_error().unwrap_or(&none))
            }
        };
        self.settle(progress);
    }

    /// Concludes a call into OpenSSL. Its error queue belongs to the thread, so that whatever is
    /// left in it would be blamed on the next handshake.
    fn settle(&mut self, progress: Progress) {
        ErrorStack::get();
        self.progress = if self.stream.get_ref().overflowed() {
            Progress::Failed(Internal.because("too many datagrams are waiting"))
        } else {
            progress
        };
    }

    /// Whether its timer, which goes by the time of day, would run out much too late.
    fn is_stuck(&self) -> bool {
        ffi::time_left(self.stream.ssl()).is_some_and(|left| left > ffi::MAX_TIMEOUT)
    }

    fn failed(&self, errors: &ErrorStack) -> Progress {
        let mut reason = words(errors);
        let verified = self.stream.ssl().verify_result();
        if verified != X509VerifyResult::OK {
            reason = format!("{reason} ({})", verified.error_string());
            return Progress::Failed(Authentication.because(reason));
        }
        Progress::Failed(class_of(errors).because(reason))
    }
}

impl Engine for OpensslEngine {
    fn handle_record(&mut self, _now: Instant, record: &[u8]) {
        if self.progress == Progress::Pending && !is_fatal_noise(record) {
            self.stream.get_mut().push(record);
            self.drive();
        }
    }

    fn handle_timeout(&mut self, _now: Instant) {
        if self.progress == Progress::Pending {
            let progress = match ffi::handle_timeout(&mut self.stream) {
                Ok(()) if self.is_stuck() => {
                    Progress::Failed(Internal.because("the time of day was set back"))
                }
                Ok(()) => Progress::Pending,
                Err(errors) => self.failed(&errors),
            };
            self.settle(progress);
        }
    }

    fn deadline(&self, now: Instant) -> Option<Instant> {
        let pending = self.progress == Progress::Pending;
        let left = pending.then(|| ffi::time_left(self.stream.ssl())).flatten()?;
        Some(if self.is_stuck() { now } else { now + left })
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.stream.get_mut().pop()
    }

    fn progress(&self) -> Progress {
        self.progress.clone()
    }

    fn finish(mut self) -> Result<Finished, Failure> {
        if self.progress != Progress::Complete {
            return Err(Internal.because("the handshake is not complete"));
        }
        let finished = finished(self.stream.ssl())?;
        // OpenSSL forgets the session of an object that is freed before it was shut down.
        self.stream.set_shutdown(ShutdownState::SENT | ShutdownState::RECEIVED);
        if let Some(offer) = self.offer {
            offer.keep(self.stream.ssl());
        }
        Ok(finished)
    }
}

fn is_fatal_noise(record: &[u8]) -> bool {
    let header = RecordHeader::parse(&mut SliceCursor::new(record));
    header.is_ok_and(|header| header.epoch > 0 && header.length < MIN_PROTECTED_FRAGMENT)
}

fn new_ssl(context: &SslContextRef, max_datagram: usize) -> Result<Ssl, Failure> {
    let mtu = max_datagram.saturating_sub(MTU_OVERRUN).try_into().unwrap_or(u32::MAX);
    let mut ssl = Ssl::new(context).map_err(|errors| internal(&errors))?;
    ssl.set_mtu(mtu).map_err(|_| {
        Internal.because(format!("datagrams of {max_datagram} bytes are too small"))
    })?;
    ffi::set_retransmission_timer(&mut ssl);
    Ok(ssl)
}

/// Copies what outlives the OpenSSL object.
fn finished(ssl: &SslRef) -> Result<Finished, Failure> {
    let lacks = |what: &str| Internal.because(what);
    if !ffi::has_extended_master_secret(ssl) {
        return Err(NothingInCommon.because("the peer lacks the extended master secret"));
    }
    let cipher = ssl.current_cipher().ok_or_else(|| lacks("no cipher suite was negotiated"))?;
    let suite = CipherSuite::from_iana(u16::from_be_bytes(cipher.protocol_id()))
        .ok_or_else(|| lacks(&format!("{} is not one of our cipher suites", cipher.name())))?;
    let session = ssl.session().ok_or_else(|| lacks("the handshake left no session"))?;
    let mut master_secret = Zeroizing::new([0; 48]);
    if session.master_key_len() != master_secret.len() {
        return Err(lacks("the master secret is not 48 bytes long"));
    }
    session.master_key(&mut *master_secret);
    let (mut client_random, mut server_random) = ([0; 32], [0; 32]);
    ssl.client_random(&mut client_random);
    ssl.server_random(&mut server_random);
    let identity =
        if suite.is_psk() { peer::holder_of_psk(ssl) } else { peer::holder_of_certificate(ssl) }?;
    let (extension, replaces) = (extension::negotiated(ssl), extension::replaces(ssl));
    Ok(Finished {
        suite,
        master_secret,
        client_random,
        server_random,
        extension,
        replaces,
        answerer: extension::answerer(ssl),
        resumed: ssl.session_reused(),
        identity,
    })
}

/// What OpenSSL's reason amounts to (`sslerr.h`).
fn class_of(errors: &ErrorStack) -> FailureClass {
    const CERTIFICATE_VERIFY_FAILED: i32 = 134;
    const PEER_DID_NOT_RETURN_A_CERTIFICATE: i32 = 199;
    const NO_SUITABLE_SIGNATURE_ALGORITHM: i32 = 118;
    const NO_SHARED_CIPHER: i32 = 193;
    const NO_SHARED_GROUPS: i32 = 410;
    const UNSUPPORTED_PROTOCOL: i32 = 258;
    match reason_code(errors) {
        CERTIFICATE_VERIFY_FAILED | PEER_DID_NOT_RETURN_A_CERTIFICATE => Authentication,
        NO_SUITABLE_SIGNATURE_ALGORITHM
        | NO_SHARED_CIPHER
        | NO_SHARED_GROUPS
        | UNSUPPORTED_PROTOCOL
        | CALLBACK_FAILED => NothingInCommon,
        _ => Protocol,
    }
}

/// The one callback that may say so is that which chooses by server name.
const CALLBACK_FAILED: i32 = 234;

fn reason_code(errors: &ErrorStack) -> i32 {
    errors.errors().first().map_or(0, Error::reason_code)
}

fn internal(errors: &ErrorStack) -> Failure {
    Internal.because(words(errors))
}

/// OpenSSL's reasons, without its file names and numbers.
pub(super) fn words(errors: &ErrorStack) -> String {
    if reason_code(errors) == CALLBACK_FAILED {
        return "no identity has the server name that the client asks for".to_owned();
    }
    let reasons: Vec<_> = errors.errors().iter().filter_map(|error| error.reason()).collect();
    if reasons.is_empty() { "OpenSSL gives no reason".to_owned() } else { reasons.join(": ") }
}
