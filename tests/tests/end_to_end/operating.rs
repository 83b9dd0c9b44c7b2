//! What the operator of a running gateway sees and does.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;
use xdtls_netlab::{Process, program};
use xdtls_tests::{
    ClientOptions, GatewayConfig, Lab, Node, PATIENCE, eventually, exchange, expect, report,
};

/// Where gateways of these tests serve metrics, in their namespace.
const METRICS: &str = "listen = \"127.0.0.1:9090\"";

/// The status line and the body of an answer.
fn get(lab: &Lab, path: &str) -> Result<(String, String)> {
    let mut stream = lab.gateway.connect_tcp(SocketAddr::from(([127, 0, 0, 1], 9090)))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no body")?;
    Ok((head.lines().next().unwrap_or_default().to_owned(), body.to_owned()))
}

/// Samples by name and labels, as they are written.
fn samples(exposition: &str) -> BTreeMap<&str, u64> {
    let lines = exposition.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
        .collect()
}

/// ```text
///   udp-probe ─── xdtls connect ═══ xdtls gateway ─── udp-echo
///   udp-garbage ──────────────────────▶ │
///   the test: xdtls status ─ admin.sock ┤
///             GET /metrics ─────────────┘
/// ```
pub(crate) fn status_and_metrics_agree_to_the_packet(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    let gateway = GatewayConfig { workers: 2, metrics: METRICS, ..config }.start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    lab.probe(&client, &["--sockets", "3", "--count", "300"])?.ensure_clean(300)?;
    let mut garbage = lab.client.command(program("udp-garbage")?);
    garbage.args(["--target", &lab.gateway_address().to_string()]);
    let sent = report(&Process::spawn("udp-garbage", garbage)?.wait(PATIENCE)?)?;
    let sent: BTreeMap<String, u64> = serde_json::from_value(sent)?;
    let total: u64 = sent.values().sum();
    gateway.wait_until("all garbage is counted", |status| {
        status.drops().values().sum::<u64>() >= total
    })?;

    // Handshake flights may still be repeated: what counts is an answer between two that are equal.
    let still = || -> Result<Value> {
        let mut status: Value = serde_json::from_str(&gateway.ask(&["status", "--json"])?)?;
        status.as_object_mut().context("no object")?.remove("uptime_s");
        Ok(status)
    };
    let (status, metrics) = eventually("a quiet moment", PATIENCE, || {
        let before = still()?;
        let metrics = get(lab, "/metrics")?.1;
        Ok((still()? == before).then_some((before, metrics)))
    })?;
    ensure!(status["opened"] == 300 && status["sealed"] == 300, "{status}");
    let samples = samples(&metrics);
    let sample = |name: &str| samples.get(name).copied().with_context(|| format!("no {name}"));
    for name in [
        "opened",
        "sealed",
        "opened_bytes",
        "sealed_bytes",
        "handshakes_ok",
        "associations",
        "half_open",
        "hello_verify_requests",
        "final_flights_repeated",
        "fast_path",
    ] {
        let metric = match name {
            "opened" | "sealed" => format!("xdtls_{name}_datagrams_total"),
            "associations" | "half_open" => format!("xdtls_{name}"),
            "fast_path" => "xdtls_af_xdp_datagrams_total".to_owned(),
            _ => format!("xdtls_{name}_total"),
        };
        ensure!(status[name] == sample(&metric)?, "{metric} is not {name}: {status}\n{metrics}");
    }
    let mut drops = 0;
    for (name, count) in samples.iter().filter(|(name, _)| name.starts_with("xdtls_drops_total")) {
        let labels: Vec<_> = name.split('"').collect();
        let said = status["drops_by_place"][labels[1]][labels[3]].as_u64().unwrap_or(0);
        ensure!(said == *count, "{name} is {count}: {status}");
        drops += count;
    }
    ensure!(drops >= total, "{drops} of {total} drops are in the metrics");
    ensure!(gateway.ask(&["drops"])?.contains("unknown_id"), "no drops are explained");
    let answers = ["/healthz", "/readyz", "/nothing"].map(|path| get(lab, path));
    let [health, ready, nothing] = answers.map(|answer| answer.map(|(status, _)| status));
    ensure!(health?.contains(" 200 ") && ready?.contains(" 200 ") && nothing?.contains(" 404 "));
    Ok(())
}

