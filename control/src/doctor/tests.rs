//! The doctor's judgement of made-up machines.

use insta::assert_snapshot;

use super::netdev::{BASIC, ZERO_COPY};
use super::*;
use crate::datapath::interface::Interface;
use crate::privileges::KernelVersion;

/// A machine with a good network card.
fn good() -> Facts {
    Facts {
        kernel: KernelVersion(6, 12),
        btf: true,
        jit: Some(true),
        status: "Name:\txdtls\nCapEff:\t000001ffffffffff\nSeccomp:\t0\n".to_owned(),
        security_modules: "lockdown,capability,apparmor".to_owned(),
        memlock: Some(8 << 20),
        cpus: 4,
        load: Load::Loads,
        link: Ok(Link {
            interface: Interface {
                up: true,
                name: "eth0".to_owned(),
                index: 2,
                queues: 4,
                mtu: 1500,
                kind: None,
                driver: Some("igb".to_owned()),
                xdp_program: None,
            },
            state: "up".to_owned(),
            rx_ring: Some((1024, 4096)),
            queues_max: Some(8),
            offloads: vec!["rx-checksum".to_owned(), "rx-gro".to_owned()],
            xdp_features: Some(BASIC | ZERO_COPY),
            udp_ports_spread: Some(true),
            interrupts: 5,
        }),
    }
}

/// The judgement of a machine that differs in its interface.
fn with_link(change: impl FnOnce(&mut Link)) -> String {
    let mut facts = good();
    change(facts.link.as_mut().unwrap());
    not_ok(&facts)
}

