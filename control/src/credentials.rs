//! What a gateway shows, whom it believes and whom it admits: from the files that the configuration
//! names to what handshakes ask. Read at the start and at each reload, whole or not at all.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use xdtls_proto::handshakes::RoutePolicy;
use xdtls_proto::policy::{Admission, PeerPattern, Policy, Rule};

use crate::config::{self, Config, RulePeer};
use crate::handshake::{
    AcceptorOptions, Identity, OpensslAcceptor, OpensslConnector, PskTable, Trust, authority_keys,
    read_file,
};
use crate::peer;
use crate::wall_clock;

/// What handshakes need, of one moment.
pub(crate) struct Credentials {
    pub(crate) acceptor: OpensslAcceptor,
    pub(crate) admission: Arc<Admission>,
    /// Pre-shared keys, if there are any.
    pub(crate) psk: Option<Arc<PskTable>>,
    /// What opens to peers, by link.
    pub(crate) connectors: Vec<OpensslConnector>,
}

impl Credentials {
    /// Reads every file that is named.
    ///
    /// # Errors
    ///
    /// Which file cannot be used, and why.
    pub(crate) fn read(config: &Config) -> Result<Self> {
        let clients = &config.clients;
        let certificates: Vec<_> = config.identities.iter().map(identity).collect::<Result<_>>()?;
        let trust = clients.ca.as_deref().map(|ca| trust(ca, &clients.crl)).transpose()?;
        let psk = clients.psk_file.as_deref().map(PskTable::read).transpose()?.map(Arc::new);
        let acceptor = OpensslAcceptor::with(&AcceptorOptions {
            identities: &certificates,
            require_server_name: config.gateway.require_server_name,
            trust: trust.as_ref(),
            psk: psk.clone(),
            allow_no_forward_secrecy: clients.allow_no_forward_secrecy,
            sessions: config.limits.sessions,
        })
        .context("cannot use the configured certificates and keys")?;
        let revocations = trust.as_ref().map(Trust::revocation_lists).transpose()?.flatten();
        let identities = psk.iter().flat_map(|table| table.identities().map(str::to_owned));
        let psk_identities = identities.collect();
        let (links, connectors) = peer::links(config, &certificates, trust.as_ref())?;
        let policy = policy(config)?;
        let admission = Arc::new(Admission { policy, revocations, psk_identities, links });
        Ok(Self { acceptor, admission, psk, connectors })
    }

    /// The PSK identities whose key is another now, or gone.
    pub(crate) fn psk_gone_since(&self, before: Option<&PskTable>) -> HashSet<String> {
        let Some(before) = before else { return HashSet::new() };
        let now = self.psk.as_deref();
        let is_gone =
            |identity: &&str| before.key(identity) != now.and_then(|table| table.key(identity));
        before.identities().filter(is_gone).map(str::to_owned).collect()
    }
}

/// What handshakes ask when they are complete.
pub(crate) fn route_policy(admission: Arc<Admission>) -> RoutePolicy {
    Box::new(move |identity| admission.judge(wall_clock::now_s(), identity))
}

/// Authorities, and what they have revoked.
pub(crate) fn trust(ca: &Path, crls: &[impl AsRef<Path>]) -> Result<Trust> {
    let mut trust = Trust::new(&read_file(ca)?).with_context(|| ca.display().to_string())?;
    for crl in crls.iter().map(AsRef::as_ref) {
        let added = trust.add_crls(&read_file(crl)?, wall_clock::now_s());
        added.with_context(|| crl.display().to_string())?;
    }
    Ok(trust)
}

fn identity(identity: &config::Identity) -> Result<Identity> {
    let passphrase = identity.key_passphrase_file.as_deref();
    let read = Identity::read(&identity.certificate, &identity.key, passphrase)?;
    Ok(Identity { server_names: identity.server_names.clone(), ..read })
}

fn policy(config: &Config) -> Result<Policy> {
    let mut rules = Vec::new();
    for config::Rule { peer, backend } in &config.rules {
        let peers = match peer {
            RulePeer::Pattern(pattern) => vec![pattern.clone()],
            RulePeer::Authority(file) => {
                let keys = authority_keys(&read_file(file)?);
                let keys = keys.with_context(|| file.display().to_string())?;
                keys.into_iter().map(PeerPattern::Authority).collect()
            }
        };
        rules.extend(peers.into_iter().map(|peer| Rule { peer, backend: *backend as u16 }));
    }
    let default_backend = config.forward.default_backend.map(|backend| backend as u16);
    Ok(Policy { rules, default_backend })
}
