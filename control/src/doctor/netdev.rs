//! What a driver says that it can do with XDP: the kernel's generic netlink family `netdev`
//! (linux/netdev.h), from Linux 6.3 on.

use anyhow::{Context, Result};
use futures_util::StreamExt;
use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, Nla,
    NlaBuffer, NlasIterator, Parseable, ParseableParametrized, parse_u64,
};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};

const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;

/// The driver runs XDP programs: pass, drop, abort and transmit.
pub(super) const BASIC: u64 = 1;
/// AF_XDP without copies.
pub(super) const ZERO_COPY: u64 = 1 << 3;

/// Asks for the XDP features of an interface: the bits of `enum netdev_xdp_act`.
pub(super) async fn xdp_features(index: u32) -> Result<u64> {
    let (connection, mut handle, _) = genetlink::new_connection().context("generic netlink")?;
    let connection = tokio::spawn(connection);
    let request = DevGet(vec![DefaultNla::new(NETDEV_A_DEV_IFINDEX, index.to_ne_bytes().to_vec())]);
    let mut message = NetlinkMessage::from(GenlMessage::from_payload(request));
    message.header.flags = NLM_F_REQUEST;
    let answer = match handle.request(message).await {
        Ok(mut answers) => answers.next().await,
        Err(error) => return Err(error).context("the family netdev"),
    };
    connection.abort();
    let NetlinkPayload::InnerMessage(answer) = answer.context("no answer")??.payload else {
        anyhow::bail!("the kernel does not know the interface");
    };
    let features = answer.payload.0.iter().find(|nla| nla.kind() == NETDEV_A_DEV_XDP_FEATURES);
    let features = features.context("the answer names no XDP features")?;
    let mut value = vec![0; features.value_len()];
    features.emit_value(&mut value);
    Ok(parse_u64(&value)?)
}

/// `NETDEV_CMD_DEV_GET` and its answer: attributes.
#[derive(Clone, Debug)]
struct DevGet(Vec<DefaultNla>);

impl GenlFamily for DevGet {
    fn family_name() -> &'static str {
        "netdev"
    }

    fn command(&self) -> u8 {
        NETDEV_CMD_DEV_GET
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for DevGet {
    fn buffer_len(&self) -> usize {
        self.0.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.0.as_slice().emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for DevGet {
    fn parse_with_param(buffer: &[u8], _: GenlHeader) -> Result<Self, DecodeError> {
        let parse = |nla: Result<NlaBuffer<_>, _>| DefaultNla::parse(&nla?);
        NlasIterator::new(buffer).map(parse).collect::<Result<_, _>>().map(Self)
    }
}
