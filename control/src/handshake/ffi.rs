//! The OpenSSL calls that the `openssl` crate lacks, each behind a safe function.
//!
//! All of them take the stream or the builder that owns the object, so nobody else is inside of it.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long, c_uchar, c_uint, c_void};
use std::ptr;
use std::time::Duration;

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::pkey::{PKeyRef, Private};
use openssl::ssl::{SslContextBuilder, SslContextRef, SslRef, SslSessionRef, SslStream};
use openssl::stack::StackRef;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509CrlRef, X509Ref};
use openssl_sys::{
    EVP_PKEY, SSL, SSL_CTRL_CHAIN_CERT, SSL_CTX, SSL_CTX_ctrl, SSL_ctrl, SSL_get_extms_support,
    X509_CRL, X509_STORE, stack_st_X509,
};

use super::choice;

/// `DTLS_CTRL_GET_TIMEOUT` of `openssl/ssl.h`.
const DTLS_CTRL_GET_TIMEOUT: c_int = 73;

/// `DTLS_CTRL_HANDLE_TIMEOUT` of `openssl/ssl.h`.
const DTLS_CTRL_HANDLE_TIMEOUT: c_int = 74;

/// `SSL_CTRL_SESS_NUMBER` of `openssl/ssl.h`.
const SSL_CTRL_SESS_NUMBER: c_int = 20;

/// What the first retransmission of a flight waits for.
const INITIAL_TIMEOUT_US: c_uint = 400_000;

/// What waiting grows to by doubling. OpenSSL calls everything under 15 ms expired, so that a
/// callback which returned less would retransmit without end.
const MAX_TIMEOUT_US: c_uint = 6_400_000;

/// The longest that a timer is set to.
pub(super) const MAX_TIMEOUT: Duration = Duration::from_micros(MAX_TIMEOUT_US as u64);

/// `BIO_ADDR`, which `openssl-sys` declares only for OpenSSL 3.2 and later.
#[repr(C)]
struct BioAddr {
    _opaque: [u8; 0],
}

/// `X509_PUBKEY`, a certificate's SubjectPublicKeyInfo.
#[repr(C)]
struct X509Pubkey {
    _opaque: [u8; 0],
}

/// `struct timeval`.
#[repr(C)]
#[derive(Default)]
struct Timeval {
    seconds: c_long,
    microseconds: c_long,
}

// Elsewhere `time_t` may be wider than `long`.
const _: () = assert!(cfg!(all(target_os = "linux", target_pointer_width = "64")));

type TimerCallback = extern "C" fn(*mut SSL, c_uint) -> c_uint;

type CertificateCallback = extern "C" fn(*mut SSL, *mut c_void) -> c_int;

unsafe extern "C" {
    fn SSL_CTX_set_timeout(context: *mut SSL_CTX, seconds: c_long) -> c_long;
    fn DTLSv1_listen(ssl: *mut SSL, peer: *mut BioAddr) -> c_int;
    fn DTLS_set_timer_cb(ssl: *mut SSL, callback: TimerCallback);
    fn BIO_ADDR_new() -> *mut BioAddr;
    fn BIO_ADDR_free(address: *mut BioAddr);
    fn SSL_CTX_set_cert_cb(
        context: *mut SSL_CTX,
        callback: CertificateCallback,
        argument: *mut c_void,
    );
    fn SSL_check_chain(
        ssl: *mut SSL,
        certificate: *mut openssl_sys::X509,
        key: *mut EVP_PKEY,
        chain: *mut stack_st_X509,
    ) -> c_int;
    fn SSL_use_cert_and_key(
        ssl: *mut SSL,
        certificate: *mut openssl_sys::X509,
        key: *mut EVP_PKEY,
        chain: *mut stack_st_X509,
        replace: c_int,
    ) -> c_int;
    fn X509_STORE_add_crl(store: *mut X509_STORE, crl: *mut X509_CRL) -> c_int;
    fn X509_get_X509_PUBKEY(certificate: *const openssl_sys::X509) -> *mut X509Pubkey;
    fn i2d_X509_PUBKEY(key: *const X509Pubkey, out: *mut *mut c_uchar) -> c_int;
}

/// The wait that follows `previous_us`, 0 where there was none.
extern "C" fn next_timeout_us(_ssl: *mut SSL, previous_us: c_uint) -> c_uint {
    match previous_us {
        0 => INITIAL_TIMEOUT_US,
        _ => previous_us.saturating_mul(2).min(MAX_TIMEOUT_US),
    }
}

/// Gives the object our retransmission timer.
pub(super) fn set_retransmission_timer(ssl: &mut SslRef) {
    // SAFETY: the object is alive, and the callback is a function that keeps nothing.
    unsafe { DTLS_set_timer_cb(ssl.as_ptr(), next_timeout_us) }
}

