//! A DTLS client and a server that are not ours: plain OpenSSL with whatever options a test gives.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Instant;

use openssl::nid::Nid;
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslMethod, SslRef, SslStream, SslVersion,
};
use xdtls_common::extension::EXTENSION_TYPE;
use xdtls_proto::engine::{Engine, Finished, Progress};
use xdtls_proto::failure::{Failure, FailureClass};

use crate::pair::{local, split};
use crate::pki::Leaf;

/// A client that trusts anybody, shows `leaf` and has what `configure` adds.
pub(crate) fn client(
    leaf: Option<&Leaf>,
    configure: impl FnOnce(&mut SslContextBuilder),
) -> ForeignClient {
    client_asking(None, leaf, configure)
}

/// The same, which asks for a server name.
pub(crate) fn client_asking(
    server_name: Option<&str>,
    leaf: Option<&Leaf>,
    configure: impl FnOnce(&mut SslContextBuilder),
) -> ForeignClient {
    let mut context = SslContext::builder(SslMethod::dtls_client()).unwrap();
    context.set_min_proto_version(Some(SslVersion::DTLS1_2)).unwrap();
    if let Some(leaf) = leaf {
        context.set_certificate(&leaf.certificate).unwrap();
        context.set_private_key(&leaf.key).unwrap();
    }
    configure(&mut context);
    let mut ssl = Ssl::new(&context.build()).unwrap();
    ssl.set_connect_state();
    if let Some(name) = server_name {
        ssl.set_hostname(name).unwrap();
    }
    ssl.set_mtu(1300).unwrap();
    let mut stream = SslStream::new(ssl, Queues::default()).unwrap();
    assert_eq!(stream.do_handshake().unwrap_err().code(), ErrorCode::WANT_READ);
    ForeignClient { stream, progress: Progress::Pending }
}

/// The common name of the certificate that `client` shows to a server with `leaf` and what
/// `configure` adds; empty if it shows none. The server asks for no cookie.
pub(crate) fn common_name_shown_by(
    mut client: impl Engine,
    leaf: &Leaf,
    configure: impl FnOnce(&mut SslContextBuilder),
) -> String {
    let mut context = SslContext::builder(SslMethod::dtls_server()).unwrap();
    context.set_certificate(&leaf.certificate).unwrap();
    context.set_private_key(&leaf.key).unwrap();
    configure(&mut context);
    let mut ssl = Ssl::new(&context.build()).unwrap();
    ssl.set_accept_state();
    ssl.set_mtu(1300).unwrap();
    let mut server = SslStream::new(ssl, Queues::default()).unwrap();
    while let Some(datagram) = client.poll_transmit() {
        server.get_mut().incoming.push_back(datagram);
        // How it ends is told by what the client has shown.
        let _ = server.do_handshake();
        while let Some(datagram) = server.get_mut().outgoing.pop_front() {
            for (_, record) in split(&datagram) {
                client.handle_record(Instant::now(), &record);
            }
        }
    }
    common_name(server.ssl())
}

fn common_name(ssl: &SslRef) -> String {
    let Some(certificate) = ssl.peer_certificate() else { return String::new() };
    let entry = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next();
    entry.unwrap().data().to_string().unwrap()
}

/// Offers the xdtls extension with any body.
pub(crate) fn offer_extension(context: &mut SslContextBuilder, body: &'static [u8]) {
    use openssl::ssl::ExtensionContext as Context;
    let messages = Context::CLIENT_HELLO | Context::TLS1_2_SERVER_HELLO;
    context
        .add_custom_ext(
            EXTENSION_TYPE,
            messages,
            move |_, _, _| Ok(Some(body)),
            |_, _, answer, _| {
                let id = local().value().to_be_bytes();
                assert_eq!(answer, [&[1, 0][..], &id].concat());
                Ok(())
            },
        )
        .unwrap();
}

#[derive(Default)]
struct Queues {
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
}

impl Read for Queues {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.incoming.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        buffer[..datagram.len()].copy_from_slice(&datagram);
        Ok(datagram.len())
    }
}

impl Write for Queues {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.outgoing.push_back(datagram.to_vec());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// It has no timers and is never asked for its keys.
pub(crate) struct ForeignClient {
    stream: SslStream<Queues>,
    progress: Progress,
}

impl ForeignClient {
    /// The common name of the certificate that the server has shown.
    pub(crate) fn server_common_name(&self) -> String {
        common_name(self.stream.ssl())
    }
}

impl Engine for ForeignClient {
    fn handle_record(&mut self, _now: Instant, record: &[u8]) {
        self.stream.get_mut().incoming.push_back(record.to_vec());
        self.progress = match self.stream.do_handshake() {
            Ok(()) => Progress::Complete,
            Err(error) if error.code() == ErrorCode::WANT_READ => Progress::Pending,
            Err(error) => Progress::Failed(FailureClass::Protocol.because(error.to_string())),
        };
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn deadline(&self, _now: Instant) -> Option<Instant> {
        None
    }

    fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.stream.get_mut().outgoing.pop_front()
    }

    fn progress(&self) -> Progress {
        self.progress.clone()
    }

    fn finish(self) -> Result<Finished, Failure> {
        Err(FailureClass::Internal.because("nobody asks a foreign client"))
    }
}
