//! What leaves through AF_XDP: every byte, and after whatever the kernel learns of the way.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Result, ensure};
use xdtls_tests::{
    ClientOptions, GatewayConfig, Lab, Node, OUTSIDE, PATIENCE, eventually, exchange,
};

/// The arguments of a client that receives and transmits through AF_XDP.
const CLIENT: [&str; 6] = ["--datapath", "xdp", "--interface", OUTSIDE, "--transmit", "xdp"];

/// How long a program waits for an answer that may have been lost.
const ANSWER_PATIENCE: Duration = Duration::from_millis(250);

/// A gateway and a client that both transmit through AF_XDP.
fn start(lab: &Lab) -> Result<(Node, Node)> {
    let (gateway, client) = (start_gateway(lab)?, start_client(lab)?);
    Ok((gateway, client))
}

fn start_gateway(lab: &Lab) -> Result<Node> {
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    ensure_transmits(GatewayConfig { workers: 2, ..config }.start(lab)?)
}

fn start_client(lab: &Lab) -> Result<Node> {
    let client = ClientOptions { arguments: &CLIENT, ..ClientOptions::default() };
    ensure_transmits(client.start(lab)?)
}

fn ensure_transmits(node: Node) -> Result<Node> {
    node.wait_for_log("transmit: AF_XDP in copy mode, because it was asked for", PATIENCE)?;
    let status = node.status()?;
    ensure!(status.says("transmit", "xdp"), "{status}");
    Ok(node)
}

/// Ends both; in debug builds a worker panics if a frame is missing.
fn stop(nodes: [Node; 2]) -> Result<()> {
    for node in nodes {
        node.terminate()?;
    }
    Ok(())
}

/// Asks until an answer, or the question, has left the node through AF_XDP: what the kernel has
/// learnt reaches it a moment later.
fn wait_for_frames(program: &UdpSocket, node: &Node) -> Result<()> {
    let before = node.status()?.count("fast_path_sent")?;
    eventually("a datagram leaves through AF_XDP", PATIENCE, || {
        exchange(program, b"which way?")?;
        Ok((node.status()?.count("fast_path_sent")? > before).then_some(()))
    })
}

/// ```text
///   udp-probe ── xdtls connect ═ AF_XDP ══ AF_XDP ═ xdtls gateway ── udp-echo
///                10,000 datagrams of 0 to 1400 bytes each way
/// ```
pub(crate) fn frames_carry_every_byte(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let (gateway, client) = start(lab)?;
    let program = lab.bind_program(&client)?;
    [&gateway, &client].iter().try_for_each(|node| wait_for_frames(&program, node))?;
    let before = client.status()?.count("opened")?;
    let arguments = ["--sockets", "4", "--count", "10000", "--sizes", "0-1400"];
    lab.probe(&client, &arguments)?.ensure_clean(10_000)?;
    for node in [&gateway, &client] {
        let status = node.status()?;
        ensure!(status.count("opened")? == before + 10_000, "{status}");
        // An association's first datagrams may come before its neighbour is known.
        ensure!(status.count("fast_path_sent")? >= 9_900, "{status}");
        ensure!(status.drops().is_empty(), "{status}");
    }
    stop([client, gateway])
}

/// The same over IPv6.
pub(crate) fn frames_carry_every_byte_over_ipv6(lab: &Lab) -> Result<()> {
    frames_carry_every_byte(lab)
}

/// ```text
///   xdtls connect ═══ outside ═══ xdtls gateway ─── udp-echo
///   sockets           gets another MAC address,
///                     at one end and then at the other
/// ```
///
/// The one that receives does so by its socket: the kernel looks at the MAC address.
pub(crate) fn a_gateway_follows_another_mac_address(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = start_gateway(lab)?;
    let client = ClientOptions::default().start(lab)?;
    follow_another_mac_address(lab, &client, &gateway)?;
    stop([client, gateway])
}

/// The same with the client as sender; the gateway uses sockets.
pub(crate) fn a_client_follows_another_mac_address(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = GatewayConfig::forward_to(lab.backend_address(9000)).start(lab)?;
    let client = start_client(lab)?;
    follow_another_mac_address(lab, &client, &client)?;
    stop([client, gateway])
}

