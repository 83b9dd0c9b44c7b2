//! Faults of the host: what a gateway makes of them. More of them, mixed, are in the soak.

use std::fs;
use std::net::UdpSocket;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use xdtls_netlab::Process;
use xdtls_tests::{
    ClientOptions, GatewayConfig, Lab, Node, OUTSIDE, PATIENCE, Status, eventually, exchange,
};

/// A silent gateway is dead for its clients after 30 s; then they come back, within the minute.
const RETURN: Duration = Duration::from_secs(60);

/// How long a program waits for its answer before it asks again.
const ASK_AGAIN: Duration = Duration::from_millis(250);

fn forward(lab: &Lab) -> GatewayConfig {
    GatewayConfig::forward_to(lab.backend_address(9000))
}

/// Asks until there is an answer.
fn gets_through(program: &UdpSocket, patience: Duration) -> Result<()> {
    program.set_read_timeout(Some(ASK_AGAIN))?;
    eventually("an answer", patience, || {
        // The kernel may know no way for a moment.
        let _ = program.send(b"anybody there?");
        Ok(program.recv(&mut [0; 100]).ok())
    })?;
    // What was asked more than once is answered more than once.
    while program.recv(&mut [0; 100]).is_ok() {}
    Ok(program.set_read_timeout(Some(PATIENCE))?)
}

/// The association is the one that there was at first.
fn ensure_same_association(nodes: [&Node; 2]) -> Result<()> {
    for node in nodes {
        let status = node.status()?;
        ensure!(status.associations() == 1 && status.count("handshakes_ok")? == 1, "{status}");
    }
    Ok(())
}

/// ```text
///   program ─── xdtls connect ═══ outside, down for a while ═ xdtls gateway ─── udp-echo
/// ```
pub(crate) fn a_link_may_go_down_and_up(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = forward(lab).start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    exchange(&program, b"before")?;
    lab.gateway.ip(&["link", "set", OUTSIDE, "down"])?;
    program.send(b"into the void")?;
    gateway.wait_for_log("the interface outside is down", PATIENCE)?;
    ensure!(gateway.ask(&["status"])?.contains("outside is down"));
    lab.gateway.ip(&["link", "set", OUTSIDE, "up"])?;
    gateway.wait_for_log("the interface outside is up again", PATIENCE)?;
    gets_through(&program, PATIENCE)?;
    let before = gateway.status()?.count("fast_path")?;
    exchange(&program, b"over AF_XDP as before")?;
    ensure!(gateway.status()?.count("fast_path")? > before, "{}", gateway.status()?);
    ensure_same_association([&gateway, &client])
}

/// ```text
///   program ─── xdtls connect ═══ outside, MTU 1280, 3000, 1500 ═ xdtls gateway ─── udp-echo
/// ```
pub(crate) fn an_mtu_may_change(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = forward(lab).start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    exchange(&program, b"before")?;
    for (mtu, told) in [
        ("1280", "outside has an MTU of 1280"),
        ("3000", "outside has an MTU of 3000; frames were made for less"),
        ("1500", "outside has an MTU of 1500"),
    ] {
        lab.gateway.ip(&["link", "set", OUTSIDE, "mtu", mtu])?;
        gateway.wait_for_log(told, PATIENCE)?;
        gets_through(&program, PATIENCE)?;
        exchange(&program, &[7; 1000])?;
    }
    ensure_same_association([&gateway, &client])
}

