//! What all handshakes of one configuration share: protocol options, trust, and the rest of what an
//! OpenSSL context holds.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use openssl::error::ErrorStack;
use openssl::ssl::{
    SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode,
    SslVerifyMode, SslVersion,
};
use openssl::x509::verify::X509CheckFlags;
use thiserror::Error;
use xdtls_common::id::LocalId;
use xdtls_proto::engine::{AcceptEngine, ConnectEngine};
use xdtls_proto::failure::Failure;
use xdtls_proto::rekey::Replaces;

use super::choice::{self, ByName};
use super::credentials::{Identity, Loaded};
use super::engine::OpensslEngine;
use super::key::KeyError;
use super::psk::{self, PskTable};
use super::sessions::{LastSession, SessionLimits};
use super::trust::Trust;
use super::{extension, ffi};

/// The cheapest to seal and open comes first; the server's order decides.
const CERTIFICATE_CIPHERS: [&str; 6] = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
];

/// OpenSSL has no other with an AEAD and forward secrecy.
const PSK_CIPHERS: [&str; 1] = ["ECDHE-PSK-CHACHA20-POLY1305"];

/// Whoever learns the key later can read what was said before.
const PSK_CIPHERS_WITHOUT_FORWARD_SECRECY: [&str; 3] =
    ["PSK-AES128-GCM-SHA256", "PSK-AES256-GCM-SHA384", "PSK-CHACHA20-POLY1305"];

const GROUPS: &str = "X25519:P-256:P-384";