fn follow_another_mac_address(lab: &Lab, client: &Node, sender: &Node) -> Result<()> {
    // For so long the kernel believes an address without asking; the default is up to 45 s.
    let believes = format!("net.ipv4.neigh.{OUTSIDE}.base_reachable_time_ms=4000");
    for namespace in [&lab.client, &lab.gateway] {
        namespace.run("sysctl", &["-qw", &believes])?;
    }
    let program = lab.bind_program(client)?;
    wait_for_frames(&program, sender)?;
    for (namespace, mac) in
        [(&lab.client, "02:00:00:00:00:11"), (&lab.gateway, "02:00:00:00:00:22")]
    {
        namespace.ip(&["link", "set", "dev", OUTSIDE, "address", mac])?;
        ask_until_answered(&program)?;
        wait_for_frames(&program, sender)?;
    }
    Ok(())
}

/// ```text
///   xdtls connect ═══ xdtls gateway ─── udp-echo
///   sockets           ip neigh replace … with a wrong MAC address, then none at all
/// ```
pub(crate) fn frames_follow_the_neighbour_table(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = start_gateway(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    wait_for_frames(&program, &gateway)?;
    let peer = lab.client_address().to_string();
    let neighbour = |verb: &str, rest: &[&str]| {
        lab.gateway.ip(&[&["neigh", verb, &peer, "dev", OUTSIDE], rest].concat())
    };
    // Frames to nobody: this is how we know that the table decides.
    neighbour("replace", &["lladdr", "02:00:00:00:00:99", "nud", "permanent"])?;
    program.set_read_timeout(Some(ANSWER_PATIENCE))?;
    eventually("an answer goes astray", PATIENCE, || {
        program.send(b"which way?")?;
        Ok(program.recv(&mut [0; 16]).is_err().then_some(()))
    })?;
    neighbour("delete", &[])?;
    ask_until_answered(&program)?;
    wait_for_frames(&program, &gateway)?;
    stop([client, gateway])
}

/// ```text
///   xdtls connect ═══ xdtls gateway ─── udp-echo
///   sockets           ip neigh change … nud stale; the kernel asks whether it is still there
/// ```
pub(crate) fn a_neighbour_in_use_is_made_sure_of(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = start_gateway(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    wait_for_frames(&program, &gateway)?;
    let peer = lab.client_address().to_string();
    lab.gateway.ip(&["neigh", "change", &peer, "dev", OUTSIDE, "nud", "stale"])?;
    eventually("the neighbour is not stale any more", PATIENCE, || {
        exchange(&program, b"still there?")?;
        let state = lab.gateway.ip(&["neigh", "show", &peer, "dev", OUTSIDE])?;
        Ok((!state.contains("STALE")).then_some(()))
    })?;
    wait_for_frames(&program, &gateway)?;
    stop([client, gateway])
}

/// ```text
///   xdtls connect ═══ outside ═══ xdtls gateway
///         └────────── detour ───────────┘   ip route … via detour, and back
/// ```
pub(crate) fn another_interface_is_left_to_the_kernel(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    lab.add_detour()?;
    let (gateway, client) = start(lab)?;
    let program = lab.bind_program(&client)?;
    wait_for_frames(&program, &gateway)?;
    let peer = format!("{}/32", lab.client_address());
    lab.gateway.ip(&["route", "add", &peer, "dev", "detour"])?;
    eventually("the gateway leaves it to the kernel", PATIENCE, || {
        let before = gateway.status()?.count("fast_path_sent")?;
        for _ in 0..10 {
            exchange(&program, b"which way?")?;
        }
        Ok((gateway.status()?.count("fast_path_sent")? == before).then_some(()))
    })?;
    lab.gateway.ip(&["route", "delete", &peer, "dev", "detour"])?;
    wait_for_frames(&program, &gateway)?;
    stop([client, gateway])
}

/// Asks until an answer comes: a datagram may be lost while the way changes.
fn ask_until_answered(program: &UdpSocket) -> Result<()> {
    program.set_read_timeout(Some(ANSWER_PATIENCE))?;
    let mut number = 0_u32;
    let answered = eventually("an answer", PATIENCE, || {
        number += 1;
        program.send(&number.to_be_bytes())?;
        let mut buffer = [0; 16];
        loop {
            match program.recv(&mut buffer) {
                Ok(length) if buffer[..length] == number.to_be_bytes() => return Ok(Some(())),
                // An answer to an earlier question.
                Ok(_) => {}
                Err(_) => return Ok(None),
            }
        }
    });
    program.set_read_timeout(Some(PATIENCE))?;
    answered
}