/// ```text
///   20 programs ─── xdtls connect ═══ outside, 1 queue, then 2 ═ xdtls gateway ─── udp-echo
/// ```
pub(crate) fn queues_may_be_added(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    lab.free_client_interface();
    let set = |queues| {
        // The receiver of a queue must be there before its sender.
        let both = [&lab.gateway, &lab.client];
        let arguments = ["-L", OUTSIDE, "rx", queues, "tx", queues];
        both.iter().try_for_each(|netns| netns.run("ethtool", &arguments).map(drop))
    };
    lab.client.run("ethtool", &["-L", OUTSIDE, "rx", "1", "tx", "1"])?;
    set("1")?;
    let config = GatewayConfig { workers: 2, lines: "answer_hellos = \"auto\"", ..forward(lab) };
    let gateway = config.start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let programs: Vec<_> = (0..20).map(|_| lab.bind_program(&client)).collect::<Result<_>>()?;
    programs.iter().try_for_each(|program| exchange(program, b"one queue"))?;
    set("2")?;
    gateway.wait_for_log("2 receive queues; those beyond the first 1", PATIENCE)?;
    for _ in 0..5 {
        programs.iter().try_for_each(|program| exchange(program, b"two queues"))?;
    }
    let status = gateway.status()?;
    ensure!(status.count("handshakes_ok")? == 20, "{status}");
    ensure!(status.count("opened")? == 120, "{status}");
    // Only queues that have AF_XDP sockets cannot be taken away.
    lab.client.run("ethtool", &["-L", OUTSIDE, "rx", "1", "tx", "1"])?;
    lab.gateway.run("ethtool", &["-L", OUTSIDE, "rx", "1", "tx", "1"])?;
    gateway.wait_for_log("outside has 1 receive queues", PATIENCE)?;
    programs.iter().try_for_each(|program| exchange(program, b"one again"))
}

/// ```text
///   program ─── xdtls connect ═╪═ outside, deleted ╪═ xdtls gateway --datapath auto ─── udp-echo
///                              └─ made anew ───────┘
/// ```
pub(crate) fn without_its_interface_a_gateway_goes_on_with_sockets(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let arguments = &["--datapath", "auto"];
    let gateway = GatewayConfig { arguments, ..forward(lab) }.start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    exchange(&program, b"before")?;
    ensure!(gateway.status()?.says("datapath", "xdp"), "{}", gateway.status()?);
    lab.cut()?;
    gateway.wait_for_log("the interface outside has been deleted", PATIENCE)?;
    lab.mend()?;
    gets_through(&program, PATIENCE)?;
    ensure_same_association([&gateway, &client])?;
    let status = gateway.status()?;
    ensure!(status.says("datapath", "socket"), "{status}");
    ensure!(status.text("datapath_reason").contains("a restart brings XDP back"), "{status}");
    gateway.terminate()
}

/// ```text
///   xdtls connect ═╪═ outside, deleted ╪═ xdtls gateway, datapath = "xdp" ──▶ exit code 1
///                  └─ made anew ───────┘═ started again
/// ```
pub(crate) fn where_xdp_is_required_a_gateway_ends_with_its_interface(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let config = forward(lab);
    let gateway = Process::spawn("gateway", config.command(lab)?)?;
    gateway.wait_for_line("gateway is ready", PATIENCE)?;
    lab.cut()?;
    let finished = gateway.wait(PATIENCE)?;
    ensure!(finished.status.code() == Some(1), "{finished}");
    ensure!(finished.to_string().contains("xdtls: the interface outside has been deleted"));
    // As long as there is none, the service manager tries in vain.
    let too_early = Process::spawn("gateway", config.command(lab)?)?.wait(PATIENCE)?;
    ensure!(too_early.status.code() == Some(1), "{too_early}");
    ensure!(too_early.to_string().contains("there is no network interface outside"));
    lab.mend()?;
    let gateway = config.start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    exchange(&program, b"on the new one")?;
    // The first may have come before the worker had told XDP of the association.
    exchange(&program, b"once more")?;
    ensure!(gateway.status()?.count("fast_path")? > 0, "{}", gateway.status()?);
    Ok(())
}

/// ```text
///   setpriv, no capabilities: xdtls gateway --datapath auto ──▶ sockets
/// ```
pub(crate) fn without_privileges_sockets_carry_on(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let wrapper = &["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--"];
    let arguments = &["--datapath", "auto"];
    let gateway = GatewayConfig { wrapper, arguments, ..forward(lab) }.start(lab)?;
    gateway.wait_for_log("falling back to sockets: the kernel does not permit XDP", PATIENCE)?;
    let client = ClientOptions::default().start(lab)?;
    exchange(&lab.bind_program(&client)?, b"without XDP")
}