/// ```text
///   xdtls connect, good ════════╗
///   xdtls connect, a stranger ══╬══ xdtls gateway --log info ─── no backend
///   udp-garbage ────────────────╝
/// ```
pub(crate) fn logs_name_no_peer_at_the_usual_level(lab: &Lab) -> Result<()> {
    lab.issue_certificates("strangers")?;
    let log = eventful(lab, &["--log", "info", "--log-format", "json"])?;
    for line in log.lines().filter(|line| line.contains("association established")) {
        let (_, json) = line.split_once('{').context("no JSON")?;
        let parsed: Value = serde_json::from_str(&format!("{{{json}"))?;
        ensure!(parsed["level"] == "INFO" && parsed["association"].is_string(), "{line}");
    }
    let address = lab.client_address().to_string();
    ensure!(!log.contains(&address), "a peer is named:\n{log}");
    ensure!(log.contains("association established") && log.contains("handshake failed"), "{log}");
    // Whoever looks for it finds it.
    let log = eventful(lab, &["--log", "debug"])?;
    ensure!(log.contains(&address), "no peer is named:\n{log}");
    Ok(())
}

/// Lets a gateway meet friends, strangers and nonsense, and returns what it logged.
fn eventful(lab: &Lab, arguments: &'static [&'static str]) -> Result<String> {
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    let gateway = GatewayConfig { arguments, ..config }.start(lab)?;
    let stranger = ClientOptions { certificates: "strangers", ..ClientOptions::default() };
    let [friend, stranger] = [ClientOptions::default().start(lab)?, stranger.start(lab)?];
    for client in [&friend, &stranger] {
        lab.bind_program(client)?.send(b"hello")?;
    }
    gateway.wait_for_associations(1)?;
    gateway.wait_until("a refused stranger", |status| {
        status.count("handshakes_failed").is_ok_and(|count| count > 0)
    })?;
    let noise = lab.client.bind_udp((lab.client_address(), 0).into())?;
    for length in 0..40 {
        noise.send_to(&vec![22; length], lab.gateway_address())?;
    }
    gateway.wait_until("noise", |status| status.dropped("too_short") > 10)?;
    friend.terminate()?;
    gateway.wait_for_associations(0)?;
    let log = gateway.logged();
    gateway.terminate()?;
    Ok(log)
}

/// ```text
///   A, B, C ─── xdtls connect ═══ xdtls gateway ─── udp-echo
///       B              ◀── close_notify ──┘ xdtls associations close
/// ```
pub(crate) fn associations_are_listed_shown_and_closed(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    let gateway = GatewayConfig { workers: 2, ..config }.start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let programs: Vec<_> = (0..3).map(|_| lab.bind_program(&client)).collect::<Result<Vec<_>>>()?;
    programs.iter().try_for_each(|program| exchange(program, b"hello"))?;
    gateway.wait_until_listed(3)?;
    let list = |arguments: &[&str]| -> Result<Value> {
        let line = gateway.ask(&[&["associations", "list", "--json"], arguments].concat())?;
        Ok(serde_json::from_str(&line)?)
    };
    let (first, all) = (list(&["--limit", "2"])?, list(&[])?);
    let ids = |page: &Value| -> Vec<String> {
        let associations = page["associations"].as_array().into_iter().flatten();
        associations.filter_map(|it| it["id"].as_str().map(str::to_owned)).collect()
    };
    ensure!(all["total"] == 3 && ids(&all).len() == 3 && all["next"].is_null(), "{all}");
    let next = first["next"].as_str().context("no next page")?;
    let second = list(&["--after", next])?;
    ensure!([ids(&first), ids(&second)].concat() == ids(&all), "{first} {second} {all}");
    for association in all["associations"].as_array().into_iter().flatten() {
        let address = association["address"].as_str().unwrap_or_default();
        ensure!(address.starts_with(&lab.client_address().to_string()), "{association}");
        ensure!(association["identity"] == "client" && association["backend"] == "app", "{all}");
        ensure!(association["opened"] == 1 && association["opened_bytes"] == 5, "{association}");
        ensure!(association["sealed"] == 1 && association["sealed_bytes"] == 5, "{association}");
    }
    let id = &ids(&all)[1];
    let shown = gateway.ask(&["associations", "show", id])?;
    ensure!(shown.contains("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"), "{shown}");
    let closed = gateway.ask(&["associations", "close", id])?;
    ensure!(closed.contains("close_notify was sent"), "{closed}");
    client.wait_for_associations(2)?;
    client.wait_for_log("closed by the peer", PATIENCE)?;
    ensure!(!ids(&list(&[])?).contains(id), "it is still listed");
    let again = gateway.ask(&["associations", "close", id]).err().context("closed twice")?;
    ensure!(format!("{again:#}").contains("closed by the operator"), "{again:#}");
    // Two go on as they are; whose association is gone gets another.
    programs.iter().try_for_each(|program| exchange(program, b"after"))?;
    gateway.wait_for_count("handshakes_ok", 4)?;
    Ok(())
}

