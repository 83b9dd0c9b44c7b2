//! Whose flow it is that a datagram came in by, where AF_XDP brings it past the flow's socket.

use std::collections::HashMap;
use std::sync::Arc;

use xdtls_common::flow::FlowKey;
use xdtls_common::id::LocalId;

use crate::datapath::flows::OpenFlows;

/// The open flows of one worker, as the inside's XDP program knows them.
pub struct FastFlows {
    known: Arc<OpenFlows>,
    shard: u32,
    owners: HashMap<FlowKey, LocalId>,
}

impl FastFlows {
    /// No flow yet of the worker that owns `shard`.
    pub fn new(known: Arc<OpenFlows>, shard: u32) -> Self {
        Self { known, shard, owners: HashMap::new() }
    }

    /// Lets a flow's datagrams come in by AF_XDP from now on.
    pub(super) fn open(&mut self, flow: FlowKey, owner: LocalId) {
        self.owners.insert(flow, owner);
        self.known.open(&flow, self.shard);
    }

    /// Gives a flow that is open to another association.
    pub(super) fn hand_over(&mut self, flow: FlowKey, owner: LocalId) {
        self.owners.insert(flow, owner);
    }

    /// Ends it.
    pub(super) fn close(&mut self, flow: &FlowKey) {
        self.known.close(flow);
        self.owners.remove(flow);
    }

    /// Whose flow it is.
    pub(super) fn owner(&self, flow: &FlowKey) -> Option<LocalId> {
        self.owners.get(flow).copied()
    }
}
