//! What ethtool says of an interface, over its generic netlink family.

use ::ethtool::{
    EthtoolAttr, EthtoolChannelAttr, EthtoolError, EthtoolFeatureAttr, EthtoolMessage,
    EthtoolRingAttr,
};
use anyhow::{Context, Result};
use futures_util::{Stream, StreamExt};
use netlink_packet_generic::GenlMessage;

/// What an interface answered; `None` where its driver has nothing to say.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Answers {
    /// Descriptors of the receive ring: in use, and at most.
    pub(super) rx_ring: Option<(u32, u32)>,
    /// The most receive queues that it could have.
    pub(super) queues_max: Option<u32>,
    /// The offloads that are on, by ethtool's names.
    pub(super) offloads: Vec<String>,
}

/// Asks for rings, channels and offloads.
pub(super) async fn ask(name: &str) -> Result<Answers> {
    let (connection, mut handle, _) = ::ethtool::new_connection().context("ethtool")?;
    let connection = tokio::spawn(connection);
    let mut answers = Answers::default();
    let (mut rx, mut rx_max) = (None, None);
    for attribute in attributes(handle.ring().get(Some(name)).execute().await).await {
        match attribute {
            EthtoolAttr::Ring(EthtoolRingAttr::Rx(count)) => rx = Some(count),
            EthtoolAttr::Ring(EthtoolRingAttr::RxMax(count)) => rx_max = Some(count),
            _ => {}
        }
    }
    answers.rx_ring = rx.zip(rx_max);
    let (mut rx_max, mut combined_max) = (0, 0);
    for attribute in attributes(handle.channel().get(Some(name)).execute().await).await {
        match attribute {
            EthtoolAttr::Channel(EthtoolChannelAttr::RxMax(count)) => rx_max = count,
            EthtoolAttr::Channel(EthtoolChannelAttr::CombinedMax(count)) => combined_max = count,
            _ => {}
        }
    }
    answers.queues_max = Some(rx_max.max(combined_max)).filter(|count| *count > 0);
    for attribute in attributes(handle.feature().get(Some(name)).execute().await).await {
        if let EthtoolAttr::Feature(EthtoolFeatureAttr::Active(bits)) = attribute {
            let on = bits.into_iter().filter(|bit| bit.value).map(|bit| bit.name);
            answers.offloads.extend(on);
        }
    }
    connection.abort();
    Ok(answers)
}

/// The attributes of one answer; none where the driver has no such thing.
async fn attributes(
    answers: Result<
        impl Stream<Item = Result<GenlMessage<EthtoolMessage>, EthtoolError>>,
        EthtoolError,
    >,
) -> Vec<EthtoolAttr> {
    let Ok(answers) = answers else { return Vec::new() };
    let mut answers = std::pin::pin!(answers);
    match answers.next().await {
        Some(Ok(message)) => message.payload.nlas,
        _ => Vec::new(),
    }
}
