//! What a handshake engine without OpenSSL says, and what makes such engines.

use std::cell::RefCell;
use std::time::Instant;

use xdtls_common::client_hello::ClientHello;
use xdtls_common::cursor::SliceCursor;
use xdtls_common::id::LocalId;
use xdtls_common::record::HEADER_LEN;
use xdtls_proto::engine::{AcceptEngine, ConnectEngine};
use xdtls_proto::failure::{Failure, FailureClass};
use xdtls_proto::keys::Role;
use xdtls_proto::rekey::Replaces;
use xdtls_proto::suite::CipherSuite;

use super::engine::ScriptedEngine;
use super::messages::{self, Hello};
use super::rng::Rng;

/// What one end says. Of suites the client offers all and the server takes the first it knows.
#[derive(Clone)]
pub(crate) struct Script {
    pub(crate) suites: Vec<CipherSuite>,
    pub(crate) extension: bool,
    pub(crate) extended_master_secret: bool,
    /// The client names a session, and the server, which knows all of them, sends Finished first.
    pub(crate) resumed: bool,
    /// The server knows nothing of associations that replace others.
    pub(crate) keeps_associations: bool,
    /// What the certificate is made out to.
    pub(crate) name: &'static str,
    /// Whether each record of a flight travels alone.
    pub(crate) record_per_datagram: bool,
}

impl Script {
    pub(crate) fn new(name: &'static str) -> Self {
        Self {
            suites: vec![CipherSuite::EcdheEcdsaAes128Gcm],
            extension: true,
            extended_master_secret: true,
            resumed: false,
            keeps_associations: false,
            name,
            record_per_datagram: false,
        }
    }

    /// The hello that opens with this script.
    pub(crate) fn hello(&self, random: [u8; 32]) -> Hello {
        Hello {
            random,
            session_id: if self.resumed { self.name.into() } else { Vec::new() },
            cookie: Vec::new(),
            suites: self.suites.clone(),
            extended_master_secret: self.extended_master_secret,
            extension: self.extension,
            rekey_token: None,
            answerer: None,
        }
    }
}

/// Makes engines of either role.
pub(crate) struct Scripted {
    script: Script,
    rng: RefCell<Rng>,
}

impl Scripted {
    pub(crate) fn new(script: Script, rng: Rng) -> Self {
        Self { script, rng: RefCell::new(rng) }
    }

    fn engine(&self, role: Role, replaces: Option<&Replaces>) -> ScriptedEngine {
        ScriptedEngine::new(role, self.script.clone(), replaces, &mut self.rng.borrow_mut())
    }
}

impl ConnectEngine for Scripted {
    type Engine = ScriptedEngine;

    fn connect(
        &self,
        now: Instant,
        _max_datagram: usize,
        replaces: Option<&Replaces>,
    ) -> Result<ScriptedEngine, Failure> {
        let mut engine = self.engine(Role::Client, replaces);
        engine.send_client_hello(now);
        Ok(engine)
    }
}

impl AcceptEngine for Scripted {
    type Engine = ScriptedEngine;

    fn accept(
        &self,
        now: Instant,
        local: LocalId,
        client_hello: &[u8],
        _max_datagram: usize,
    ) -> Result<ScriptedEngine, Failure> {
        let parsed = ClientHello::parse(&mut SliceCursor::new(client_hello)).unwrap();
        let (_, body) = messages::parse_message(&client_hello[HEADER_LEN..]).unwrap();
        let hello = Hello::parse_client(body)
            .map_err(|_| FailureClass::Protocol.because("the ClientHello is cut"))?;
        let mut engine = self.engine(Role::Server, None);
        engine.answer_client_hello(now, local, parsed.record_sequence, hello);
        Ok(engine)
    }
}
