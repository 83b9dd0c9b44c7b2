//! OpenSSL's server in memory: what a handshake costs it if nothing has to travel.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use openssl::ssl::{ShutdownState, SslContext};
use xdtls::handshake::OpensslConnector;
use xdtls_common::record::records;
use xdtls_proto::engine::{ConnectEngine, Engine, Progress};

use super::clients::MAX_DATAGRAM;
use crate::openssl_pair::{server, step};
use crate::process_cost::on_the_clock;

/// How often both ends may take turns.
const TURNS: usize = 16;

/// Microseconds of CPU that the server spends on a handshake, the mean of `count`: its object is made
/// and freed, and nothing else. The client is the one that the gateway has to do with. With
/// `resume`, all handshakes continue the session of a first one.
pub(super) fn server_us(
    context: &SslContext,
    connector: &OpensslConnector,
    resume: bool,
    count: u32,
) -> Result<f64> {
    // What OpenSSL loads at the first handshake is not a handshake's.
    handshake(context, connector, resume)?;
    let mut spent = Duration::ZERO;
    for _ in 0..count {
        let (cost, resumed) = handshake(context, connector, resume)?;
        ensure!(resumed == resume, "in memory, a handshake was resumed: {resumed}");
        spent += cost;
    }
    Ok(spent.as_secs_f64() * 1e6 / f64::from(count))
}

/// One handshake: what it has cost the server, and whether it has continued a session.
fn handshake(
    context: &SslContext,
    connector: &OpensslConnector,
    resume: bool,
) -> Result<(Duration, bool)> {
    let now = Instant::now();
    let client = connector.connect(now, MAX_DATAGRAM, None);
    let mut client = client.map_err(|failure| anyhow!("{failure}"))?;
    let (server, mut spent) = on_the_clock(|| server(context));
    let mut server = server?;
    for _ in 0..TURNS {
        while let Some(datagram) = client.poll_transmit() {
            server.get_mut().push(datagram);
        }
        let (complete, cost) = on_the_clock(|| step(&mut server));
        spent += cost;
        while let Some(datagram) = server.get_mut().pop() {
            for (_, range) in records(&datagram).map_while(Result::ok) {
                client.handle_record(now, &datagram[range]);
            }
        }
        if !complete? || client.progress() != Progress::Complete {
            continue;
        }
        let resumed = server.ssl().session_reused();
        let ((), cost) = on_the_clock(|| {
            // OpenSSL forgets the session of an object that is freed before it was shut down.
            server.set_shutdown(ShutdownState::SENT | ShutdownState::RECEIVED);
            drop(server);
        });
        if resume {
            client.finish().map_err(|failure| anyhow!("{failure}"))?;
        }
        return Ok((spent + cost, resumed));
    }
    Err(anyhow!("the handshake in memory does not end: {:?}", client.progress()))
}
