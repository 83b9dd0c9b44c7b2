//! What backends send and AF_XDP takes in: every byte, whatever the mode, and nothing left behind.

use std::net::{SocketAddr, UdpSocket};

use anyhow::{Context, Result, ensure};
use xdtls_common::frame::{FrameHeaders, LinkHeader};
use xdtls_netlab::Process;
use xdtls_tests::soak::flows;
use xdtls_tests::{
    ClientOptions, GatewayConfig, Lab, Node, OUTSIDE, PATIENCE, eventually, exchange, expect,
    receive,
};

const INSIDE: &str = "interface = \"inside\"";

fn forward(lab: &Lab) -> GatewayConfig {
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    GatewayConfig { workers: 2, forward: INSIDE, ..config }
}

/// Ends both; in debug builds a worker panics if a frame is missing.
fn stop(nodes: [Node; 2]) -> Result<()> {
    nodes.into_iter().try_for_each(Node::terminate)
}

/// ```text
///   udp-probe ── xdtls connect ═══ xdtls gateway ─ AF_XDP ── udp-echo
///                10,000 datagrams of 0 to 1400 bytes each way
/// ```
fn ten_thousand_answers(lab: &Lab, lines: &'static str, mode: &str) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = GatewayConfig { lines, ..forward(lab) }.start(lab)?;
    gateway
        .wait_for_log(&format!("inside: what backends send comes in by XDP {mode} on"), PATIENCE)?;
    let client = ClientOptions::default().start(lab)?;
    let arguments = ["--sockets", "4", "--count", "10000", "--sizes", "0-1400"];
    lab.probe(&client, &arguments)?.ensure_clean(10_000)?;
    let status = gateway.status()?;
    ensure!(status.says("inside", "xdp"), "{status}");
    ensure!(status.count("fast_path_inside")? == 10_000, "{status}");
    ensure!(status.count("sealed")? == 10_000, "{status}");
    ensure!(status.count("fast_path_inside_sent")? == 0, "AF_XDP would copy: {status}");
    ensure!(status.drops().is_empty(), "{status}");
    stop([client, gateway])
}

pub(crate) fn answers_arrive_in_native_mode(lab: &Lab) -> Result<()> {
    ten_thousand_answers(lab, "xdp_mode = \"native\"", "native")
}

pub(crate) fn answers_arrive_in_generic_mode(lab: &Lab) -> Result<()> {
    ten_thousand_answers(lab, "xdp_mode = \"generic\"", "generic")
}

/// The same over IPv6.
pub(crate) fn answers_arrive_over_ipv6(lab: &Lab) -> Result<()> {
    ten_thousand_answers(lab, "", "native")
}

/// ```text
///   udp-probe ── xdtls connect ═ AF_XDP ══ AF_XDP ═ xdtls gateway ═ AF_XDP ── udp-echo
///                10,000 datagrams of 0 to 1400 bytes each way
/// ```
pub(crate) fn datagrams_leave_in_the_frames_that_brought_them(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = forward(lab).start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    eventually("a datagram leaves to the backend through AF_XDP", PATIENCE, || {
        exchange(&program, b"which way?")?;
        Ok((gateway.status()?.count("fast_path_inside_sent")? > 0).then_some(()))
    })?;
    let before = gateway.status()?;
    let arguments = ["--sockets", "4", "--count", "10000", "--sizes", "0-1400"];
    lab.probe(&client, &arguments)?.ensure_clean(10_000)?;
    let after = gateway.status()?;
    let more = |name| Ok::<_, anyhow::Error>(after.count(name)? - before.count(name)?);
    ensure!(more("fast_path_inside")? == 10_000, "{after}");
    // A flow's first datagram leaves by the socket that it opens, and stale neighbours are the kernel's.
    ensure!(more("fast_path_inside_sent")? >= 9_900, "{after}");
    ensure!(after.drops().is_empty(), "{after}");
    stop([client, gateway])
}

/// ```text
///   program ── xdtls connect ═══ xdtls gateway ── 10.2.0.2:9000, checksums left to an offload
/// ```
pub(crate) fn unfinished_checksums_are_no_damage(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    lab.backend.run("ethtool", &["-K", "inside", "tx", "on"])?;
    let gateway = forward(lab).start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    (0..20).try_for_each(|_| exchange(&program, b"unfinished"))?;
    let status = gateway.status()?;
    ensure!(status.count("fast_path_inside")? == 20, "{status}");
    stop([client, gateway])
}

/// ```text
///   program ── xdtls connect ═══ xdtls gateway ── 10.2.0.2:9000 ── one bit turned over on the way
/// ```
pub(crate) fn damage_is_not_sealed(lab: &Lab) -> Result<()> {
    let backend = lab.bind_backend(9000)?;
    let gateway = forward(lab).start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let (program, flow) = introduce(lab, &client, &backend)?;
    let mut datagram = udp(lab.backend_address(9000), flow, b"payload").context("no datagram")?;
    let sender = lab.backend.raw_udp()?;
    sender.send_to(&datagram, flow)?;
    expect(&program, b"payload")?;
    datagram[10] ^= 1;
    sender.send_to(&datagram, flow)?;
    backend.send_to(b"whole", flow)?;
    expect(&program, b"whole")?;
    let status = gateway.status()?;
    ensure!(status.dropped("inside_checksum") == 1, "{status}");
    ensure!(status.count("fast_path_inside")? == 3, "{status}");
    stop([client, gateway])
}

