//! Two peers that may both open.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use xdtls_tests::{
    ClientOptions, End, Lab, Node, PATIENCE, PeerConfig, Status, bind_link_program, eventually,
    exchange, prepare_peers,
};

/// How often both start at once.
const ROUNDS: usize = 3;

/// How often each program sends.
const SEND_EVERY: Duration = Duration::from_millis(20);

/// Local programs at both ends, numbering what they send.
struct Talk {
    programs: [UdpSocket; 2],
    sent: u32,
    /// By the end that is to hear it.
    missing: [BTreeSet<u32>; 2],
    /// By the end that has heard it.
    heard: [BTreeSet<u32>; 2],
}

impl Talk {
    fn new(lab: &Lab) -> Result<Self> {
        let programs = [bind_link_program(lab, End::Alpha)?, bind_link_program(lab, End::Beta)?];
        for program in &programs {
            program.set_nonblocking(true)?;
        }
        Ok(Self { programs, sent: 0, missing: Default::default(), heard: Default::default() })
    }

    /// Both send once.
    fn send(&mut self) -> Result<()> {
        for end in [0, 1] {
            self.sent += 1;
            self.programs[end].send(&self.sent.to_be_bytes())?;
            self.missing[1 - end].insert(self.sent);
        }
        Ok(())
    }

    /// Takes what has come; nothing may come twice.
    fn hear(&mut self) -> Result<()> {
        for end in [0, 1] {
            let mut buffer = [0; 100];
            while let Ok(length) = self.programs[end].recv(&mut buffer) {
                let number = buffer[..length].try_into().map(u32::from_be_bytes)?;
                ensure!(self.heard[end].insert(number), "{number} has come twice");
                self.missing[end].remove(&number);
            }
        }
        Ok(())
    }

    /// Talks until both nodes hold for the condition.
    fn until(&mut self, what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            for _ in 0..10 {
                self.send()?;
                std::thread::sleep(SEND_EVERY);
                self.hear()?;
            }
            if holds()? {
                return Ok(());
            }
            ensure!(Instant::now() < end, "not within {PATIENCE:?}: {what}");
        }
    }

    fn missing(&self) -> usize {
        self.missing.iter().map(BTreeSet::len).sum()
    }

    /// Forgets what may have been lost; it may still come.
    fn forget(&mut self) {
        self.missing.iter_mut().for_each(BTreeSet::clear);
    }

    /// Waits until nothing is missing but `lost`.
    fn nothing_is_missing_but(&mut self, lost: u64) -> Result<()> {
        eventually("all that was sent", PATIENCE, || {
            self.hear()?;
            Ok((self.missing() as u64 <= lost).then_some(()))
        })?;
        ensure!(self.missing() as u64 == lost, "{} are missing, not {lost}", self.missing());
        Ok(())
    }
}

