//! Reading the configuration again while the gateway runs: certificates, CA, CRLs, pre-shared keys,
//! rules and limits, all of it or nothing. Associations that are not admitted any more are closed;
//! the others go on as they are.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::access::AccessList;
use crate::admin::Bounds;
use crate::config::Config;
use crate::credentials::{Credentials, route_policy};
use crate::datapath::options::DatapathArgs;
use crate::gateway;
use crate::handshake::PskTable;
use crate::handshake_pool::Settings;
use crate::messages::WorkerLimits;
use crate::node::{Handle, Shape};

/// What came of it. Keys are written as `table.key`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Keys whose new values are in use now. The files of certificates and keys are read every time
    /// and are not listed for it.
    pub changed: Vec<String>,
    /// Keys that have changed in the file and are used from the next start on.
    pub needs_restart: Vec<String>,
    /// Associations that are closed because their peer is not admitted any more.
    pub dismissed: usize,
}

/// What is needed to read the configuration again.
pub struct Reload {
    file: PathBuf,
    overrides: DatapathArgs,
    shape: Shape,
    access: Arc<AccessList>,
    /// What is in use.
    running: Mutex<InUse>,
}

struct InUse {
    config: Config,
    psk: Option<Arc<PskTable>>,
}

impl Reload {
    /// For a gateway that runs with `config` and `psk`.
    pub fn new(
        file: PathBuf,
        overrides: DatapathArgs,
        shape: Shape,
        access: Arc<AccessList>,
        config: Config,
        psk: Option<Arc<PskTable>>,
    ) -> Self {
        let running = Mutex::new(InUse { config, psk });
        Self { file, overrides, shape, access, running }
    }

    /// The lists of sources.
    pub fn access(&self) -> &AccessList {
        &self.access
    }

    /// How long associations may end by themselves before the gateway closes them.
    pub fn drain_time(&self) -> Duration {
        self.running.lock().unwrap_or_else(PoisonError::into_inner).config.limits.drain
    }

    /// Reads it, and lets the threads use it.
    ///
    /// # Errors
    ///
    /// Why the file is refused, in the words of the start; nothing has changed then.
    pub fn reload(&self, handle: &Handle) -> Result<(Reloaded, Bounds), String> {
        let mut config = Config::load(&self.file).map_err(|errors| errors.to_string())?;
        config.gateway.datapath = self.overrides.clone().over(config.gateway.datapath);
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let needs_restart = pin(&mut config, &running.config)?;
        let credentials = Credentials::read(&config).map_err(|error| format!("{error:#}"))?;
        let changed = changes(&running.config, &config);
        // What the operator has changed since stays, unless the file says otherwise now.
        if config.access != running.config.access {
            let access = config.access.clone();
            self.access.replace(access).map_err(|error| error.to_string())?;
        }
        let settings = || Settings {
            acceptor: credentials.acceptor.clone(),
            limits: gateway::limits(&config, self.shape),
            policy: route_policy(credentials.admission.clone()),
            openers: credentials.opener_settings(),
        };
        let limits = WorkerLimits {
            idle_timeout: config.limits.idle_timeout,
            rekey: config.limits.rekey,
            flows: gateway::flow_limits(&config),
        };
        handle.reconfigure(settings, limits);
        let gone = credentials.psk_gone_since(running.psk.as_deref());
        let dismissed = handle.admit_by(credentials.admission, &gone);
        let bounds = gateway::bounds(&config);
        *running = InUse { config, psk: credentials.psk };
        Ok((Reloaded { changed, needs_restart, dismissed }, bounds))
    }
}

/// Gives `config` the running values of all keys that cannot change, and names those that differ.
fn pin(config: &mut Config, running: &Config) -> Result<Vec<String>, String> {
    // Rules refer to backends by their place, which is a place among those that run.
    let place = |index: usize| {
        let name = &config.backends[index].name;
        running.backends.iter().position(|backend| backend.name == *name).ok_or_else(|| {
            format!("a rule leads to the backend `{name}`, which is new: restart to use it")
        })
    };
    let rules: Vec<_> =
        config.rules.iter().map(|rule| place(rule.backend)).collect::<Result<_, _>>()?;
    let default_backend = config.forward.default_backend.map(place).transpose()?;
    for (rule, place) in config.rules.iter_mut().zip(rules) {
        rule.backend = place;
    }
    config.forward.default_backend = default_backend;

    let mut different = Vec::new();
    macro_rules! pinned {
        ($($($field:ident).+ = $name:literal,)+) => {
            $(if config.$($field).+ != running.$($field).+ {
                different.push($name.to_owned());
                config.$($field).+.clone_from(&running.$($field).+);
            })+
        };
    }
    pinned! {
        gateway.listen = "gateway.listen",
        gateway.workers = "gateway.workers",
        gateway.handshake_workers = "gateway.handshake_workers",
        gateway.path_mtu = "gateway.path_mtu",
        gateway.datapath.datapath = "gateway.datapath",
        gateway.datapath.interface = "gateway.interface",
        gateway.datapath.xdp_mode = "gateway.xdp_mode",
        gateway.datapath.zero_copy = "gateway.zero_copy",
        gateway.datapath.transmit = "gateway.transmit",
        gateway.datapath.answer_hellos = "gateway.answer_hellos",
        forward.interface = "forward.interface",
        limits.associations = "limits.associations",
        limits.front.replies = "limits.hello_replies",
        limits.front.replies_per_source = "limits.hello_replies_per_source",
        limits.front.slow_hellos = "limits.slow_hellos",
        backends = "backend",
        peers = "peer",
        admin.socket = "admin.socket",
        metrics.listen = "metrics.listen",
        process.user = "process.user",
    }
    Ok(different)
}

