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
    /// What follows is not a whole DTLS record: another version, a cut or overlong fragment, or too
    /// short for its AEAD.
    MalformedRecord = "malformed_record",
    /// The receiver's id names no association here, or it is 0 and this node answers no
    /// ClientHellos.
    UnknownId = "unknown_id",
    /// The receiver's id is known, but the sender's is not its peer's; or a ClientHello has the
    /// sender's id 0.
    WrongPeerId = "wrong_peer_id",
    /// The source address is denied, or not among those that alone are allowed, by configuration or the
    /// operator.
    AccessDenied = "access_denied",
    /// The receiver's id is 0 and the datagram does not begin as a ClientHello.
    NotAClientHello = "not_a_client_hello",
    /// A ClientHello that breaks the rules of wire.md, section 2.
    MalformedClientHello = "malformed_client_hello",
    /// The cookie was not made by this gateway for this sender and this ClientHello.
    CookieInvalid = "cookie_invalid",
    /// The cookie says that it is older than 120 s.
    CookieExpired = "cookie_expired",
    /// A ClientHello from an address that must get no reply (wire.md, section 8).
    ReplyForbidden = "reply_forbidden",
    /// More HelloVerifyRequests than one CPU or one worker may send.
    ReplyLimit = "reply_limit",
    /// More HelloVerifyRequests than one CPU or one worker may send to one source prefix.
    SourceReplyLimit = "source_reply_limit",
    /// More ClientHellos that only the kernel can judge than one CPU may pass to it; or more that have
    /// come past the XDP program than a worker answers.
    SlowHelloLimit = "slow_hello_limit",
    /// A ClientHello with a good cookie whose handshake has already ended.
    HandshakeReplayed = "handshake_replayed",
    /// The ClientHello of a peer that we are opening to: of the two, ours goes first.
    HelloCrossed = "hello_crossed",
    /// The ClientHello does not offer the extended master secret.
    ExtendedMasterSecretMissing = "extended_master_secret_missing",
    /// The ClientHello's rekey token is not that of an association which exists.
    RekeyToken = "rekey_token",
    /// As many handshakes as are allowed are under way, or no more ClientHellos can be remembered.
    HalfOpenLimit = "half_open_limit",
    /// As many handshakes as one source (an IPv4 address or an IPv6 /64) may have are under way, or
    /// it has begun 16,384 in two minutes.
    SourceLimit = "source_limit",
    /// One source begins handshakes faster than configured, or too many of them have failed.
    SourceRate = "source_rate",
    /// A ClientHello that has waited too long for its turn: there is more to do than can be done.
    Overload = "overload",
    /// No slot is free, or those that are free have not rested for 120 s.
    NoFreeId = "no_free_id",
    /// A ClientHello with a good cookie while the gateway is shutting down.
    Draining = "draining",
    /// A datagram for a handshake from another address or port than its own.
    HalfOpenAddress = "half_open_address",
    /// A record type that has no place in a handshake, such as data in epoch 0.
    HandshakeRecordType = "handshake_record_type",
    /// A handshake message with impossible lengths or a message_seq far ahead, or a malformed
    /// ChangeCipherSpec.
    HandshakeMessage = "handshake_message",
    /// More encrypted handshake records than are taken (wire.md, section 2).
    EarlyRecordLimit = "early_record_limit",
    /// More data before the end of the handshake than is held for it.
    HeldLimit = "held_limit",
    /// A record of an epoch in which the association is not.
    WrongEpoch = "wrong_epoch",
    /// A record type that an established association does not expect; type 27 without the
    /// extension.
    WrongRecordType = "wrong_record_type",
    /// A record with a sequence number that was received before.
    Replayed = "replayed",
    /// A record older than the replay window.
    TooOld = "too_old",
    /// A record that does not open with the association's keys.
    NotAuthentic = "not_authentic",
    /// An authentic handshake record for which nothing is left to be done.
    StaleHandshake = "stale_handshake",
    /// An authentic record whose content breaks the rules of its type; an epoch-0 alert that is not
    /// two bytes long.
    MalformedContent = "malformed_content",
    /// An answer to an authentic record withheld by its rate limit: a final flight or
    /// no_renegotiation.
    RateLimited = "rate_limited",
    /// More than three times the bytes that have come from an address of the peer's which it has not
    /// shown to receive at.
    UnvalidatedPath = "unvalidated_path",
    /// A plaintext datagram larger than the path carries.
    TooBig = "too_big",
    /// The keys have sealed as many records as is safe.
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
    /// A datagram of a backend came for a flow that was closed a moment before.
    FlowClosed = "flow_closed",
    /// A datagram of a backend was damaged on its way: its UDP checksum is wrong.
    InsideChecksum = "inside_checksum",
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
}
