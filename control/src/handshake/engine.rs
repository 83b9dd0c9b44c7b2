//! One handshake of one association: an OpenSSL object over datagrams in memory.

use std::time::Instant;

use openssl::error::ErrorStack;
use openssl::ssl::{ErrorCode, Ssl, SslContextRef, SslRef, SslStream};
use openssl::x509::X509VerifyResult;
use xdtls_common::client_hello::ClientHello;
use xdtls_common::cursor::SliceCursor;
use xdtls_common::record::RecordHeader;
use xdtls_proto::engine::{Engine, Finished, Progress};
use xdtls_proto::failure::FailureClass;
use xdtls_proto::suite::CipherSuite;
use zeroize::Zeroizing;

use super::datagrams::Datagrams;
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
    failure: FailureClass,
}

impl OpensslEngine {
    /// Answers. `client_hello` is the record of a ClientHello whose cookie is good.
    pub(super) fn accept(
        context: &SslContextRef,
        client_hello: &[u8],
        max_datagram: usize,
    ) -> Result<Self, String> {
        match ClientHello::parse(&mut SliceCursor::new(client_hello)) {
            // Behind `DTLSv1_listen` OpenSSL waits for 1, and would drop 0 as a repetition.
            Ok(hello) if hello.message_seq == 1 => (),
            Ok(_) => return Err("a ClientHello with a cookie has message_seq 1".to_owned()),
            Err(_) => return Err("the record is not one whole ClientHello".to_owned()),
        }
        let mut ssl = new_ssl(context, max_datagram)?;
        ssl.set_accept_state();
        let mut engine = Self::new(ssl)?;
        engine.stream.get_mut().push(client_hello);
        // A plain accept cannot start behind a HelloVerifyRequest that somebody else has sent.
        ffi::listen(&mut engine.stream)
            .map_err(|errors| format!("the ClientHello is not acceptable: {}", words(&errors)))?;
        engine.drive();
        Ok(engine)
    }

    /// Opens. `server_name` is what ClientHello asks for.
    pub(super) fn connect(
        context: &SslContextRef,
        server_name: Option<&str>,
        max_datagram: usize,
    ) -> Result<Self, String> {
        let mut ssl = new_ssl(context, max_datagram)?;
        ssl.set_connect_state();
        if let Some(name) = server_name {
            ssl.set_hostname(name).map_err(|errors| words(&errors))?;
        }
        let mut engine = Self::new(ssl)?;
        engine.drive();
        Ok(engine)
    }

    fn new(ssl: Ssl) -> Result<Self, String> {
        let stream = SslStream::new(ssl, Datagrams::default()).map_err(|errors| words(&errors))?;
        Ok(Self { stream, progress: Progress::Pending, failure: FailureClass::Protocol })
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
            Progress::Failed("too many datagrams are waiting".to_owned())
        } else {
            progress
        };
    }

    fn failed(&mut self, errors: &ErrorStack) -> Progress {
        let mut reason = words(errors);
        self.failure = class_of(&reason);
        let verified = self.stream.ssl().verify_result();
        if verified != X509VerifyResult::OK {
            reason = format!("{reason} ({})", verified.error_string());
        }
        Progress::Failed(reason)
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
                Ok(()) => Progress::Pending,
                Err(errors) => self.failed(&errors),
            };
            self.settle(progress);
        }
    }

    fn deadline(&self, now: Instant) -> Option<Instant> {
        let pending = self.progress == Progress::Pending;
        pending.then(|| ffi::time_left(self.stream.ssl())).flatten().map(|left| now + left)
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.stream.get_mut().pop()
    }

    fn progress(&self) -> Progress {
        self.progress.clone()
    }

    fn failure_class(&self) -> FailureClass {
        self.failure
    }

    fn finish(self) -> Result<Finished, String> {
        if self.progress != Progress::Complete {
            return Err("the handshake is not complete".to_owned());
        }
        finished(self.stream.ssl())
    }
}

fn is_fatal_noise(record: &[u8]) -> bool {
    let header = RecordHeader::parse(&mut SliceCursor::new(record));
    header.is_ok_and(|header| header.epoch > 0 && header.length < MIN_PROTECTED_FRAGMENT)
}

fn new_ssl(context: &SslContextRef, max_datagram: usize) -> Result<Ssl, String> {
    let mtu = max_datagram.saturating_sub(MTU_OVERRUN).try_into().unwrap_or(u32::MAX);
    let mut ssl = Ssl::new(context).map_err(|errors| words(&errors))?;
    ssl.set_mtu(mtu).map_err(|_| format!("datagrams of {max_datagram} bytes are too small"))?;
    ffi::set_retransmission_timer(&mut ssl);
    Ok(ssl)
}

/// Copies what outlives the OpenSSL object.
fn finished(ssl: &SslRef) -> Result<Finished, String> {
    if !ffi::has_extended_master_secret(ssl) {
        return Err("the peer lacks the extended master secret".to_owned());
    }
    let cipher = ssl.current_cipher().ok_or("no cipher suite was negotiated")?;
    let suite = CipherSuite::from_iana(u16::from_be_bytes(cipher.protocol_id()))
        .ok_or_else(|| format!("{} is not one of our cipher suites", cipher.name()))?;
    let session = ssl.session().ok_or("the handshake left no session")?;
    let mut master_secret = Zeroizing::new([0; 48]);
    if session.master_key_len() != master_secret.len() {
        return Err("the master secret is not 48 bytes long".to_owned());
    }
    session.master_key(&mut *master_secret);
    let (mut client_random, mut server_random) = ([0; 32], [0; 32]);
    ssl.client_random(&mut client_random);
    ssl.server_random(&mut server_random);
    let certificate = ssl.peer_certificate().ok_or("the peer has shown no certificate")?;
    let identity = peer::identity_of(&certificate).map_err(|errors| words(&errors))?;
    let extension = extension::negotiated(ssl);
    Ok(Finished { suite, master_secret, client_random, server_random, extension, identity })
}

/// The class that OpenSSL's reasons belong to.
fn class_of(reason: &str) -> FailureClass {
    const CERTIFICATE: [&str; 3] =
        ["certificate verify failed", "did not return a certificate", "bad certificate"];
    const NOTHING_SHARED: [&str; 4] =
        ["no shared", "no suitable", "no protocols available", "unsupported protocol"];
    let is_any_of = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if is_any_of(&CERTIFICATE) {
        FailureClass::Certificate
    } else if is_any_of(&NOTHING_SHARED) {
        FailureClass::NothingShared
    } else {
        FailureClass::Protocol
    }
}

/// OpenSSL's reasons, without its file names and numbers.
fn words(errors: &ErrorStack) -> String {
    let reasons: Vec<_> = errors.errors().iter().filter_map(|error| error.reason()).collect();
    if reasons.is_empty() { "OpenSSL gives no reason".to_owned() } else { reasons.join(": ") }
}