/// Both have one association and no handshake, and it is the same.
fn have_converged(nodes: &[Node; 2]) -> Result<bool> {
    for node in nodes {
        let status = node.status()?;
        if status.associations() != 1 || status.count("half_open")? != 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What found no association yet, and more than may wait of it.
fn overflowed(nodes: &[Node; 2]) -> Result<u64> {
    let of = |node: &Node| Ok(node.status()?.dropped("connect_queue_full"));
    nodes.iter().map(of).sum()
}

/// ```text
///   program ─ 5001 xdtls peer alpha ════ xdtls peer beta 5001 ─ program
///           ─ 6001     :4433                 :4433       6001 ─
/// ```
/// Both start at the same moment, again and again. In between one is killed and comes back.
pub(crate) fn two_that_start_at_once_end_with_one_association(lab: &Lab) -> Result<()> {
    prepare_peers(lab)?;
    let mut talk = Talk::new(lab)?;
    for round in 0..ROUNDS {
        let config = PeerConfig { workers: 1 + round % 2, ..PeerConfig::default() };
        let nodes = config.start_both(lab)?;
        talk.until("one association at both ends", || have_converged(&nodes))?;
        talk.nothing_is_missing_but(overflowed(&nodes)?)?;
        talk.forget();
        for (node, end) in nodes.iter().zip(End::BOTH) {
            let listed = node.ask(&["associations", "list"])?;
            let name = end.other().name();
            ensure!(listed.matches(name).count() == 2, "certificate and link: {listed}");
            ensure!(node.status()?.says("role", "peer"), "it does not say that it is a peer");
        }
        nodes.into_iter().try_for_each(Node::terminate)?;
    }
    Ok(())
}

/// One of two is killed, and comes back while the other has not noticed.
pub(crate) fn a_killed_peer_comes_back(lab: &Lab) -> Result<()> {
    prepare_peers(lab)?;
    let mut talk = Talk::new(lab)?;
    let config = PeerConfig { workers: 2, ..PeerConfig::default() };
    let mut nodes = config.start_both(lab)?;
    talk.until("one association at both ends", || have_converged(&nodes))?;
    for end in [1, 0] {
        let [alpha, beta] = nodes;
        let (killed, other) = if end == 0 { (alpha, beta) } else { (beta, alpha) };
        killed.kill()?;
        let before = other.status()?.count("opened")?;
        let back = config.start(lab, End::BOTH[end])?;
        talk.until("datagrams both ways", || {
            let opened = |node: &Node| node.status()?.count("opened");
            Ok(opened(&back)? > 0 && opened(&other)? > before)
        })?;
        nodes = if end == 0 { [back, other] } else { [other, back] };
        talk.forget();
        talk.until("one association at both ends", || have_converged(&nodes))?;
        talk.nothing_is_missing_but(0)?;
    }
    nodes.into_iter().try_for_each(Node::terminate)
}

/// ```text
///   program ─ xdtls connect ═╗
///   program ─ xdtls peer ════╩═ xdtls peer ─┬─ program
///                                           └─ udp-echo
/// ```
pub(crate) fn a_peer_is_a_gateway_too(lab: &Lab) -> Result<()> {
    prepare_peers(lab)?;
    let _echo = lab.start_echo(9000, None)?;
    let alpha = PeerConfig::default().start(lab, End::Alpha)?;
    let backend = lab.backend_address(9000);
    let tables = format!(
        "[[backend]]\nname = \"app\"\naddress = \"{backend}\"\n[forward]\ndefault_backend = \"app\""
    );
    let beta = PeerConfig { tables, ..PeerConfig::default() }.start(lab, End::Beta)?;
    let client = ClientOptions { server_name: "beta", ..ClientOptions::default() }.start(lab)?;
    lab.probe(&client, &["--sockets", "3", "--count", "300"])?.ensure_clean(300)?;
    let up = |status: &Status| status.associations() == 4;
    beta.wait_until("three of the client and one of the link", up)?;
    let program = bind_link_program(lab, End::Alpha)?;
    let echo = bind_link_program(lab, End::Beta)?;
    program.send(b"by the link")?;
    let mut buffer = [0; 100];
    let length = echo.recv(&mut buffer)?;
    echo.send(&buffer[..length])?;
    ensure!(program.recv(&mut buffer)? == length, "the answer is of another length");
    let told = beta.ask(&["reload"])?;
    ensure!(!told.contains("restart"), "{told}");
    let listed = beta.ask(&["associations", "list"])?;
    ensure!(listed.contains("app") && listed.contains("alpha"), "{listed}");
    let another = lab.bind_program(&client)?;
    exchange(&another, b"after the reload")?;
    alpha.terminate()?;
    beta.wait_for_associations(4)?;
    client.terminate()?;
    beta.terminate()
}

/// Whoever has the right address and the wrong name is refused, and so is the node itself.
pub(crate) fn strangers_and_the_node_itself_are_no_peers(lab: &Lab) -> Result<()> {
    prepare_peers(lab)?;
    let expecting = PeerConfig { expects: Some("gamma"), ..PeerConfig::default() };
    let alpha = expecting.start(lab, End::Alpha)?;
    let beta = PeerConfig::default().start(lab, End::Beta)?;
    alpha.wait_for_log("handshake failed", PATIENCE)?;
    beta.wait_for_log("handshake failed", PATIENCE)?;
    ensure!(alpha.status()?.associations() == 0 && beta.status()?.associations() == 0, "refused");
    beta.terminate()?;
    let towards = Some((lab.gateway_address().ip(), 4433).into());
    let itself = PeerConfig { towards, ..PeerConfig::default() };
    let output = itself.command(lab, End::Beta)?.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    let clear = "its address is this node itself: give the peer\'s";
    ensure!(!output.status.success() && said.contains(clear), "{said}");
    alpha.terminate()
}
