//! Judges both sides' interfaces, the address, the MTU, the user.

use super::facts::Facts;
use crate::config::Config;
use crate::datapath::interface::{Interface, TooLarge};
use crate::datapath::options::Datapath;
use crate::finding::Findings;

pub(super) fn judge(config: &Config, facts: &Facts) -> Findings {
    let mut findings = Findings::default();
    let listen = config.gateway.listen;
    match &facts.listen {
        Ok(()) => findings.ok("gateway.listen", format!("{listen} is an address of this host")),
        Err(error) => findings.problem(
            "gateway.listen",
            format!("{} cannot be listened on: {error}", listen.ip()),
            "give an address that `ip address` shows, or 0.0.0.0 or [::] for all",
        ),
    }
    judge_interface(config, facts, &mut findings);
    judge_inside(config, facts, &mut findings);
    if let (Some(user), Some(false)) = (&config.process.user, facts.user) {
        let seen = format!("there is no user {user}");
        findings.problem("process.user", seen, format!("useradd --system {user}"));
    }
    findings
}

fn judge_interface(config: &Config, facts: &Facts, findings: &mut Findings) {
    const SUBJECT: &str = "gateway.interface";
    let options = &config.gateway.datapath;
    let Some(name) = options.interface.as_ref() else { return };
    let interface = match &facts.interface {
        Some(Ok(interface)) => interface,
        Some(Err(error)) if options.datapath == Datapath::Xdp => {
            return findings.problem(SUBJECT, error, "`ip link` lists those that there are");
        }
        Some(Err(error)) => {
            let remedy = "`ip link` lists those that there are; the gateway will use sockets";
            return findings.warning(SUBJECT, error, remedy);
        }
        None => return,
    };
    let (mtu, path_mtu) = (interface.mtu, u32::from(config.gateway.path_mtu));
    if path_mtu > mtu {
        findings.warning(
            "gateway.path_mtu",
            format!("{path_mtu} bytes do not leave through {name}, whose MTU is {mtu}"),
            format!("set path_mtu = {mtu}, or raise the MTU of {name}"),
        );
    } else {
        let seen = format!("{path_mtu} bytes fit through {name}, whose MTU is {mtu}");
        findings.ok("gateway.path_mtu", seen);
    }
    if options.datapath != Datapath::Socket {
        judge_xdp(SUBJECT, interface, findings);
    }
}

fn judge_inside(config: &Config, facts: &Facts, findings: &mut Findings) {
    const SUBJECT: &str = "forward.interface";
    let options = &config.gateway.datapath;
    let required = options.datapath == Datapath::Xdp;
    match &facts.inside {
        Some(_) if options.interface.is_none() || options.datapath == Datapath::Socket => findings
            .warning(
                SUBJECT,
                "it has no use: the inside has XDP only where the outside has",
                "name the outside's interface in [gateway] and allow it XDP, or remove the line",
            ),
        Some(Ok(interface)) => judge_xdp(SUBJECT, interface, findings),
        Some(Err(error)) if required => {
            findings.problem(SUBJECT, error, "`ip link` lists those that there are");
        }
        Some(Err(error)) => {
            let remedy = "`ip link` lists those that there are; what backends send will come \
                          through the kernel";
            findings.warning(SUBJECT, error, remedy);
        }
        None => {}
    }
}

/// What keeps XDP from an interface.
fn judge_xdp(subject: &str, interface: &Interface, findings: &mut Findings) {
    let Interface { name, mtu, .. } = interface;
    if let Err(TooLarge { most, .. }) = interface.chunk() {
        let seen = format!("an MTU of {mtu} is more than XDP takes here ({most})");
        findings.warning(subject, seen, format!("ip link set {name} mtu {most}"));
    }
    if let Some(id) = interface.xdp_program {
        findings.warning(
            subject,
            format!("{name} has an XDP program already (id {id})"),
            format!(
                "if it is not a running xdtls: `ip link set dev {name} xdp off`, or another \
                 interface"
            ),
        );
    }
}