/// The names of the keys that can change and have.
fn changes(running: &Config, config: &Config) -> Vec<String> {
    let mut changed = BTreeSet::new();
    macro_rules! compared {
        ($($($field:ident).+ = $name:literal,)+) => {
            $(if config.$($field).+ != running.$($field).+ {
                changed.insert($name.to_owned());
            })+
        };
    }
    compared! {
        access.allow = "access.allow",
        access.deny = "access.deny",
        identities = "identity",
        gateway.require_server_name = "gateway.require_server_name",
        clients.ca = "clients.ca",
        clients.crl = "clients.crl",
        clients.psk_file = "clients.psk_file",
        clients.allow_no_forward_secrecy = "clients.allow_no_forward_secrecy",
        rules = "rule",
        forward.default_backend = "forward.default_backend",
        limits.half_open = "limits.half_open",
        limits.half_open_per_source = "limits.half_open_per_source",
        limits.handshake_rate_per_source = "limits.handshake_rate_per_source",
        limits.handshake_burst_per_source = "limits.handshake_burst_per_source",
        limits.handshake_deadline = "limits.handshake_deadline",
        limits.idle_timeout = "limits.idle_timeout",
        limits.sessions.sessions = "limits.sessions",
        limits.sessions.lifetime = "limits.session_lifetime",
        limits.rekey.records = "limits.rekey_after_records",
        limits.rekey.bytes = "limits.rekey_after_bytes",
        limits.rekey.time = "limits.rekey_after_time",
        limits.flow_idle_timeout = "limits.flow_idle_timeout",
        limits.backend_flows = "limits.backend_flows",
        limits.drain = "limits.drain",
    }
    changed.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../docs/examples/gateway.toml");

    fn config(text: &str) -> Config {
        let folder = tempfile::tempdir().unwrap();
        for name in ["gateway.pem", "gateway.key", "ca.pem"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let mut config = Config::parse(text, &folder.path().join("gateway.toml")).unwrap();
        // Each parse has a folder of its own.
        config.identities.clear();
        config.clients.ca = Some("ca.pem".into());
        config
    }

    /// Does not compile when there is a key that [`pin`] and [`changes`] may not know.
    #[allow(dead_code, reason = "it is there to be compiled")]
    fn every_key_is_thought_of(config: Config) {
        use crate::access::AccessRules;
        use crate::config::{Admin, Clients, Forward, Gateway, Limits, Metrics, Process};
        use crate::datapath::options::DatapathOptions;
        use crate::handshake::SessionLimits;
        use xdtls_proto::rekey::RekeyLimits;
        let Config {
            gateway,
            identities: _,
            clients,
            limits,
            backends: _,
            peers: _,
            rules: _,
            forward,
            access,
            admin,
            process,
            metrics,
        } = &config;
        let Gateway {
            listen: _,
            workers: _,
            handshake_workers: _,
            path_mtu: _,
            datapath,
            require_server_name: _,
        } = gateway;
        let DatapathOptions {
            datapath: _,
            interface: _,
            xdp_mode: _,
            zero_copy: _,
            transmit: _,
            answer_hellos: _,
        } = datapath;
        let Clients { ca: _, crl: _, psk_file: _, allow_no_forward_secrecy: _ } = clients;
        let Forward { interface: _, default_backend: _ } = forward;
        let (Admin { socket: _ }, Metrics { listen: _ }) = (admin, metrics);
        let (AccessRules { allow: _, deny: _ }, Process { user: _ }) = (access, process);
        let Limits {
            associations: _,
            half_open: _,
            half_open_per_source: _,
            handshake_rate_per_source: _,
            handshake_burst_per_source: _,
            handshake_deadline: _,
            idle_timeout: _,
            sessions: SessionLimits { sessions: _, lifetime: _ },
            rekey: RekeyLimits { records: _, bytes: _, time: _ },
            flow_idle_timeout: _,
            backend_flows: _,
            drain: _,
            front: _,
        } = limits;
    }

    #[test]
    fn what_cannot_change_is_named_and_stays() {
        let running = config(EXAMPLE);
        let text = EXAMPLE
            .replace("0.0.0.0:4433", "0.0.0.0:4434")
            .replace("#half_open = 1024", "half_open = 7")
            .replace("#associations = 65536", "associations = 10")
            .replace("backend = \"telemetry\"", "backend = \"app\"");
        let mut changed = config(&text);
        let needs_restart = pin(&mut changed, &running).unwrap();
        assert_eq!(needs_restart, ["gateway.listen", "limits.associations"]);
        assert_eq!(changes(&running, &changed), ["limits.half_open", "rule"]);
        assert_eq!(changed.gateway.listen, running.gateway.listen);
        assert_eq!(changed.limits.associations, 65_536);
    }

    #[test]
    fn rules_find_their_backends_at_the_running_places() {
        let running = config(EXAMPLE);
        let more = "[[backend]]\nname = \"first\"\naddress = \"10.0.0.9:1\"\n\n";
        let at = EXAMPLE.find("[[backend]]").unwrap();
        let text = format!("{}{more}{}", &EXAMPLE[..at], &EXAMPLE[at..]);
        let mut changed = config(&text);
        assert_eq!(changed.rules[0].backend, 2);
        assert_eq!(pin(&mut changed, &running).unwrap(), ["backend"]);
        assert_eq!((changed.rules[0].backend, changed.forward.default_backend), (1, Some(0)));

        let text = text.replace("default_backend = \"app\"", "default_backend = \"first\"");
        let refused = pin(&mut config(&text), &running).unwrap_err();
        assert!(refused.contains("`first`, which is new: restart"), "{refused}");
    }
}
