//! What only the XDP datapath has: modes, queues, an interface that may be taken, privileges.

use anyhow::{Context, Result, ensure};
use xdtls_netlab::{Process, program};
use xdtls_tests::{
    ClientOptions, GatewayConfig, Lab, Node, OUTSIDE, PATIENCE, eventually, exchange, listening,
    receive,
};

use crate::identity::{start_s_client, start_shim_with};

fn forward(lab: &Lab, lines: &'static str) -> GatewayConfig {
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    GatewayConfig { workers: 2, lines, ..config }
}

/// ```text
///   udp-probe ── xdtls connect ═ AF_XDP ══ AF_XDP ═ xdtls gateway ── udp-echo
///                10,000 datagrams of 0 to 1400 bytes each way
/// ```
fn ten_thousand_datagrams(lab: &Lab, lines: &'static str, mode: &str) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = forward(lab, lines).start(lab)?;
    let client_mode = format!("--xdp-mode={mode}");
    let arguments = ["--datapath", "xdp", "--interface", OUTSIDE, &client_mode];
    let client = ClientOptions { arguments: &arguments, ..ClientOptions::default() }.start(lab)?;
    for node in [&gateway, &client] {
        node.wait_for_log(&format!("datapath: XDP {mode} on {OUTSIDE}"), PATIENCE)?;
    }
    let arguments = ["--sockets", "4", "--count", "10000", "--sizes", "0-1400"];
    lab.probe(&client, &arguments)?.ensure_clean(10_000)?;
    for node in [&gateway, &client] {
        let status = node.status()?;
        ensure!(status.count("opened")? == 10_000, "{status}");
        ensure!(status.count("fast_path")? >= 9_900, "{status}");
    }
    Ok(())
}

pub(crate) fn native_mode_carries_every_byte(lab: &Lab) -> Result<()> {
    ten_thousand_datagrams(lab, "xdp_mode = \"native\"", "native")
}

pub(crate) fn generic_mode_carries_every_byte(lab: &Lab) -> Result<()> {
    ten_thousand_datagrams(lab, "xdp_mode = \"generic\"", "generic")
}

/// Two workers on the only queue.
pub(crate) fn one_queue_serves_two_workers(lab: &Lab) -> Result<()> {
    lab.free_client_interface();
    for namespace in [&lab.client, &lab.gateway] {
        namespace.run("ethtool", &["-L", OUTSIDE, "rx", "1", "tx", "1"])?;
    }
    ten_thousand_datagrams(lab, "xdp_mode = \"native\"", "native")
}

/// ```text
///   xdtls connect ── ClientHello ──▶ XDP_TX: HelloVerifyRequest
///                 ── with cookie ──▶ XDP_PASS ── handshake ── udp-echo
/// ```
fn the_driver_answers(lab: &Lab, mode: &'static str) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = forward(lab, mode).start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let programs: Vec<_> = (0..5).map(|_| lab.bind_program(&client)).collect::<Result<_>>()?;
    for program in &programs {
        exchange(program, b"through a cookie")?;
    }
    let status = gateway.status()?;
    let answered = status.xdp("hello_verify_request")?;
    ensure!(answered >= 5 && status.xdp("client_hello")? >= 5, "{status}");
    ensure!(status.count("hello_verify_requests")? == answered, "userspace answered: {status}");
    ensure!(status.xdp("slow_hello")? == 0, "{status}");
    Ok(())
}

pub(crate) fn the_driver_answers_hellos(lab: &Lab) -> Result<()> {
    the_driver_answers(lab, "xdp_mode = \"native\"")
}

pub(crate) fn generic_mode_answers_hellos(lab: &Lab) -> Result<()> {
    the_driver_answers(lab, "xdp_mode = \"generic\"")
}

pub(crate) fn the_driver_answers_hellos_over_ipv6(lab: &Lab) -> Result<()> {
    the_driver_answers(lab, "xdp_mode = \"native\"")
}

/// ```text
///   xdtls connect ── unfinished checksum ──▶ XDP_PASS ── HelloVerifyRequest by the worker
/// ```
pub(crate) fn unfinished_checksums_take_the_slow_path(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    lab.client.run("ethtool", &["-K", OUTSIDE, "tx", "on"])?;
    let gateway = forward(lab, "").start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    exchange(&lab.bind_program(&client)?, b"slowly")?;
    let status = gateway.status()?;
    ensure!(status.xdp("slow_hello")? >= 2, "{status}");
    ensure!(status.xdp("hello_verify_request")? == 0, "{status}");
    ensure!(status.count("hello_verify_requests")? >= 1, "{status}");
    Ok(())
}

/// ```text
///   program ── xdtls connect ═╪═ outside, a veth whose other end has no XDP program
/// ```
pub(crate) fn workers_answer_where_the_drivers_replies_would_be_lost(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    lab.free_client_interface();
    let gateway = forward(lab, "answer_hellos = \"auto\"").start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    exchange(&lab.bind_program(&client)?, b"by a worker")?;
    let status = gateway.status()?;
    ensure!(status.xdp("slow_hello")? >= 1, "{status}");
    ensure!(status.xdp("client_hello")? >= 1, "{status}");
    ensure!(status.xdp("hello_verify_request")? == 0, "{status}");
    ensure!(status.count("hello_verify_requests")? >= 1, "{status}");
    Ok(())
}

