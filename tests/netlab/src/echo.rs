//! `udp-echo`: sends each datagram back.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::Ordering;

use anyhow::Result;
use clap::Parser;

use crate::report::json_line;
use crate::udp;

/// Sends each datagram back to where it came from, empty ones too.
///
/// SIGTERM ends it with one JSON line: {"received":N,"bytes":N}.
#[derive(Debug, Parser)]
pub struct Options {
    /// Where to listen; port 0 means any.
    #[arg(long, value_name = "ADDR:PORT")]
    listen: SocketAddr,
    /// Puts `NAME:` before what is sent back, to tell several backends apart.
    #[arg(long, value_name = "NAME")]
    prefix_name: Option<String>,
}

/// Runs until SIGTERM.
pub fn run(options: &Options) -> Result<()> {
    let stop = udp::stop_flag()?;
    let socket = udp::bind(options.listen)?;
    println!("listening on {}", socket.local_addr()?);
    let name = options.prefix_name.as_ref().map_or(String::new(), |name| format!("{name}:"));
    let mut echo = Echo { socket, name: name.into_bytes(), received: 0, bytes: 0 };
    while !stop.load(Ordering::Relaxed) {
        if !udp::readable([&echo.socket], udp::STOP_TICK)?.is_empty() {
            echo.batch()?;
        }
    }
    println!("{}", json_line(&[("received", echo.received), ("bytes", echo.bytes)]));
    Ok(())
}

struct Echo {
    socket: UdpSocket,
    name: Vec<u8>,
    received: u64,
    bytes: u64,
}

impl Echo {
    fn batch(&mut self) -> Result<()> {
        let start = self.name.len();
        let mut buffer = vec![0; start + udp::DATAGRAM_BYTES_MAX];
        buffer[..start].copy_from_slice(&self.name);
        for _ in 0..udp::BATCH {
            let Some((length, from)) = udp::receive(&self.socket, &mut buffer[start..])? else {
                break;
            };
            self.received += 1;
            self.bytes += length as u64;
            // What the kernel will not send now is lost, as it may be anywhere on the way.
            if let Err(error) = self.socket.send_to(&buffer[..start + length], from) {
                eprintln!("{length} bytes to {from}: {error}");
            }
        }
        Ok(())
    }
}