fn answers(program: &std::net::UdpSocket, who: &str) -> Result<()> {
    program.send(b"hello")?;
    expect(program, format!("{who}:hello").as_bytes())
}

/// ```text
///   program ─── xdtls connect ══════════════════╦══ xdtls gateway ─┬─ udp-echo "first"
///   program ─── xdtls connect, of another CA ═══╝    xdtls reload  └─ udp-echo "second"
/// ```
pub(crate) fn a_reload_is_whole_or_nothing(lab: &Lab) -> Result<()> {
    lab.issue_certificates("others")?;
    let _echoes = [lab.start_echo(9001, Some("first"))?, lab.start_echo(9002, Some("second"))?];
    let config = GatewayConfig {
        workers: 1,
        backends: vec![("first", lab.backend_address(9001)), ("second", lab.backend_address(9002))],
        default_backend: Some("first"),
        ..GatewayConfig::default()
    };
    let mut gateway = config.start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    answers(&program, "first")?;

    // Broken: a key that there is not, a certificate that there is not.
    let broken = GatewayConfig { limits: "half_opne = 3", ..config.clone() };
    let missing = GatewayConfig { client_authority: "nowhere", ..config.clone() };
    for (faulty, words) in [(broken, "half_opne"), (missing, "nowhere/ca.pem")] {
        faulty.write(lab)?;
        let refused = gateway.ask(&["reload"]).err().context("it was taken")?;
        let refused = format!("{refused:#}");
        ensure!(refused.contains("nothing has changed") && refused.contains(words), "{refused}");
    }
    let another = ClientOptions::default().start(lab)?;
    answers(&lab.bind_program(&another)?, "first")?;

    // Another CA, another rule, another limit, and two keys that only a restart changes.
    let changed = GatewayConfig {
        client_authority: "others",
        rules: vec![("a.example", "second")],
        limits: "half_open = 77\nassociations = 9",
        workers: 2,
        ..config.clone()
    };
    changed.write(lab)?;
    let reloaded: Value = serde_json::from_str(&gateway.ask(&["reload", "--json"])?)?;
    let keys = |keys: &[&str]| Value::from(keys.to_vec());
    ensure!(reloaded["changed"] == keys(&["clients.ca", "limits.half_open", "rule"]), "{reloaded}");
    let restart = keys(&["gateway.workers", "limits.associations"]);
    ensure!(reloaded["needs_restart"] == restart, "{reloaded}");
    let status = gateway.ask(&["status"])?;
    ensure!(status.contains("0 of 77") && status.contains("of 65,536"), "{status}");

    // Who is in stays in; who comes now is judged by the new file.
    answers(&program, "first")?;
    let outdated = ClientOptions::default().start(lab)?;
    lab.bind_program(&outdated)?.send(b"hello")?;
    gateway.wait_for_count("handshakes_failed", 1)?;
    let newcomer = ClientOptions {
        certificates: "others",
        certificate: "a.example",
        ..ClientOptions::default()
    };
    let newcomer = newcomer.start(lab)?;
    answers(&lab.bind_program(&newcomer)?, "second")?;

    // And back, by signal.
    config.write(lab)?;
    gateway.signal(Signal::HUP)?;
    eventually("the second reload", PATIENCE, || {
        Ok((gateway.logged().matches("configuration reloaded").count() == 2).then_some(()))
    })?;
    let friend = ClientOptions::default().start(lab)?;
    answers(&lab.bind_program(&friend)?, "first")?;
    answers(&program, "first")
}

