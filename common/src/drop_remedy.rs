//! What to do about each drop, for operators: what it usually means where it occurs, and the remedy.

use crate::DropReason;

macro_rules! remedies {
    ($($(#[doc = $doc:literal])+ $variant:ident,)+) => {
        impl DropReason {
            /// What to do about it, in one or two sentences.
            pub const fn remedy(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc,)+),)+ }
            }
        }
    };
}

remedies! {
    /// Noise: some other protocol on this port, or a scan. Nothing, unless your own clients do it.
    TooShort,
    /// Noise, or a client that does not put the prefix before DTLS 1.2 records. Check the client.
    MalformedRecord,
    /// Late datagrams of ended associations, or a client that missed our restart and will connect
    /// again within 30 s. Many from everywhere: a scan.
    UnknownId,
    /// Somebody guesses ids, or a client mixes associations up. Nothing, unless your own clients do
    /// it.
    WrongPeerId,
    /// Configured, or told by the operator: see `xdtls deny list` and `xdtls allow list`.
    AccessDenied,
    /// Noise, or a client that sends data before its handshake. Check the client.
    NotAClientHello,
    /// A ClientHello must fit one datagram and one record. Shorten the client's lists of suites,
    /// groups and session tickets.
    MalformedClientHello,
    /// A client whose address or port changed between its two ClientHellos (a NAT, say), or forged
    /// senders. It will begin anew.
    CookieInvalid,
    /// A client that took longer than 120 s to come back, or a replay. It will begin anew.
    CookieExpired,
    /// Forged senders. If it is a client of yours, it must send from a unicast address that is not
    /// this host's own.
    ReplyForbidden,
    /// A flood of ClientHellos, or limits.hello_replies is too low for the honest ones.
    ReplyLimit,
    /// A flood from one source, or many clients behind one address: raise
    /// limits.hello_replies_per_source.
    SourceReplyLimit,
    /// A flood of fragments or of ClientHellos with IP options or wrong checksums, or one by an interface
    /// without our XDP program. On virtual links between hosts of your own, turn off transmit checksum
    /// offload or raise limits.slow_hellos.
    SlowHelloLimit,
    /// A repeated ClientHello that came late. Nothing.
    HandshakeReplayed,
    /// Both ends of a link have opened at once. Nothing.
    HelloCrossed,
    /// The client's DTLS library is too old or has RFC 7627 turned off: update it.
    ExtendedMasterSecretMissing,
    /// A client that wants to replace an association which has just ended, or which this gateway has
    /// forgotten in a restart; it will open another. Many: somebody guesses.
    RekeyToken,
    /// More handshakes at once than limits.half_open. If they are real clients, raise it or add
    /// gateway.handshake_workers.
    HalfOpenLimit,
    /// More handshakes at once from one address than limits.half_open_per_source. Raise it if many
    /// clients share an address (NAT).
    SourceLimit,
    /// One address begins handshakes too fast, or fails too many. If many clients share it (NAT), raise
    /// limits.handshake_rate_per_source and limits.handshake_burst_per_source.
    SourceRate,
    /// More clients come at once than the CPUs can serve. Most get through with a later attempt; where it
    /// lasts, add gateway.handshake_workers or a gateway.
    Overload,
    /// All slots are taken or resting for 120 s after use. Raise limits.associations and restart.
    NoFreeId,
    /// The gateway was told to stop. Clients have to go to another, or wait until it is back.
    Draining,
    /// A client whose address changed in mid-handshake, or somebody who guesses ids. It will begin
    /// anew.
    HalfOpenAddress,
    /// Noise or forgery: an honest client sends no such record. Nothing.
    HandshakeRecordType,
    /// Noise or forgery, or a faulty client. Nothing, unless your own clients do it.
    HandshakeMessage,
    /// Forgery, or a road that reorders heavily. The handshake repeats itself.
    EarlyRecordLimit,
    /// A client that sends much before its handshake has ended. It should wait, or send less.
    HeldLimit,
    /// Repeated handshake flights on a lossy road, or a flood of unprotected records. Nothing.
    WrongEpoch,
    /// A client that uses what was not negotiated. Check the client.
    WrongRecordType,
    /// The network duplicates datagrams, or somebody replays them. Nothing is lost.
    Replayed,
    /// The network delays datagrams by more than 1,024 others. Look for a road with two very
    /// different delays.
    TooOld,
    /// Damaged or forged datagrams. Many from one client: its memory, driver or a middlebox alters
    /// packets.
    NotAuthentic,
    /// Repeated handshake flights on a lossy road. Nothing.
    StaleHandshake,
    /// A faulty client: the record was authentic. Check the client.
    MalformedContent,
    /// Repeated handshake flights, or requests to renegotiate, faster than they are answered.
    /// Nothing.
    RateLimited,
    /// A peer whose address changed, until it answers from there: a moment for our own clients, for good
    /// for others, which should connect again.
    UnvalidatedPath,
    /// Send smaller datagrams at the inside, or raise path_mtu if the whole path carries more.
    /// `xdtls status` shows the largest size.
    TooBig,
    /// The association was closed before its keys wore out. The client connects again by itself.
    KeyLimit,
    /// A thread could not keep up. Add gateway.workers or gateway.handshake_workers, or spread the
    /// load.
    QueueFull,
    /// A local program sends before its association is open. It should wait for the first answer.
    ConnectQueueFull,
    /// More local programs than --max-associations. Raise it, or shorten --idle-timeout.
    LocalLimit,
    /// The log says why. Check that the gateway is reachable and admits this client's certificate.
    ConnectFailed,
    /// Raise limits.backend_flows or the limit of open files, or give the backend more
    /// source_addresses.
    FlowLimit,
    /// Datagrams that were on their way when the association ended, or limits.flow_idle_timeout is
    /// shorter than the backend's silence.
    FlowClosed,
    /// Cable, port or memory on the way from the backend. Look at the error counters of the inside's
    /// interface and of the switch.
    InsideChecksum,
    /// The backend or local program is not there, or its queue is full. `xdtls status` shows which
    /// backend is failing.
    InsideSend,
    /// The way to the peer is gone, or the kernel's send buffers are full. Check routes, neighbours
    /// and the interface.
    OutsideSend,
    /// Datagrams that were on their way when the association ended. Nothing.
    Closed,
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::String;

    use super::*;

    const HEAD: &str = "\
# What does this drop mean?

Everything that xdtls drops is counted under one of these reasons, in the XDP program, the workers or the handshake
threads. `xdtls drops` lists those that have occurred, with these words; metrics have them as
`xdtls_drops_total{reason,place}`. A few of most kinds are normal on the internet.

This page is made from `common/src/drop_reason.rs` and `drop_remedy.rs`: `XDTLS_WRITE_PAGES=1 cargo test pages`.

| reason | what happened | what to do |
|---|---|---|
";

    #[test]
    fn pages_of_drops_are_up_to_date() {
        let line = |reason: &DropReason| {
            let (name, meaning) = (reason.as_str(), reason.meaning().trim());
            format!("| `{name}` | {meaning} | {} |\n", reason.remedy().trim())
        };
        let page = format!("{HEAD}{}", DropReason::ALL.iter().map(line).collect::<String>());
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/drops.md");
        if std::env::var_os("XDTLS_WRITE_PAGES").is_some() {
            std::fs::write(file, &page).unwrap();
        }
        assert_eq!(
            std::fs::read_to_string(file).unwrap(),
            page,
            "see the page for how to write it"
        );
    }
}