/// Why no handshakes can be made from this configuration.
#[derive(Debug, Error)]
pub enum ContextError {
    /// A file that should hold certificates holds a broken one.
    #[error("{0}: a certificate is not valid PEM: {1}")]
    BrokenCertificate(&'static str, ErrorStack),
    /// A file that should hold certificates holds none.
    #[error("{0}: there is no certificate in PEM")]
    NoCertificate(&'static str),
    /// The private key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Certificate and key belong to different pairs.
    #[error("the private key does not belong to the certificate")]
    KeyMismatch,
    /// A key that no negotiated cipher suite can use.
    #[error("the certificate's key is neither ECDSA nor RSA")]
    KeyType,
    /// There is neither a certificate nor a pre-shared key.
    #[error("there is neither a certificate with its key nor a pre-shared key")]
    NoIdentity,
    /// What the server's certificate shall be valid for is no name.
    #[error("{0:?} is neither a DNS name nor an IP address")]
    ServerName(String),
    /// OpenSSL refuses something else.
    #[error("OpenSSL: {0}")]
    Openssl(#[from] ErrorStack),
}

/// What a gateway shows, and whom it believes.
#[derive(Clone, Default)]
pub struct AcceptorOptions<'a> {
    /// What it shows, by name and key type; the first of each key type by default.
    pub identities: &'a [Identity],
    /// Whether clients are refused that ask for no name, or for one that no identity has.
    pub require_server_name: bool,
    /// Who has to have issued the certificates of clients; without it they cannot use any.
    pub trust: Option<&'a Trust>,
    /// The keys of clients without a certificate.
    pub psk: Option<Arc<PskTable>>,
    /// Whether a pre-shared key may do alone, without a key exchange.
    pub allow_no_forward_secrecy: bool,
    /// Which sessions it lets clients continue.
    pub sessions: SessionLimits,
}

/// Answers handshakes. Clones share one context.
#[derive(Clone)]
pub struct OpensslAcceptor {
    context: SslContext,
}

impl OpensslAcceptor {
    /// Shows `identities` and requires a client certificate that `client_ca_pem` has issued.
    ///
    /// # Errors
    ///
    /// What of it cannot be used.
    pub fn new(identities: &[Identity], client_ca_pem: &[u8]) -> Result<Self, ContextError> {
        let trust = Trust::new(client_ca_pem)?;
        let options =
            AcceptorOptions { identities, trust: Some(&trust), ..AcceptorOptions::default() };
        Self::with(&options)
    }

    /// Shows and believes what `options` say.
    ///
    /// # Errors
    ///
    /// What of it cannot be used.
    pub fn with(options: &AcceptorOptions<'_>) -> Result<Self, ContextError> {
        let identities: Vec<_> =
            options.identities.iter().map(Loaded::new).collect::<Result<_, _>>()?;
        if identities.is_empty() && options.psk.is_none() {
            return Err(ContextError::NoIdentity);
        }
        let make = |chosen: &[usize]| -> Result<_, ContextError> {
            let mut context = server_context(options)?;
            chosen.iter().try_for_each(|at| identities[*at].install(&mut context))?;
            Ok(context)
        };
        let by_name =
            ByName::new(&identities, |chosen| Ok::<_, ContextError>(make(chosen)?.build()))?;
        let mut context = make(&choice::chosen_by_default(&identities))?;
        by_name.install(&mut context, options.require_server_name);
        Ok(Self { context: context.build() })
    }

    /// How many sessions can be continued now.
    pub fn sessions(&self) -> usize {
        ffi::sessions(&self.context)
    }
}

/// A server's context that shows nothing yet.
fn server_context(options: &AcceptorOptions<'_>) -> Result<SslContextBuilder, ContextError> {
    let mut ciphers = Vec::new();
    if let Some(psk) = &options.psk {
        // Who offers these has a key, and perhaps no certificate: they go before the others.
        ciphers.extend(psk_ciphers(options.allow_no_forward_secrecy));
        ciphers.extend(CERTIFICATE_CIPHERS.iter().filter(|_| options.trust.is_some()));
        let mut context = common_context(SslMethod::dtls_server(), &ciphers)?;
        psk.clone().install(&mut context);
        return believing(context, options);
    }
    ciphers.extend(CERTIFICATE_CIPHERS);
    believing(common_context(SslMethod::dtls_server(), &ciphers)?, options)
}

fn believing(
    mut context: SslContextBuilder,
    options: &AcceptorOptions<'_>,
) -> Result<SslContextBuilder, ContextError> {
    if let Some(trust) = options.trust {
        context.set_cert_store(trust.store()?);
        context.set_client_ca_list(trust.subjects()?);
    }
    context.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    options.sessions.install(&mut context)?;
    // The cookie has been judged before OpenSSL sees its ClientHello, and no other gets here.
    context.set_cookie_verify_cb(|_, _| true);
    context.set_cookie_generate_cb(|_, _| Err(ErrorStack::get()));
    Ok(context)
}

fn psk_ciphers(allow_no_forward_secrecy: bool) -> impl Iterator<Item = &'static str> {
    let without = PSK_CIPHERS_WITHOUT_FORWARD_SECRECY.into_iter();
    PSK_CIPHERS.into_iter().chain(without.filter(move |_| allow_no_forward_secrecy))
}

impl AcceptEngine for OpensslAcceptor {
    type Engine = OpensslEngine;

    fn accept(
        &self,
        _now: Instant,
        local: LocalId,
        client_hello: &[u8],
        max_datagram: usize,
    ) -> Result<OpensslEngine, Failure> {
        OpensslEngine::accept(&self.context, local, client_hello, max_datagram)
    }
}

/// Opens handshakes with one server. Clones share one context.
#[derive(Clone)]
pub struct OpensslConnector {
    context: SslContext,
    /// What ClientHello asks for: a DNS name only (RFC 6066 §3).
    asked_name: Option<String>,
    last_session: LastSession,
}

impl OpensslConnector {
    /// Shows `identity` and requires a certificate for `server_name`, a DNS name or an IP address,
    /// that `server_ca_pem` has issued.
    ///
    /// # Errors
    ///
    /// What of it cannot be used.
    pub fn new(
        identity: &Identity,
        server_ca_pem: &[u8],
        server_name: &str,
    ) -> Result<Self, ContextError> {
        let trust = Trust::new(server_ca_pem)?;
        Self::with_certificates(std::slice::from_ref(identity), &trust, server_name)
    }