/// Reads one datagram, which has to be a ClientHello with a cookie, and places the object behind
/// it, whichever message_seq (0 or 1) and record sequence it came with.
pub(super) fn listen<S>(stream: &mut SslStream<S>) -> Result<(), ErrorStack> {
    let ssl = stream.ssl().as_ptr();
    // SAFETY: the address is made, checked, lent for one call and freed here; the exclusive borrow
    // of the stream covers the object and the BIO that it reads.
    let outcome = unsafe {
        let peer = BIO_ADDR_new();
        if peer.is_null() {
            return Err(ErrorStack::get());
        }
        let outcome = DTLSv1_listen(ssl, peer);
        BIO_ADDR_free(peer);
        outcome
    };
    if outcome == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// How long until [`handle_timeout`] has work; `None` while no flight is waiting for an answer. More
/// than [`MAX_TIMEOUT`] where the time of day has been set back since.
pub(super) fn time_left(ssl: &SslRef) -> Option<Duration> {
    let mut left = Timeval::default();
    // SAFETY: this control only reads the object and writes one `struct timeval`, whose layout is
    // asserted above.
    let running = unsafe {
        let left = ptr::from_mut(&mut left).cast::<c_void>();
        SSL_ctrl(ssl.as_ptr(), DTLS_CTRL_GET_TIMEOUT, 0, left) == 1
    };
    let seconds = Duration::from_secs(left.seconds.try_into().ok()?);
    let microseconds = Duration::from_micros(left.microseconds.try_into().ok()?);
    running.then_some(seconds + microseconds)
}

/// Retransmits the last flight if its time has come. An error ends the handshake.
pub(super) fn handle_timeout<S>(stream: &mut SslStream<S>) -> Result<(), ErrorStack> {
    let ssl = stream.ssl().as_ptr();
    // SAFETY: the exclusive borrow of the stream covers the object and the BIO that it writes.
    let outcome = unsafe { SSL_ctrl(ssl, DTLS_CTRL_HANDLE_TIMEOUT, 0, ptr::null_mut()) };
    if outcome >= 0 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// Lets sessions be continued for so long.
pub(super) fn set_session_lifetime(context: &mut SslContextBuilder, lifetime: Duration) {
    let seconds = lifetime.as_secs().try_into().unwrap_or(c_long::MAX);
    // SAFETY: the context is alive and this only writes one number of it.
    unsafe { SSL_CTX_set_timeout(context.as_ptr(), seconds) };
}

/// How many sessions a context keeps.
pub(super) fn sessions(context: &SslContextRef) -> usize {
    // SAFETY: this control only reads the context.
    let count = unsafe { SSL_CTX_ctrl(context.as_ptr(), SSL_CTRL_SESS_NUMBER, 0, ptr::null_mut()) };
    usize::try_from(count).unwrap_or(0)
}

/// Lets an object that opens ask to continue a session.
pub(super) fn offer_session(ssl: &mut SslRef, session: &SslSessionRef) -> Result<(), ErrorStack> {
    // SAFETY: a connector's sessions come from objects of its own context, and no other object is
    // offered them.
    unsafe { ssl.set_session(session) }
}

/// Whether both sides negotiated the extended master secret (RFC 7627).
pub(super) fn has_extended_master_secret(ssl: &SslRef) -> bool {
    // SAFETY: this control only reads the object.
    unsafe { SSL_get_extms_support(ssl.as_ptr()) == 1 }
}

/// Adds an intermediate certificate to the key type that was set last. The `openssl` crate has only
/// the call that adds it to all key types.
pub(super) fn add_chain_certificate(
    context: &mut SslContextBuilder,
    certificate: &X509Ref,
) -> Result<(), ErrorStack> {
    /// The context takes a reference of its own.
    const ADD_REFERENCE: c_long = 1;
    let certificate = certificate.as_ptr().cast::<c_void>();
    // SAFETY: both objects are alive, and the context counts its own reference to the certificate.
    let outcome =
        unsafe { SSL_CTX_ctrl(context.as_ptr(), SSL_CTRL_CHAIN_CERT, ADD_REFERENCE, certificate) };
    if outcome == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// Adds a list of revoked certificates to those that a store asks.
pub(super) fn add_crl(store: &mut X509StoreBuilder, crl: &X509CrlRef) -> Result<(), ErrorStack> {
    // SAFETY: both objects are alive, and the store counts its own reference to the list.
    let outcome = unsafe { X509_STORE_add_crl(store.as_ptr(), crl.as_ptr()) };
    if outcome == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

/// Makes clients of a context choose their certificate when the server asks for one.
pub(super) fn set_certificate_callback(context: &mut SslContextBuilder) {
    // SAFETY: the context is alive, and the callback is a function that needs no argument.
    unsafe { SSL_CTX_set_cert_cb(context.as_ptr(), certificate_wanted, ptr::null_mut()) }
}

extern "C" fn certificate_wanted(ssl: *mut SSL, _argument: *mut c_void) -> c_int {
    // SAFETY: OpenSSL calls with an object that is alive and that nobody else uses meanwhile.
    let ssl = unsafe { SslRef::from_ptr_mut(ssl) };
    choice::show_on_client(ssl).into()
}

/// Whether a server accepts a certificate, by what its CertificateRequest says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suitable {
    /// It names its issuer too.
    Fully,
    /// It can verify its signatures.
    BySignature,
    Not,
}

/// Compares a certificate with the CertificateRequest that an object has received.
pub(super) fn check_chain(
    ssl: &mut SslRef,
    certificate: &X509Ref,
    key: &PKeyRef<Private>,
    chain: &StackRef<X509>,
) -> Suitable {
    // Of `openssl/ssl.h`: CERT_PKEY_VALID, _EXPLICIT_SIGN, _CERT_TYPE, and _ISSUER_NAME.
    const BY_SIGNATURE: c_int = 0x1 | 0x100 | 0x400;
    const FULLY: c_int = BY_SIGNATURE | 0x200;
    // SAFETY: all objects are alive, and OpenSSL only reads them and notes what it finds in `ssl`.
    let found = unsafe {
        SSL_check_chain(ssl.as_ptr(), certificate.as_ptr(), key.as_ptr(), chain.as_ptr())
    };
    match found {
        _ if found & FULLY == FULLY => Suitable::Fully,
        _ if found & BY_SIGNATURE == BY_SIGNATURE => Suitable::BySignature,
        _ => Suitable::Not,
    }
}

/// A certificate's SubjectPublicKeyInfo in DER, as it stands there. To encode the key anew takes
/// OpenSSL 3.0 several times as long as all the rest of a resumed handshake.
pub(super) fn public_key_info(certificate: &X509Ref) -> Result<Vec<u8>, ErrorStack> {
    // SAFETY: the certificate is alive and lends its key, which is only read. The first call asks for
    // the length, the second writes that much.
    unsafe {
        let key = X509_get_X509_PUBKEY(certificate.as_ptr());
        let length = i2d_X509_PUBKEY(key, ptr::null_mut());
        let Some(length) = usize::try_from(length).ok().filter(|length| *length > 0) else {
            return Err(ErrorStack::get());
        };
        let mut der = vec![0; length];
        let mut at = der.as_mut_ptr();
        i2d_X509_PUBKEY(key, &mut at);
        Ok(der)
    }
}

/// Lets an object show a certificate.
pub(super) fn use_certificate_and_key(
    ssl: &mut SslRef,
    certificate: &X509Ref,
    key: &PKeyRef<Private>,
    chain: &StackRef<X509>,
) -> Result<(), ErrorStack> {
    const REPLACE: c_int = 1;
    // SAFETY: all objects are alive, and `ssl` counts its own references to certificate and key and
    // copies the chain.
    let outcome = unsafe {
        let (certificate, key) = (certificate.as_ptr(), key.as_ptr());
        SSL_use_cert_and_key(ssl.as_ptr(), certificate, key, chain.as_ptr(), REPLACE)
    };
    if outcome == 1 { Ok(()) } else { Err(ErrorStack::get()) }
}

#[cfg(test)]
mod tests {
    use openssl::ec::{EcGroup, EcKey};
    use openssl::nid::Nid;
    use openssl::pkey::PKey;
    use openssl::rsa::Rsa;

    use super::*;

    #[test]
    fn a_key_stands_in_its_certificate_as_it_is_encoded() {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let ec = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let rsa = PKey::from_rsa(Rsa::generate(2048).unwrap()).unwrap();
        for key in [ec, rsa] {
            let mut certificate = X509::builder().unwrap();
            certificate.set_pubkey(&key).unwrap();
            let found = public_key_info(&certificate.build()).unwrap();
            assert_eq!(found, key.public_key_to_der().unwrap());
        }
    }

    #[test]
    fn timeouts_double_up_to_their_cap() {
        let mut waits = vec![next_timeout_us(ptr::null_mut(), 0)];
        for _ in 0..6 {
            let previous = *waits.last().unwrap();
            waits.push(next_timeout_us(ptr::null_mut(), previous));
        }
        let expected_ms = [400, 800, 1600, 3200, 6400, 6400, 6400];
        assert_eq!(waits, expected_ms.map(|ms| ms * 1000));
    }
}