/// ```text
///   xdtls gateway 2> log ──▶ a tmpfs of 64 KiB without room for one line
/// ```
pub(crate) fn a_full_disk_costs_only_log_lines(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let fill = "cd \"$1\" && mkdir small && mount -t tmpfs -o size=64k tmpfs small && \
        > small/log && ! dd if=/dev/zero of=small/rest bs=4k 2> /dev/null && shift && \
        exec \"$@\" 2> small/log";
    let config = forward(lab);
    let mut command = lab.gateway.command("unshare");
    let gateway = config.command(lab)?;
    let xdtls: Vec<_> =
        gateway.get_args().skip_while(|word| !word.to_string_lossy().ends_with("/xdtls")).collect();
    command.args(["--mount", "sh", "-c", fill, "sh"]).arg(lab.folder());
    command.arg(xdtls[0]).args(["--log", "debug"]).args(&xdtls[1..]);
    let mut gateway = Process::spawn("gateway", command)?;
    let socket = lab.folder().join("gateway.sock");
    eventually("its admin socket", PATIENCE, || Ok(Status::ask(&socket).ok()))?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    for _ in 0..20 {
        exchange(&program, b"nobody writes it down")?;
    }
    ensure!(gateway.is_running()?, "it has ended");
    let finished = gateway.terminate(PATIENCE)?;
    ensure!(finished.status.success(), "{finished}");
    Ok(())
}

/// ```text
///   program ─── xdtls connect ═══ xdtls gateway, 30 days ahead in a time namespace ─── udp-echo
/// ```
pub(crate) fn monotonic_clocks_of_hosts_need_not_agree(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let wrapper =
        &["unshare", "--time", "--monotonic", "2592000", "--boottime", "2592000", "--kill-child"];
    let gateway = GatewayConfig { wrapper, ..forward(lab) }.start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    exchange(&lab.bind_program(&client)?, b"in the future")?;
    let status = gateway.status()?;
    ensure!(status.drops().is_empty(), "{status}");
    Ok(())
}

/// ```text
///   program ─── xdtls connect ═══ xdtls gateway, stopped for a while ─── udp-echo
/// ```
pub(crate) fn a_gateway_that_was_stopped_goes_on(lab: &Lab) -> Result<()> {
    /// Longer than the gateway lets an association be idle: what has come meanwhile counts.
    const STOPPED: Duration = Duration::from_secs(4);
    let _echo = lab.start_echo(9000, None)?;
    let mut gateway = forward(lab).with_limits("idle_timeout = \"3s\"").start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    exchange(&program, b"before")?;
    gateway.signal(Signal::STOP)?;
    let id = gateway.id()?;
    eventually("every thread stands still", PATIENCE, || Ok(stands_still(id)?.then_some(())))?;
    program.send(b"meanwhile")?;
    std::thread::sleep(STOPPED);
    gateway.signal(Signal::CONT)?;
    gets_through(&program, PATIENCE)?;
    ensure_same_association([&gateway, &client])
}

/// Whether the signal has reached every thread of a process (proc_pid_stat(5)).
fn stands_still(process: u32) -> Result<bool> {
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let line = fs::read_to_string(thread?.path().join("stat"))?;
        let (_, behind_name) = line.rsplit_once(") ").context("no state")?;
        if !behind_name.starts_with('T') {
            return Ok(false);
        }
    }
    Ok(true)
}

/// ```text
///   10 programs ask on and on ─── xdtls connect ═══ xdtls gateway ─── udp-echo
///                                     SIGKILL in the midst of handshakes, three times
/// ```
pub(crate) fn a_gateway_killed_at_any_moment_gets_its_clients_back(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let config = forward(lab);
    let mut gateway = config.start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let mut programs = Vec::new();
    for delay_ms in [3, 9, 40] {
        for _ in 0..4 {
            programs.push(lab.bind_program(&client)?);
        }
        programs.iter().try_for_each(|program| program.send(b"hello").map(drop))?;
        std::thread::sleep(Duration::from_millis(delay_ms));
        gateway.kill()?;
        gateway = config.start(lab)?;
    }
    let mut silent: Vec<_> = programs.iter().collect();
    for program in &silent {
        program.set_read_timeout(Some(ASK_AGAIN / 10))?;
    }
    eventually("an answer for every program", RETURN, || {
        silent.iter().try_for_each(|program| program.send(b"anybody there?").map(drop))?;
        silent.retain(|program| program.recv(&mut [0; 100]).is_err());
        Ok(silent.is_empty().then_some(()))
    })?;
    gateway.wait_until("all of them", |status| status.associations() >= programs.len() as u64)?;
    Ok(())
}
