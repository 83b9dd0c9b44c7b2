//! What all handshakes of one configuration share: protocol options, trust, and the rest of what an
//! OpenSSL context holds.

use std::net::IpAddr;
use std::time::Instant;

use openssl::error::ErrorStack;
use openssl::ssl::{
    SslContext, SslContextBuilder, SslMethod, SslMode, SslOptions, SslSessionCacheMode,
    SslVerifyMode, SslVersion,
};
use openssl::x509::verify::X509CheckFlags;
use thiserror::Error;
use xdtls_proto::engine::{AcceptEngine, ConnectEngine};
use xdtls_proto::failure::Failure;
use xdtls_proto::rekey::Replaces;

use super::credentials::{Identity, authorities, store, subjects, use_identity};
use super::engine::OpensslEngine;
use super::extension;
use super::key::KeyError;

/// The cheapest to seal and open comes first; the server's order decides.
const CIPHERS: &str = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:\
    ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:\
    ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";

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
    /// A context has room for one certificate a key type.
    #[error("there are two certificates with {0} keys")]
    SameKeyType(&'static str),
    /// There is no certificate at all.
    #[error("there is no certificate")]
    NoIdentity,
    /// What the server's certificate shall be valid for is no name.
    #[error("{0:?} is neither a DNS name nor an IP address")]
    ServerName(String),
    /// OpenSSL refuses something else.
    #[error("OpenSSL: {0}")]
    Openssl(#[from] ErrorStack),
}

/// Answers handshakes. Clones share one context.
#[derive(Clone)]
pub struct OpensslAcceptor {
    context: SslContext,
}

impl OpensslAcceptor {
    /// Shows one of `identities` (at most one a key type) and requires a client certificate that
    /// `client_ca_pem` has issued.
    pub fn new(identities: &[Identity], client_ca_pem: &[u8]) -> Result<Self, ContextError> {
        let mut context = common_context(SslMethod::dtls_server())?;
        if identities.is_empty() {
            return Err(ContextError::NoIdentity);
        }
        let mut used = Vec::new();
        for identity in identities {
            let key_type = use_identity(&mut context, identity)?;
            if used.contains(&key_type) {
                return Err(ContextError::SameKeyType(key_type));
            }
            used.push(key_type);
        }
        let authorities = authorities(client_ca_pem)?;
        context.set_cert_store(store(&authorities)?);
        context.set_client_ca_list(subjects(&authorities)?);
        context.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        // The cookie has been judged before OpenSSL sees its ClientHello, and no other gets here.
        context.set_cookie_verify_cb(|_, _| true);
        context.set_cookie_generate_cb(|_, _| Err(ErrorStack::get()));
        Ok(Self { context: context.build() })
    }
}

impl AcceptEngine for OpensslAcceptor {
    type Engine = OpensslEngine;

    fn accept(
        &self,
        _now: Instant,
        client_hello: &[u8],
        max_datagram: usize,
    ) -> Result<OpensslEngine, Failure> {
        OpensslEngine::accept(&self.context, client_hello, max_datagram)
    }
}

/// Opens handshakes with one server. Clones share one context.
#[derive(Clone)]
pub struct OpensslConnector {
    context: SslContext,
    /// What ClientHello asks for: a DNS name only (RFC 6066 §3).
    asked_name: Option<String>,
}

impl OpensslConnector {
    /// Shows `identity` and requires a certificate for `server_name`, a DNS name or an IP address,
    /// that `server_ca_pem` has issued.
    pub fn new(
        identity: &Identity,
        server_ca_pem: &[u8],
        server_name: &str,
    ) -> Result<Self, ContextError> {
        let mut context = common_context(SslMethod::dtls_client())?;
        use_identity(&mut context, identity)?;
        context.set_cert_store(store(&authorities(server_ca_pem)?)?);
        context.set_verify(SslVerifyMode::PEER);
        let asked_name = require_name(&mut context, server_name)?;
        Ok(Self { context: context.build(), asked_name })
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
        OpensslEngine::connect(&self.context, self.asked_name.as_deref(), max_datagram, replaces)
    }
}

fn common_context(method: SslMethod) -> Result<SslContextBuilder, ErrorStack> {
    let mut context = SslContext::builder(method)?;
    context.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
    context.set_max_proto_version(Some(SslVersion::DTLS1_2))?;
    context.set_cipher_list(CIPHERS)?;
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
