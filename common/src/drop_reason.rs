//! Why a datagram or record went no further: one closed list for the XDP program, the workers, the
//! control plane, metrics, the command line and the documentation.

macro_rules! drop_reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why a datagram or record went no further.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum DropReason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl DropReason {
            /// Every reason, in the order of [`DropReason::as_index`].
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name that metrics, status and documentation use.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What happened, for a reader who has not seen this reason before.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc,)+),)+ }
            }
        }
    };
}

drop_reasons! {
    /// The datagram is too short for a prefix and a record header.
    TooShort = "too_short",
    /// What follows the prefix is not a whole DTLS record.
    MalformedRecord = "malformed_record",
    /// The receiver id names no association.
    UnknownId = "unknown_id",
    /// The receiver id is known, but the sender id is not its peer's.
    WrongPeerId = "wrong_peer_id",
    /// A datagram without a receiver id that is no complete ClientHello.
    NotAClientHello = "not_a_client_hello",
    /// A ClientHello that breaks RFC 6347's or our rules of form.
    MalformedClientHello = "malformed_client_hello",
    /// The cookie was not made by us for this sender and this ClientHello.
    CookieInvalid = "cookie_invalid",
    /// The cookie is older than its life of 120 seconds.
    CookieExpired = "cookie_expired",
    /// A reply would have been larger than the request, or gone to an address that must get none.
    ReplyForbidden = "reply_forbidden",
    /// More HelloVerifyRequests than one CPU may send.
    ReplyLimit = "reply_limit",
    /// More HelloVerifyRequests than one CPU may send to one source prefix.
    SourceReplyLimit = "source_reply_limit",
    /// More ClientHellos that only the kernel can judge than one CPU may pass to it.
    SlowHelloLimit = "slow_hello_limit",
    /// A ClientHello with a good cookie whose handshake has already ended.
    HandshakeReplayed = "handshake_replayed",
    /// The peer does not offer the extended master secret, which is required.
    ExtendedMasterSecretMissing = "extended_master_secret_missing",
    /// Half-open associations have reached the configured limit.
    HalfOpenLimit = "half_open_limit",
    /// Half-open associations of one source have reached the configured limit.
    SourceLimit = "source_limit",
    /// One source begins handshakes faster than configured, or too many of them have failed.
    SourceRate = "source_rate",
    /// No slot is free, or those that are free have not rested long enough.
    NoFreeId = "no_free_id",
    /// A datagram for a half-open association from another address than its own.
    HalfOpenAddress = "half_open_address",
    /// A record type that has no place in a handshake (application data in the clear, say).
    HandshakeRecordType = "handshake_record_type",
    /// A handshake message with impossible lengths or a sequence far ahead.
    HandshakeMessage = "handshake_message",
    /// More encrypted handshake records before ChangeCipherSpec than may be kept.
    EarlyRecordLimit = "early_record_limit",
    /// More data before the end of the handshake than may be held for it.
    HeldLimit = "held_limit",
    /// A record of an epoch that the association is not in.
    WrongEpoch = "wrong_epoch",
    /// A record type that an established association does not expect.
    WrongRecordType = "wrong_record_type",
    /// A record that was received before.
    Replayed = "replayed",
    /// A record older than the replay window.
    TooOld = "too_old",
    /// A record that is not authentic.
    NotAuthentic = "not_authentic",
    /// An authentic handshake record for which nothing is left to be done.
    StaleHandshake = "stale_handshake",
    /// An authentic record whose content breaks the rules of its type.
    MalformedContent = "malformed_content",
    /// An answer to an authentic record withheld by its rate limit.
    RateLimited = "rate_limited",
    /// A plaintext datagram larger than the path carries.
    TooBig = "too_big",
    /// The association's keys have sealed as many records as is safe.
    KeyLimit = "key_limit",
    /// A queue between two threads was full.
    QueueFull = "queue_full",
    /// More datagrams of a local program than are queued while its association opens.
    ConnectQueueFull = "connect_queue_full",
    /// As many local programs as are allowed have an association already.
    LocalLimit = "local_limit",
    /// No association could be opened for a local program.
    ConnectFailed = "connect_failed",
    /// No backend flow could be opened: the limit or the source ports are used up.
    FlowLimit = "flow_limit",
    /// The kernel would not send a datagram to the backend or the local program.
    InsideSend = "inside_send",
    /// The kernel would not send a datagram to the peer.
    OutsideSend = "outside_send",
    /// The datagram came for an association that has ended less than two minutes ago.
    Closed = "closed",
}

impl DropReason {
    /// How many reasons there are.
    pub const COUNT: usize = Self::ALL.len();

    /// The reason's place in [`DropReason::ALL`] and in counter arrays.
    pub const fn as_index(self) -> usize {
        self as usize
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn index_name_and_list_agree() {
        let names: BTreeSet<_> = DropReason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(names.len(), DropReason::COUNT);
        for (index, reason) in DropReason::ALL.iter().enumerate() {
            assert_eq!(reason.as_index(), index);
            assert!(!reason.meaning().trim().is_empty());
        }
    }

    #[test]
    fn the_documented_table_lists_every_reason_in_order() {
        let page = include_str!("../../docs/wire.md");
        let (_, section) = page.split_once("## 8. Reasons for drops").unwrap();
        let name =
            |line: &'static str| line.strip_prefix("| `")?.split_once('`').map(|(name, _)| name);
        let documented: std::vec::Vec<_> = section.lines().filter_map(name).collect();
        let counted: std::vec::Vec<_> = DropReason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(documented, counted);
    }
}