    /// Shows that of `identities` which the server accepts, and requires a certificate for
    /// `server_name`, a DNS name or an IP address, that `trust` verifies.
    ///
    /// # Errors
    ///
    /// What of it cannot be used.
    pub fn with_certificates(
        identities: &[Identity],
        trust: &Trust,
        server_name: &str,
    ) -> Result<Self, ContextError> {
        let loaded: Vec<_> = identities.iter().map(Loaded::new).collect::<Result<_, _>>()?;
        if loaded.is_empty() {
            return Err(ContextError::NoIdentity);
        }
        let mut context = common_context(SslMethod::dtls_client(), &CERTIFICATE_CIPHERS)?;
        choice::install_on_client(&mut context, loaded)?;
        context.set_cert_store(trust.store()?);
        context.set_verify(SslVerifyMode::PEER);
        let asked_name = require_name(&mut context, server_name)?;
        Ok(Self { context: context.build(), asked_name, last_session: LastSession::default() })
    }

    /// Shows a pre-shared key, which the server has to have, too. `server_name` is only asked for.
    ///
    /// # Errors
    ///
    /// What of it cannot be used.
    pub fn with_psk(
        identity: &str,
        key: &[u8],
        allow_no_forward_secrecy: bool,
        server_name: &str,
    ) -> Result<Self, ContextError> {
        let ciphers: Vec<_> = psk_ciphers(allow_no_forward_secrecy).collect();
        let mut context = common_context(SslMethod::dtls_client(), &ciphers)?;
        psk::install_on_client(&mut context, identity, key);
        context.set_verify(SslVerifyMode::PEER);
        let asked_name = is_dns_name(server_name).then(|| server_name.to_owned());
        let asked_name = asked_name.filter(|name| name.parse::<IpAddr>().is_err());
        Ok(Self { context: context.build(), asked_name, last_session: LastSession::default() })
    }
}

impl ConnectEngine for OpensslConnector {
    type Engine = OpensslEngine;

    fn connect(
        &self,
        _now: Instant,
        max_datagram: usize,
        replaces: Option<&Replaces>,
    ) -> Result<OpensslEngine, Failure> {
        let name = self.asked_name.as_deref();
        let (context, last_session) = (&self.context, self.last_session.clone());
        OpensslEngine::connect(context, name, max_datagram, replaces, last_session)
    }
}

fn common_context(method: SslMethod, ciphers: &[&str]) -> Result<SslContextBuilder, ErrorStack> {
    let mut context = SslContext::builder(method)?;
    context.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
    context.set_max_proto_version(Some(SslVersion::DTLS1_2))?;
    context.set_cipher_list(&ciphers.join(":"))?;
    context.set_groups_list(GROUPS)?;
    context.set_options(
        SslOptions::NO_RENEGOTIATION
            | SslOptions::NO_COMPRESSION
            | SslOptions::NO_TICKET
            | SslOptions::NO_QUERY_MTU
            | SslOptions::CIPHER_SERVER_PREFERENCE,
    );
    // Else OpenSSL would complete our chain out of the certificates that we trust in peers.
    context.set_mode(SslMode::NO_AUTO_CHAIN);
    context.set_session_cache_mode(SslSessionCacheMode::OFF);
    extension::install(&mut context)?;
    Ok(context)
}

/// Lets only certificates for `server_name` verify, and returns what ClientHello shall ask for.
fn require_name(
    context: &mut SslContextBuilder,
    server_name: &str,
) -> Result<Option<String>, ContextError> {
    let parameters = context.verify_param_mut();
    if let Ok(address) = server_name.parse::<IpAddr>() {
        parameters.set_ip(address)?;
        return Ok(None);
    }
    if !is_dns_name(server_name) {
        return Err(ContextError::ServerName(server_name.to_owned()));
    }
    parameters.set_hostflags(X509CheckFlags::NO_PARTIAL_WILDCARDS);
    parameters.set_host(server_name)?;
    Ok(Some(server_name.to_owned()))
}

/// OpenSSL takes an empty name for "any", and one that begins with a dot for all names below.
fn is_dns_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let characters = label.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        characters && (1..=63).contains(&label.len())
    };
    name.len() <= 253 && name.split('.').all(is_label)
}