/// ```text
///   outside: the XDP program of one gateway; another wants to attach its own
/// ```
pub(crate) fn an_occupied_interface_is_left_alone(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let config = forward(lab, "");
    let _gateway = config.start(lab)?;
    let file = lab.folder().join("second.toml");
    let toml = std::fs::read_to_string(lab.folder().join("gateway.toml"))?;
    std::fs::write(&file, toml.replace(":4433", ":4434").replace("gateway.sock", "second.sock"))?;
    let mut second = lab.gateway.command(program("xdtls")?);
    second.args(["gateway", "--config"]).arg(&file);
    let finished = Process::spawn("second gateway", second)?.wait(PATIENCE)?;
    let told = finished.to_string();
    ensure!(!finished.status.success(), "{told}");
    ensure!(told.contains("outside has an XDP program already (id "), "{told}");
    let client = ClientOptions::default().start(lab)?;
    exchange(&lab.bind_program(&client)?, b"the first goes on")
}

/// ```text
///   setpriv, no capabilities: xdtls gateway --datapath xdp
/// ```
pub(crate) fn missing_privileges_are_named(lab: &Lab) -> Result<()> {
    let wrapper = &["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"];
    let gateway = GatewayConfig { wrapper, ..forward(lab, "") }.command(lab)?;
    let finished = Process::spawn("gateway", gateway)?.wait(PATIENCE)?;
    let told = finished.to_string();
    ensure!(finished.status.code() == Some(4), "{told}");
    ensure!(told.contains("CAP_NET_ADMIN") && told.contains("missing"), "{told}");
    Ok(())
}

/// ```text
///   xdtls gateway, SIGKILL ──▶ the program is gone from outside, and packets pass
/// ```
pub(crate) fn a_killed_gateway_leaves_the_interface_usable(lab: &Lab) -> Result<()> {
    let attached = || lab.gateway.ip(&["-d", "link", "show", OUTSIDE]);
    let gateway = forward(lab, "").start(lab)?;
    ensure!(attached()?.contains("prog/xdp"), "{}", attached()?);
    gateway.kill()?;
    eventually("the program to be gone", PATIENCE, || {
        Ok((!attached()?.contains("prog/xdp")).then_some(()))
    })?;
    let echo = lab.gateway.bind_udp(lab.gateway_address())?;
    let sender = lab.client.bind_udp((lab.client_address(), 0).into())?;
    sender.send_to(b"hello", lab.gateway_address())?;
    echo.set_read_timeout(Some(PATIENCE))?;
    ensure!(receive(&echo, &mut [0; 10])?.0 == 5);
    Ok(())
}

/// The id that a node has logged for its only association.
fn id_of(node: &Node) -> Result<u32> {
    let line = node.wait_for_log("association established", PATIENCE)?;
    let (_, id) = line.split_once("association=").context(line.clone())?;
    Ok(u32::from_str_radix(id.get(..8).context("an id")?, 16)?)
}

/// ```text
///   xdtls connect ═══ xdtls gateway ─── udp-echo
///   [client][gateway] epoch 0 ... ──▶ XDP_DROP
/// ```
pub(crate) fn an_epoch_0_flood_ends_in_the_program(lab: &Lab) -> Result<()> {
    const FLOOD: u64 = 500;
    let _echo = lab.start_echo(9000, None)?;
    let gateway = forward(lab, "").start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    exchange(&program, b"before")?;
    let ids = [id_of(&client)?.to_be_bytes(), id_of(&gateway)?.to_be_bytes()].concat();
    let record = [22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4];
    let forger = lab.client.bind_udp((lab.client_address(), 0).into())?;
    let before = gateway.status()?;
    for _ in 0..FLOOD {
        forger.send_to(&[&ids[..], &record].concat(), lab.gateway_address())?;
    }
    // A slow handshake may have repeated some of its own.
    let expected = before.dropped("wrong_epoch") + FLOOD;
    let status = gateway
        .wait_until("the flood is counted", |status| status.dropped("wrong_epoch") >= expected)?;
    ensure!(status.xdp("not_ours")? < before.xdp("not_ours")? + FLOOD, "{status}");
    exchange(&program, b"after")
}

/// ```text
///   openssl s_client ── prefix-shim ═══ xdtls gateway ── udp-echo
///                        loses the final flight twice; s_client sends ChangeCipherSpec and
///                        Finished again, each in a datagram of its own
/// ```
pub(crate) fn a_lost_final_flight_is_sent_again(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = forward(lab, "").start(lab)?;
    let shim = start_shim_with(lab, &["--lose-final-flights", "2"])?;
    let mut client = start_s_client(lab, &listening(&shim)?)?;
    let mut stdin = client.stdin().context("standard input")?;
    std::io::Write::write_all(&mut stdin, b"there you are\n")?;
    client.wait_for_line("there you are", PATIENCE)?;
    let status = gateway.status()?;
    ensure!(status.count("final_flights_repeated")? >= 2, "{status}");
    ensure!(status.dropped("wrong_epoch") > 0, "{status}");
    Ok(())
}

/// ```text
///   xdtls gateway, SIGTERM ──▶ the program is gone from outside
/// ```
pub(crate) fn a_stopped_gateway_takes_its_program_along(lab: &Lab) -> Result<()> {
    forward(lab, "").start(lab)?.terminate()?;
    let shown = lab.gateway.ip(&["-d", "link", "show", OUTSIDE])?;
    ensure!(!shown.contains("prog/xdp"), "{shown}");
    Ok(())
}
