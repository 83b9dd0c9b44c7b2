//! The OpenSSL calls that the `openssl` crate lacks, each behind a safe function.
//!
//! All of them take the stream or the builder that owns the object, so nobody else is inside of it.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long, c_uint, c_void};
use std::ptr;
use std::time::Duration;

use foreign_types::ForeignTypeRef;
use openssl::error::ErrorStack;
use openssl::ssl::{SslContextBuilder, SslRef, SslStream};
use openssl::x509::X509Ref;
use openssl_sys::{SSL, SSL_CTRL_CHAIN_CERT, SSL_CTX_ctrl, SSL_ctrl, SSL_get_extms_support};

/// `DTLS_CTRL_GET_TIMEOUT` of `openssl/ssl.h`.
const DTLS_CTRL_GET_TIMEOUT: c_int = 73;

/// `DTLS_CTRL_HANDLE_TIMEOUT` of `openssl/ssl.h`.
const DTLS_CTRL_HANDLE_TIMEOUT: c_int = 74;

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

unsafe extern "C" {
    fn DTLSv1_listen(ssl: *mut SSL, peer: *mut BioAddr) -> c_int;
    fn DTLS_set_timer_cb(ssl: *mut SSL, callback: TimerCallback);
    fn BIO_ADDR_new() -> *mut BioAddr;
    fn BIO_ADDR_free(address: *mut BioAddr);
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

#[cfg(test)]
mod tests {
    use super::*;

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