/// ```text
///   program ─── xdtls connect ═══╦══ xdtls gateway, SIGTERM, limits.drain = 1h ─── udp-echo
///   program ─── xdtls connect ═══╝ not any more
/// ```
pub(crate) fn a_draining_gateway_takes_nobody_new(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let config = GatewayConfig::forward_to(lab.backend_address(9000)).with_limits("drain = \"1h\"");
    let config = GatewayConfig { metrics: METRICS, ..config };
    let drained = |gateway: &mut Node| -> Result<()> {
        gateway.signal(Signal::TERM)?;
        eventually("not ready any more", PATIENCE, || {
            Ok(get(lab, "/readyz")?.0.contains(" 503 ").then_some(()))
        })
    };
    let mut gateway = config.start(lab)?;
    let [client, late] =
        [ClientOptions::default().start(lab)?, ClientOptions::default().start(lab)?];
    let program = lab.bind_program(&client)?;
    exchange(&program, b"before")?;
    drained(&mut gateway)?;
    lab.bind_program(&late)?.send(b"let me in")?;
    gateway.wait_until("the late one is turned away", |status| status.dropped("draining") > 0)?;
    exchange(&program, b"still here")?;
    ensure!(get(lab, "/healthz")?.0.contains(" 200 "), "it is not healthy");
    // A second signal ends it at once, with close_notify.
    gateway.terminate()?;
    client.wait_for_log("closed by the peer", PATIENCE)?;

    // The end of its last association ends it too.
    late.kill()?;
    let mut gateway = config.start(lab)?;
    exchange(&program, b"again")?;
    drained(&mut gateway)?;
    client.terminate()?;
    gateway.wait_for_log("all associations have ended", PATIENCE)?;
    gateway.ended()
}

/// A datagram with a whole record, from an id of the gateway's to an id that nobody has.
fn forged(sender: u32) -> Vec<u8> {
    let record = [&[23, 254, 253, 0, 1, 0, 0, 0, 0, 0, 9, 0, 30][..], &[b'?'; 30]].concat();
    [&sender.to_be_bytes()[..], &(sender ^ 1 << 31).to_be_bytes(), &record].concat()
}

/// ```text
///   A, B ─── xdtls connect ═══ xdtls gateway ─── udp-echo
///   forged, from B's id ─────────┤
///          xdtls trace B ────────┘ sees B only
/// ```
pub(crate) fn a_trace_shows_one_peer_and_no_payload(lab: &Lab) -> Result<()> {
    let _echo = lab.start_echo(9000, None)?;
    let gateway = GatewayConfig::forward_to(lab.backend_address(9000)).start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let [a, b] = [lab.bind_program(&client)?, lab.bind_program(&client)?];
    exchange(&a, b"hello")?;
    let ids = || -> Result<Vec<String>> {
        let page: Value = serde_json::from_str(&gateway.ask(&["associations", "--json"])?)?;
        let associations = page["associations"].as_array().into_iter().flatten();
        Ok(associations.filter_map(|it| it["id"].as_str().map(str::to_owned)).collect())
    };
    // It is listed by another thread than the one that makes it work.
    let next = |known: &str| {
        eventually("an association", PATIENCE, || Ok(ids()?.into_iter().find(|id| id != known)))
    };
    let of_a = next("")?;
    exchange(&b, b"hello")?;
    let of_b = next(&of_a)?;
    // Begins to watch, and says what has been seen when asked again.
    let watch = |whom: &str| gateway.ask(&["trace", whom, "--time", "0s"]);
    watch(&of_b)?;
    (0..3).try_for_each(|_| exchange(&b, b"secret").and_then(|()| exchange(&a, b"other")))?;
    let stranger = lab.client.bind_udp((lab.client_address(), 0).into())?;
    stranger.send_to(&forged(u32::from_str_radix(&of_b, 16)?), lab.gateway_address())?;
    let mut seen = String::new();
    eventually("the forged datagram", PATIENCE, || {
        seen += &watch(&of_b)?;
        Ok(seen.contains("dropped: unknown_id").then_some(()))
    })?;
    let (opened, sealed) = ("6 bytes to the inside", "6 bytes for");
    ensure!(seen.matches(opened).count() == 3 && seen.matches(sealed).count() == 3, "{seen}");
    ensure!(seen.lines().all(|line| line.contains(&of_b)), "{seen}");
    ensure!(!seen.contains("secret") && !seen.contains(&of_a), "{seen}");
    let by_xdp: Vec<_> = seen.lines().filter(|line| line.contains("  xdp  ")).collect();
    let of = |what: &str| by_xdp.iter().filter(|line| line.contains(what)).count();
    let expected = if lab.datapath() == "socket" { (0, 0) } else { (3, 1) };
    ensure!((of("→ redirected"), of("→ dropped: unknown_id")) == expected, "{seen}");
    let refused = watch(&of_a).err().context("two at once")?;
    ensure!(format!("{refused:#}").contains("somebody else traces"), "{refused:#}");
    // It ends by itself, with nothing left of it.
    let host = lab.client_address().to_string();
    let began = eventually("the end of the trace", PATIENCE, || Ok(watch(&host).ok()))?;
    exchange(&a, b"other")?;
    let seen = watch(&host)?;
    ensure!(began.is_empty() && seen.contains(&of_a) && !seen.contains(&of_b), "{began}{seen}");
    Ok(())
}
