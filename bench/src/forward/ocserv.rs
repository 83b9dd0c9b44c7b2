//! ocserv and openconnect: TLS over TCP, and beside it DTLS 1.2, which alone is to carry the data.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use xdtls_netlab::Process;

use super::stage::Stage;
use super::tunnels::{PATIENCE, Running, installed};

/// Both the TCP and the UDP port.
const PORT: u16 = 4433;

/// What openconnect says once data goes by DTLS.
const BY_DTLS: &str = "Established DTLS connection";

/// What it calls the suite that is wanted.
const SUITE: &str = "AES-128-GCM";

/// How many packets openconnect takes at once, and makes its socket's buffer for. What does not fit
/// there goes by TCP, of as few as by default a quarter.
const QUEUE: &str = "1000";

/// Where the client's interface counts.
const STATISTICS: &str = "/sys/class/net/xbcl/statistics";

/// Gives the client its address and its route. openconnect runs it and says where it stands.
const SCRIPT: &str = "#!/bin/sh
[ \"$reason\" = connect ] || exit 0
ip link set dev \"$TUNDEV\" mtu \"$INTERNAL_IP4_MTU\" up
ip address add \"$INTERNAL_IP4_ADDRESS/32\" dev \"$TUNDEV\"
ip route add 10.9.1.0/24 dev \"$TUNDEV\" src \"$INTERNAL_IP4_ADDRESS\"
";

/// Starts both ends; an error if data would not go by DTLS with the suite that all others have.
pub(super) fn start(stage: &Stage) -> Result<Running> {
    let file = stage.file("ocserv.conf");
    fs::write(&file, configuration(stage))?;
    let mut gateway = stage.in_gateway(installed("ocserv").context("ocserv is not installed")?);
    gateway.args(["--foreground", "--debug", "1", "--config"]).arg(&file);
    let gateway = Process::spawn("ocserv", gateway)?;
    gateway.wait_for_line("sec-mod initialized", PATIENCE)?;
    let script = stage.file("openconnect-script");
    fs::write(&script, SCRIPT)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    let client = installed("openconnect").context("openconnect is not installed")?;
    let mut client = stage.in_client(client);
    client.args(["--verbose", "--non-inter", "--protocol=anyconnect", "--interface", "xbcl"]);
    client.arg("--script").arg(&script);
    for (option, name) in
        [("--certificate", "client.pem"), ("--sslkey", "client.key"), ("--cafile", "ca.pem")]
    {
        client.arg(option).arg(stage.file(name));
    }
    client.args(["--queue-len", QUEUE]);
    client.arg("--resolve=gateway:10.9.0.1").arg(format!("https://gateway:{PORT}"));
    let client = Process::spawn("openconnect", client)?;
    let established = client.wait_for_line(BY_DTLS, PATIENCE)?;
    ensure!(established.contains(SUITE), "it has chosen another suite: {established}");
    Running::with_route(vec![client, gateway])
}

/// Fails if more than a hundredth of what the tunnel carries while `act` acts goes by TCP.
pub(super) fn verify(stage: &Stage, act: impl FnOnce()) -> Result<()> {
    let before = carried(stage)?;
    act();
    let after = carried(stage)?;
    let [by_tcp, all] = [0, 1].map(|index: usize| after[index].saturating_sub(before[index]));
    ensure!(by_tcp <= all / 100, "of {all} bytes {by_tcp} have gone by TCP, not by DTLS");
    Ok(())
}

/// Bytes that have gone by TCP so far, and all that the tunnel has carried.
fn carried(stage: &Stage) -> Result<[u64; 2]> {
    let sockets = stage.client.run("ss", &["-tinH", "dst", "10.9.0.1"])?;
    let by_tcp = ["bytes_acked:", "bytes_received:"].map(|name| sum(&sockets, name));
    let counters = ["tx_bytes", "rx_bytes"].map(|name| format!("{STATISTICS}/{name}"));
    let all = stage.client.run("cat", &counters.each_ref().map(String::as_str))?;
    let all = all.lines().filter_map(|line| line.parse::<u64>().ok()).sum();
    Ok([by_tcp.iter().sum(), all])
}

/// The sum of all numbers that follow a name.
fn sum(text: &str, name: &str) -> u64 {
    let numbers = text.split_whitespace().filter_map(|word| word.strip_prefix(name));
    numbers.filter_map(|number| number.parse::<u64>().ok()).sum()
}

/// A server that any client with a certificate may use. It sends by TCP to who has been silent for 15
/// seconds, so clients are to say often that they are alive. Its processes stay root, because the folder
/// of the stage is root's.
fn configuration(stage: &Stage) -> String {
    let file = |name: &str| stage.file(name).display().to_string();
    format!(
        "auth = \"certificate\"\ncert-user-oid = 2.5.4.3\nca-cert = {}\n\
         server-cert = {}\nserver-key = {}\nsocket-file = {}\npid-file = {}\n\
         tcp-port = {PORT}\nudp-port = {PORT}\nrun-as-user = root\nrun-as-group = root\n\
         isolate-workers = false\nmax-clients = 16\nmax-same-clients = 16\nrate-limit-ms = 0\n\
         max-ban-score = 0\nkeepalive = 5\nuse-occtl = false\ntry-mtu-discovery = false\ncompression = false\n\
         cisco-client-compat = true\ndtls-legacy = true\ndevice = xbgw\nping-leases = false\n\
         ipv4-network = 10.8.0.0\nipv4-netmask = 255.255.255.0\nroute = 10.9.1.0/255.255.255.0\n\
         tls-priorities = \"NORMAL:%SERVER_PRECEDENCE:-VERS-ALL:+VERS-TLS1.2:+VERS-DTLS1.2:\
         -CIPHER-ALL:+{SUITE}\"\n",
        file("ca.pem"),
        file("gateway.pem"),
        file("gateway.key"),
        file("ocserv.sock"),
        file("ocserv.pid"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_by_tcp_is_summed_up() {
        let sockets = "ESTAB 0 0 10.9.0.2:40000 10.9.0.1:4433\n\t cubic bytes_sent:7 bytes_acked:5 \
                       bytes_received:6\nTIME-WAIT 0 0\n\t bytes_acked:1 rcv_space:9\n";
        assert_eq!((sum(sockets, "bytes_acked:"), sum(sockets, "bytes_received:")), (6, 6));
    }
}
