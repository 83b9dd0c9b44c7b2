//! What forged ClientHellos do: two gateways that are made to answer each other, and a worker that is
//! asked more than it may answer.

use std::net::SocketAddr;

use anyhow::{Result, ensure};
use xdtls_common::client_hello::COOKIE_LEN;
use xdtls_common::hello_verify::hello_verify_request;
use xdtls_netlab::first_hello;
use xdtls_tests::{ClientOptions, GatewayConfig, Lab, Status, exchange};

/// ```text
///   xdtls gateway ═══════════════════════════ xdtls gateway
///     forged in its name: ClientHello,            the same
///     HelloVerifyRequest ──▶                       ◀──
/// ```
/// Every datagram ends as a reply or as a drop. So once as many are dropped as were forged, none is
/// under way any more, and there was one reply to each ClientHello and none to anything else.
pub(crate) fn two_gateways_do_not_answer_each_other(lab: &Lab) -> Result<()> {
    const EACH: u32 = 20;
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    let gateways = [config.start_facing(lab)?, config.start(lab)?];
    let to = lab.gateway_address();
    let from = SocketAddr::new(lab.client_address(), to.port());
    for forger in [lab.client.forger(from, to)?, lab.gateway.forger(to, from)?] {
        for id in 1..=EACH {
            forger.send(&first_hello(id))?;
            forger.send(&hello_verify_request(id, 0, &[7; COOKIE_LEN]))?;
            // What would be a ClientHello's prefix, if there were a sender.
            forger.send(&hello_verify_request(0, 0, &[7; COOKIE_LEN]))?;
        }
    }
    let dropped = |status: &Status| status.drops().values().sum::<u64>();
    let each = u64::from(EACH);
    for gateway in &gateways {
        let status = gateway.wait_until("all are dropped", |status| dropped(status) >= 3 * each)?;
        ensure!(status.dropped("unknown_id") == 2 * each, "{status}");
        ensure!(dropped(&status) == 3 * each, "{status}");
    }
    for gateway in &gateways {
        let status = gateway.status()?;
        ensure!(status.count("hello_verify_requests")? == each, "{status}");
        ensure!(dropped(&status) == 3 * each && status.half_open() == 0, "{status}");
    }
    Ok(())
}

/// ```text
///   flood ────── detour, without XDP program ──────┐
///   program ── xdtls connect ══ outside ══ xdtls gateway ── udp-echo
/// ```
pub(crate) fn workers_answer_no_more_than_they_may(lab: &Lab) -> Result<()> {
    /// Few enough to find room in a socket's receive buffer.
    const FLOOD: u32 = 100;
    let _echo = lab.start_echo(9000, None)?;
    lab.add_detour()?;
    let config = GatewayConfig::forward_to(lab.backend_address(9000));
    let config = config.with_limits("hello_replies_per_source = 1\nslow_hellos = 1");
    let gateway = config.start(lab)?;
    let flood = lab.client.bind_udp(([10, 3, 0, 1], 0).into())?;
    let to = SocketAddr::from(([10, 3, 0, 2], lab.gateway_address().port()));
    for id in 1..=FLOOD {
        flood.send_to(&first_hello(id), to)?;
    }
    let reason = if lab.datapath() == "socket" { "source_reply_limit" } else { "slow_hello_limit" };
    let answered = |status: &Status| status.count("hello_verify_requests").unwrap_or(0);
    let status = gateway.wait_until("the flood is counted", |status| {
        answered(status) + status.dropped(reason) == u64::from(FLOOD)
    })?;
    ensure!(answered(&status) > 0 && status.dropped(reason) > 0, "{status}");
    let told = gateway.ask(&["drops"])?;
    ensure!(told.contains(reason) && told.contains("(workers "), "{told}");
    // It comes from another source, and by an interface whose program answers by itself.
    let client = ClientOptions::default().start(lab)?;
    exchange(&lab.bind_program(&client)?, b"through the flood")
}