/// A UDP header with the right checksum, and the payload.
fn udp(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let link = LinkHeader { destination: [0; 6], source: [0; 6], vlan: None };
    let headers = FrameHeaders::new(&link, from, to, payload.len())?;
    let mut frame = vec![0; headers.frame_len()];
    frame[headers.payload_at..].copy_from_slice(payload);
    headers.write(&mut frame);
    Some(frame.split_off(headers.payload_at - 8))
}

/// ```text
///   program ── xdtls connect ═══ xdtls gateway ── 10.2.0.2:9000 ── fragments of 3000 bytes
/// ```
pub(crate) fn fragments_take_the_kernels_way(lab: &Lab) -> Result<()> {
    let backend = lab.bind_backend(9000)?;
    let gateway = forward(lab).start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let (program, flow) = introduce(lab, &client, &backend)?;
    backend.send_to(&[7; 3000], flow)?;
    backend.send_to(b"whole", flow)?;
    expect(&program, b"whole")?;
    let status = gateway.status()?;
    ensure!(status.dropped("too_big") == 1, "the kernel did not reassemble: {status}");
    ensure!(status.count("fast_path_inside")? == 1, "{status}");
    stop([client, gateway])
}

/// A program whose datagram has reached the backend, and where the backend answers to.
fn introduce(lab: &Lab, client: &Node, backend: &UdpSocket) -> Result<(UdpSocket, SocketAddr)> {
    let program = lab.bind_program(client)?;
    program.send(b"hello")?;
    let (_, flow) = receive(backend, &mut [0; 100])?;
    Ok((program, flow))
}

/// ```text
///   program ── xdtls connect ═══ xdtls gateway ── udp-echo
///              idle, once more, and then gone
/// ```
pub(crate) fn flows_that_end_leave_the_program(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = forward(lab).with_limits("flow_idle_timeout = \"1s\"").start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    let known = || flows(gateway.id()?);
    let none = || eventually("no flow is left", PATIENCE, || Ok((known()? == 0).then_some(())));
    for _ in 0..2 {
        exchange(&program, b"a new flow")?;
        none()?;
    }
    exchange(&program, b"the last one")?;
    client.terminate()?;
    none()?;
    ensure!(gateway.status()?.count("fast_path_inside")? == 3, "{}", gateway.status()?);
    gateway.terminate()
}

/// ```text
///   xdtls gateway, inside = "nowhere", "outside", or occupied ── sockets, or an error
/// ```
pub(crate) fn an_inside_that_cannot_be_had_is_named(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let refused = |config: &GatewayConfig, why: &str| -> Result<()> {
        let finished = Process::spawn("gateway", config.command(lab)?)?.wait(PATIENCE)?;
        let told = finished.to_string();
        ensure!(!finished.status.success() && told.contains(why), "{told}");
        Ok(())
    };
    let nowhere = GatewayConfig { forward: "interface = \"nowhere\"", ..forward(lab) };
    refused(&nowhere, "there is no network interface nowhere")?;
    let same = GatewayConfig { forward: "interface = \"outside\"", ..forward(lab) };
    refused(&same, "is the outside's interface")?;
    let program = lab.gateway.pass_xdp("inside")?;
    refused(&forward(lab), "inside has an XDP program already (id ")?;
    drop(program);
    let arguments = &["--datapath", "auto"];
    let gateway = GatewayConfig { arguments, ..nowhere }.start(lab)?;
    gateway.wait_for_log("inside: sockets, because XDP cannot be had on nowhere", PATIENCE)?;
    gateway.wait_for_log(&format!("datapath: XDP native on {OUTSIDE}"), PATIENCE)?;
    let client = ClientOptions::default().start(lab)?;
    exchange(&lab.bind_program(&client)?, b"by sockets")?;
    ensure!(gateway.status()?.says("inside", "socket"), "{}", gateway.status()?);
    stop([client, gateway])
}

/// ```text
///   xdtls gateway ── inside, deleted
/// ```
pub(crate) fn a_deleted_inside_is_told(lab: &Lab) -> Result<()> {
    let arguments = &["--datapath", "auto"];
    let gateway = GatewayConfig { arguments, ..forward(lab) }.start(lab)?;
    ensure!(gateway.status()?.says("inside", "xdp"), "{}", gateway.status()?);
    lab.gateway.ip(&["link", "delete", "inside"])?;
    gateway.wait_for_log("the interface inside has been deleted", PATIENCE)?;
    let status = gateway.wait_until("it is told", |status| status.says("inside", "socket"))?;
    ensure!(status.says("datapath", "xdp"), "{status}");
    gateway.terminate()
}
