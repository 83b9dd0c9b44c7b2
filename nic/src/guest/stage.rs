//! The stage inside the guest: two namespaces with a card each, joined by the wire outside.
//!
//! ```text
//!   world                                        gateway
//!   clients, pktgen                              xdtls gateway, udp-echo on 127.0.0.1:9000
//!   nic0 192.0.2.1, .101 to .108 ═══ wire ═══ nic1 192.0.2.2, .11 to .18
//! ```
//!
//! Each client has a pair of addresses of its own, so that a card which looks at nothing else
//! spreads them over its queues, too.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;
use xdtls_netlab::{Netns, Process, capture, program};

use crate::lab::driver::{Driver, mac};
use crate::load::ask;

/// The cards: what sends, and the gateway's.
pub(super) const CARDS: [&str; 2] = ["nic0", "nic1"];

/// Where pktgen sends to.
pub(super) const GATEWAY: &str = "192.0.2.2:4433";

/// Clients with addresses of their own.
pub(super) const CLIENTS: u32 = 8;

const ADDRESSES: [&str; 2] = ["192.0.2.1", "192.0.2.2"];
const BACKEND: &str = "127.0.0.1:9000";
/// The network of pktgen's forged addresses, for replies to find their way.
const FORGED: &str = "198.18.0.0/15";

/// How long anything may take in a machine that is translated.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// How often something is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// The stage.
pub(super) struct Stage {
    pub(super) world: Netns,
    pub(super) gateway: Netns,
    folder: TempDir,
    _echo: Process,
}

impl Stage {
    /// Sets it up.
    pub(super) fn new(driver: Driver) -> Result<Self> {
        let (world, gateway) = (Netns::new("world")?, Netns::new("gateway")?);
        for (index, netns) in [&world, &gateway].into_iter().enumerate() {
            set_up(netns, index, driver)?;
        }
        for (index, netns) in [&world, &gateway].into_iter().enumerate() {
            wait_for_carrier(netns, CARDS[index])?;
        }
        let folder = tempfile::Builder::new().prefix("xdtls-guest-").tempdir_in("/run")?;
        let mut certificates = Command::new(program("xdtls")?);
        capture(certificates.args(["dev-certs", "--days", "1", "--out"]).arg(folder.path()))?;
        let mut command = gateway.command(program("udp-echo")?);
        command.args(["--listen", BACKEND]);
        let echo = Process::spawn("udp-echo", command)?;
        echo.wait_for_line("listening on ", PATIENCE)?;
        let stage = Self { world, gateway, folder, _echo: echo };
        stage.tell_neighbours()?;
        Ok(stage)
    }

    /// No packet but what is sent on purpose is to be on the wire, so neighbours are told.
    pub(super) fn tell_neighbours(&self) -> Result<()> {
        let tell = |netns: &Netns, own: usize, address: &str| {
            let other = mac(1 - own);
            let entry = ["neighbour", "replace", address, "lladdr", &other, "nud", "permanent"];
            netns.ip(&[&entry[..], &["dev", CARDS[own]]].concat()).map(drop)
        };
        tell(&self.world, 0, ADDRESSES[1])?;
        tell(&self.gateway, 1, ADDRESSES[0])?;
        for client in 0..CLIENTS {
            tell(&self.world, 0, &gateway_of(client))?;
            tell(&self.gateway, 1, &client_address(client))?;
        }
        Ok(())
    }

    /// A file of the stage.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts the gateway on its card, by `load`, and returns what that printed.
    pub(super) fn load(&self, lines: &str) -> Result<String> {
        let config = self.file("gateway.toml");
        fs::write(&config, configuration(lines)).context("cannot write the configuration")?;
        let mut command = self.own(&self.gateway)?;
        command.args(["load", "--interface", CARDS[1], "--config"]).arg(config);
        capture(command.arg("--state").arg(self.state()))
    }

    /// Takes it off again, and returns what that printed.
    pub(super) fn unload(&self) -> Result<String> {
        let mut command = self.own(&self.gateway)?;
        capture(command.args(["unload", "--state"]).arg(self.state()))
    }

    /// Where `load` keeps its state.
    pub(super) fn state(&self) -> PathBuf {
        self.file("loaded")
    }

    /// Our own program in a namespace.
    pub(super) fn own(&self, netns: &Netns) -> Result<Command> {
        Ok(netns.command(program("xdtls-nic")?))
    }

    /// What the gateway says of itself.
    pub(super) fn status(&self) -> Result<Value> {
        ask(&self.file("gateway.sock"))
    }