/// What is not ok.
fn not_ok(facts: &Facts) -> String {
    let text = judge("eth0", facts).to_string();
    text.lines().filter(|line| !line.starts_with("ok ")).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_good_machine() {
    assert_snapshot!(judge("eth0", &good()).to_string());
}

#[test]
fn a_veth() {
    let text = with_link(|link| {
        link.interface.kind = Some("veth".to_owned());
        link.interface.driver = None;
        link.interface.queues = 2;
        link.interrupts = 0;
        link.xdp_features = Some(BASIC);
        link.udp_ports_spread = None;
    });
    assert_snapshot!(text, @r#"
    WARNING  zero-copy: not by this driver: AF_XDP copies each packet once
             -> nothing to do, unless you can choose another card; do not set zero_copy = "require"
    WARNING  checksums: the other end of a veth may leave UDP checksums to an offload: XDP sees wrong ones
             -> at the other end: ethtool -K PEER tx off (with containers: in the container)
    no problems, 2 warnings
    "#);
}

#[test]
fn a_card_that_is_set_up_badly() {
    let text = with_link(|link| {
        link.state = "down".to_owned();
        link.interface.queues = 2;
        link.interface.mtu = 9000;
        link.interface.xdp_program = Some(77);
        link.rx_ring = Some((256, 4096));
        link.offloads = vec!["rx-lro".to_owned(), "rx-gro-hw".to_owned()];
        link.udp_ports_spread = Some(false);
        link.xdp_features = Some(0);
    });
    assert_snapshot!(text, @r#"
    WARNING  interface: eth0 (igb) is down
             -> ip link set eth0 up, and look at the cable
    WARNING  XDP modes: generic only: the driver runs no XDP programs, each packet costs an allocation
             -> use a driver with native XDP, or sockets (datapath = "socket")
    PROBLEM  other programs: eth0 has an XDP program already (id 77)
             -> if it is not a running xdtls: `bpftool prog show id 77` tells what it is, `ip link set dev eth0 xdp off` detaches it
    PROBLEM  MTU: 9000: more than XDP takes here (3054)
             -> ip link set eth0 mtu 3054, or less; or datapath = "socket"
    WARNING  queues: 2 receive queues of at most 8, 4 CPUs, 5 interrupts
             -> ethtool -L eth0 combined 4
    WARNING  spreading: the card looks at addresses only: clients behind one NAT share one queue
             -> ethtool -N eth0 rx-flow-hash udp4 sdfn (and udp6)
    WARNING  receive rings: 256 packets each, of at most 4096: bursts may be lost
             -> ethtool -G eth0 rx 2048
    WARNING  offloads: rx-lro is on: it merges packets, and native XDP refuses or loses them
             -> ethtool -K eth0 lro off
    WARNING  offloads: rx-gro-hw is on: it merges packets, and native XDP refuses or loses them
             -> ethtool -K eth0 rx-gro-hw off
    2 problems, 7 warnings
    "#);
}

#[test]
fn a_card_with_too_many_queues_on_a_kernel_that_is_silent() {
    let text = with_link(|link| {
        link.interface.queues = 64;
        link.xdp_features = None;
    });
    assert_snapshot!(text, @r"
    WARNING  XDP modes: the kernel does not tell what the driver can do (it does from Linux 6.3 on)
             -> start the gateway and look at its line `datapath:`; generic mode works everywhere
    WARNING  queues: 64 receive queues of at most 8, 4 CPUs, 5 interrupts
             -> ethtool -L eth0 combined 4: each queue costs memory
    no problems, 2 warnings
    ");
}

#[test]
fn an_old_kernel_that_interprets() {
    let facts = Facts { kernel: KernelVersion(5, 4), btf: false, jit: Some(false), ..good() };
    assert_snapshot!(not_ok(&facts), @r"
    PROBLEM  kernel: Linux 5.4 cannot share packet memory between queues
             -> use Linux 5.10 or later
    WARNING  BTF: the kernel has no /sys/kernel/btf/vmlinux: tools cannot look into the program
             -> use a kernel with CONFIG_DEBUG_INFO_BTF; xdtls itself runs without
    WARNING  BPF JIT: BPF programs are interpreted: several times slower
             -> sysctl net.core.bpf_jit_enable=1
    1 problem, 2 warnings
    ");
}

#[test]
fn a_user_without_privileges() {
    let facts = Facts {
        status: "CapEff:\t0000000000000000\nSeccomp:\t0\n".to_owned(),
        load: Load::Forbidden("the capabilities CAP_NET_ADMIN, CAP_NET_RAW are missing".to_owned()),
        ..good()
    };
    assert_snapshot!(not_ok(&facts), @r"
    PROBLEM  capabilities: the capabilities CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF, CAP_PERFMON are missing
             -> run as root, or grant them: AmbientCapabilities= in a unit, setcap on the program
    PROBLEM  XDP program: may not be loaded: the capabilities CAP_NET_ADMIN, CAP_NET_RAW are missing
             -> run as root, or as a service with the capabilities that its unit lists
    PROBLEM  locked memory: 8 MiB are allowed; 332 MiB for packets, with a worker for each CPU
             -> ulimit -l unlimited, or LimitMEMLOCK=infinity in the unit
    3 problems, no warnings
    ");
}

#[test]
fn a_container_that_filters_system_calls() {
    let facts = Facts {
        status: "CapEff:\t000001ffffffffff\nSeccomp:\t2\n".to_owned(),
        load: Load::Forbidden("a security module or seccomp filter forbids bpf(2)".to_owned()),
        ..good()
    };
    assert_snapshot!(not_ok(&facts), @r"
    PROBLEM  seccomp: a filter is there
             -> let the container or service call bpf(2) (SystemCallFilter=, seccomp profile)
    WARNING  security modules: lockdown,capability,apparmor
             -> look into the module's log (dmesg, audit.log) for what it denied
    PROBLEM  XDP program: may not be loaded: a security module or seccomp filter forbids bpf(2)
             -> run as root, or as a service with the capabilities that its unit lists
    2 problems, 1 warning
    ");
    let harmless = Facts { load: Load::Loads, ..facts };
    assert_eq!(not_ok(&harmless), "no problems, no warnings\n");
}

#[test]
fn a_program_without_its_object_and_an_unknown_interface() {
    let load = Load::Fails("this xdtls carries no XDP program".to_owned());
    let link = Err("there is no network interface eth0".to_owned());
    assert_snapshot!(not_ok(&Facts { load, link, ..good() }), @r"
    PROBLEM  XDP program: this xdtls carries no XDP program
             -> use a release, or build with `cargo xtask build`; if it is one, report this
    PROBLEM  eth0: there is no network interface eth0
             -> `ip link` lists the interfaces there are
    2 problems, no warnings
    ");
}
