//! Two OpenSSL objects that are the ends of one DTLS 1.2 association in memory.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use openssl::ssl::{
    ErrorCode, Ssl, SslContext, SslContextBuilder, SslFiletype, SslMethod, SslOptions, SslRef,
    SslStream, SslVerifyMode, SslVersion,
};
use tempfile::TempDir;
use xdtls::dev_certs;

/// What each side may write at once, in bytes.
const MTU: u32 = 1460;

/// How often both sides may take turns in a handshake.
const TURNS: usize = 16;

/// Certificates of both ends and of their CA, ECDSA P-256.
pub struct Credentials(TempDir);

impl Credentials {
    /// Makes them.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("xdtls-bench-").tempdir()?;
        dev_certs::write(&dev_certs::Options {
            out: folder.path().to_owned(),
            names: Vec::new(),
            peers: Vec::new(),
            days: 1,
            key_type: dev_certs::KeyType::Ecdsa,
            force: false,
        })?;
        Ok(Self(folder))
    }

    /// Contexts of client and server, with these cipher suites, which ask each other for a
    /// certificate.
    pub fn contexts(&self, ciphers: &str) -> Result<[SslContext; 2]> {
        let client = self.context(SslMethod::dtls_client(), "client", ciphers)?;
        Ok([client, self.context(SslMethod::dtls_server(), "gateway", ciphers)?])
    }

    /// A file of theirs.
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn context(&self, method: SslMethod, name: &str, ciphers: &str) -> Result<SslContext> {
        let file = |name: &str| self.file(name);
        let mut context = SslContextBuilder::new(method)?;
        context.set_min_proto_version(Some(SslVersion::DTLS1_2))?;
        context.set_cipher_list(ciphers)?;
        context.set_groups_list("X25519:P-256")?;
        context.set_certificate_chain_file(file(&format!("{name}.pem")))?;
        context.set_private_key_file(file(&format!("{name}.key")), SslFiletype::PEM)?;
        context.set_ca_file(file("ca.pem"))?;
        context.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        context.set_options(SslOptions::NO_QUERY_MTU | SslOptions::NO_TICKET);
        // Without one, a server continues no session with certificates.
        context.set_session_id_context(b"xdtls-bench")?;
        Ok(context.build())
    }
}

/// One end's datagrams. Their memory is used again.
#[derive(Default)]
pub struct Datagrams {
    incoming: VecDeque<Vec<u8>>,
    outgoing: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
}

impl Datagrams {
    /// Lets a datagram arrive.
    pub fn push(&mut self, datagram: Vec<u8>) {
        self.incoming.push_back(datagram);
    }

    /// The next datagram that was written.
    pub fn pop(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }
}

impl Read for Datagrams {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let datagram = self.incoming.pop_front().ok_or(io::ErrorKind::WouldBlock)?;
        let length = datagram.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram[..length]);
        self.spare.push(datagram);
        Ok(length)
    }
}

impl Write for Datagrams {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut datagram = self.spare.pop().unwrap_or_default();
        datagram.clear();
        datagram.extend_from_slice(bytes);
        self.outgoing.push_back(datagram);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Both ends.
pub struct Pair {
    /// The end that opens.
    pub client: SslStream<Datagrams>,
    /// The end that answers.
    pub server: SslStream<Datagrams>,
}

impl Pair {
    /// New objects of client and server.
    pub fn new([client, server]: &[SslContext; 2]) -> Result<Self> {
        let client = stream(client, SslRef::set_connect_state)?;
        Ok(Self { client, server: self::server(server)? })
    }

    /// Lets both ends take turns until both have finished.
    pub fn handshake(&mut self) -> Result<()> {
        for _ in 0..TURNS {
            let client = step(&mut self.client)?;
            self.deliver();
            let server = step(&mut self.server)?;
            self.deliver_back();
            if client && server {
                return Ok(());
            }
        }
        ensure!(false, "the handshake does not end");
        Ok(())
    }

    /// Hands what the client has written to the server; how many datagrams that is.
    pub fn deliver(&mut self) -> usize {
        hand_over(self.client.get_mut(), self.server.get_mut())
    }

    /// Hands what the server has written to the client.
    pub fn deliver_back(&mut self) -> usize {
        hand_over(self.server.get_mut(), self.client.get_mut())
    }
}

/// A new object that answers.
pub fn server(context: &SslContext) -> Result<SslStream<Datagrams>> {
    stream(context, SslRef::set_accept_state)
}

fn stream(context: &SslContext, begin: fn(&mut SslRef)) -> Result<SslStream<Datagrams>> {
    let mut ssl = Ssl::new(context)?;
    ssl.set_mtu(MTU)?;
    begin(&mut ssl);
    Ok(SslStream::new(ssl, Datagrams::default())?)
}

/// Goes on with a handshake; whether it is complete.
pub fn step(stream: &mut SslStream<Datagrams>) -> Result<bool> {
    match stream.do_handshake() {
        Ok(()) => Ok(true),
        Err(error) if error.code() == ErrorCode::WANT_READ => Ok(false),
        Err(error) => Err(error).context("the handshake in memory has failed"),
    }
}

fn hand_over(from: &mut Datagrams, to: &mut Datagrams) -> usize {
    let count = from.outgoing.len();
    to.incoming.append(&mut from.outgoing);
    from.spare.append(&mut to.spare);
    count
}