    /// Packets that each receive queue of the gateway's card has had so far.
    pub(super) fn queue_packets(&self, driver: Driver) -> Result<Vec<u64>> {
        let listed = self.gateway.run("ethtool", &["-S", CARDS[1]])?;
        let counter = |line: &str| {
            let (name, value) = line.trim().split_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        let counters: BTreeMap<String, u64> = listed.lines().filter_map(counter).collect();
        let names = (0..).map(|queue| match driver {
            Driver::Virtio => format!("rx{queue}_xdp_packets"),
            Driver::Igb => format!("rx_queue_{queue}_packets"),
        });
        Ok(names.map_while(|name| counters.get(&name).copied()).collect())
    }

    /// Packets that an emulated card was given and has neither received nor counted as missed: QEMU's
    /// igb drops what finds no descriptor, and says so to nobody (hw/net/igb_core.c). `delivered` is
    /// what the wire has handed to it so far.
    pub(super) fn missed_in_silence(&self, driver: Driver, delivered: u64) -> Result<u64> {
        if driver != Driver::Igb {
            return Ok(0);
        }
        let listed = self.gateway.run("ethtool", &["-S", CARDS[1]])?;
        let received = listed.lines().find_map(|line| line.trim().strip_prefix("rx_packets: "));
        let received: u64 = received.context("the card counts no packets")?.parse()?;
        Ok(delivered.saturating_sub(received))
    }

    /// Waits until both cards have a carrier: attaching and detaching a program may reset them.
    pub(super) fn wait_for_carriers(&self) -> Result<()> {
        wait_for_carrier(&self.world, CARDS[0])?;
        wait_for_carrier(&self.gateway, CARDS[1])
    }
}

/// The address of the gateway that a client connects to.
pub(super) fn gateway_of(client: u32) -> String {
    format!("192.0.2.{}", 11 + client)
}

fn client_address(client: u32) -> String {
    format!("192.0.2.{}", 101 + client)
}

fn set_up(netns: &Netns, index: usize, driver: Driver) -> Result<()> {
    let card = CARDS[index];
    let found = find_card(&mac(index))?;
    // The namespace of process 1 is the one that a card is in at first.
    capture(Command::new("ip").args(["link", "set", &found, "down", "name", card]))?;
    capture(Command::new("ip").args(["link", "set", card, "netns", netns.name()]))?;
    let off = format!("net.ipv6.conf.{card}.disable_ipv6=1");
    netns.run("sysctl", &["-qw", &off])?;
    if driver == Driver::Igb {
        // QEMU's card cuts what it is to segment into IP fragments (hw/net/net_tx_pkt.c).
        netns.run("ethtool", &["-K", card, "tx-udp-segmentation", "off"])?;
        // What the doctor advises; with the driver's 256 descriptors bursts are lost.
        netns.run("ethtool", &["-G", card, "rx", "2048"])?;
    }
    netns.ip(&["link", "set", card, "up"])?;
    netns.add_address(card, &format!("{}/24", ADDRESSES[index]))?;
    for client in 0..CLIENTS {
        let own = if index == 0 { client_address(client) } else { gateway_of(client) };
        netns.add_address(card, &format!("{own}/32"))?;
        let (other, source) = if index == 0 {
            (gateway_of(client), client_address(client))
        } else {
            (client_address(client), gateway_of(client))
        };
        netns.ip(&["route", "add", &format!("{other}/32"), "dev", card, "src", &source])?;
    }
    if index == 1 {
        netns.ip(&["route", "add", FORGED, "via", ADDRESSES[0]])?;
    }
    Ok(())
}

fn find_card(mac: &str) -> Result<String> {
    let cards = fs::read_dir("/sys/class/net")?.flatten();
    let mut names = cards.filter(|card| {
        let address = fs::read_to_string(card.path().join("address"));
        address.is_ok_and(|address| address.trim() == mac)
    });
    let found = names.next().with_context(|| format!("there is no card with the address {mac}"))?;
    Ok(found.file_name().to_string_lossy().into_owned())
}

fn wait_for_carrier(netns: &Netns, card: &str) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !netns.ip(&["-o", "link", "show", "dev", card])?.contains("LOWER_UP") {
        ensure!(Instant::now() < deadline, "{card} has no carrier");
        sleep(LOOK);
    }
    Ok(())
}

fn configuration(lines: &str) -> String {
    format!(
        "[gateway]\nlisten = \"0.0.0.0:4433\"\nworkers = 2\n{lines}\n\
         [[identity]]\ncertificate = \"gateway.pem\"\nkey = \"gateway.key\"\n\
         [clients]\nca = \"ca.pem\"\n\
         [[backend]]\nname = \"echo\"\naddress = \"{BACKEND}\"\n\
         [forward]\ndefault_backend = \"echo\"\n[admin]\nsocket = \"gateway.sock\"\n"
    )
}

/// A path as an argument.
pub(super) fn text(path: &Path) -> String {
    path.display().to_string()
}
