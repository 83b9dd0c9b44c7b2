use crate::datapath::options::Datapath;
use clap::CommandFactory;
use insta::assert_snapshot;

use super::*;
use crate::trace::Filter;

/// What the program prints, on a terminal of 100 columns.
fn help(line: &str) -> String {
    let cli = Cli::command().term_width(100);
    cli.try_get_matches_from(line.split_whitespace()).expect_err("help ends the run").to_string()
}

fn parse(line: &str) -> Result<Cli, String> {
    Cli::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())
}

fn connect(more: &str) -> Result<Connect, String> {
    let line = "xdtls connect --listen 127.0.0.1:5000 --certificate c.pem --key c.key --ca ca.pem";
    match parse(&format!("{line} {more}"))?.command {
        Command::Connect(connect) => Ok(*connect),
        other => panic!("{other:?}"),
    }
}

#[test]
fn definitions_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn help_of_the_program() {
    assert_snapshot!(help("xdtls --help"));
}

#[test]
fn help_of_gateway() {
    assert_snapshot!(help("xdtls gateway --help"));
}

#[test]
fn help_of_connect() {
    assert_snapshot!(help("xdtls connect --help"));
}

#[test]
fn help_of_dev_certs() {
    assert_snapshot!(help("xdtls dev-certs --help"));
}

#[test]
fn help_of_status() {
    assert_snapshot!(help("xdtls status --help"));
}

#[test]
fn help_of_associations() {
    assert_snapshot!(help("xdtls associations --help"));
}

#[test]
fn help_of_associations_list() {
    assert_snapshot!(help("xdtls associations list --help"));
}

#[test]
fn help_of_peer() {
    assert_snapshot!(help("xdtls peer --help"));
}

#[test]
fn help_of_drops() {
    assert_snapshot!(help("xdtls drops --help"));
}

#[test]
fn help_of_trace() {
    assert_snapshot!(help("xdtls trace --help"));
}

#[test]
fn whom_to_trace_is_an_id_an_address_or_a_peer() {
    let whom = |text: &str| match parse(&format!("xdtls trace {text}"))?.command {
        Command::Trace(trace) => Ok::<_, String>(trace.whom),
        other => panic!("{other:?}"),
    };
    assert_eq!(whom("000301f4"), Ok(Filter::Id(0x301f4)));
    assert_eq!(whom("192.0.2.7"), Ok(Filter::Host([192, 0, 2, 7].into())));
    assert_eq!(whom("192.0.2.7:5"), Ok(Filter::Peer(([192, 0, 2, 7], 5).into())));
    assert!(whom("[2001:db8::7]:5").is_ok());
    assert!(whom("gateway").unwrap_err().contains("write an id"));
}

#[test]
fn help_of_reload() {
    assert_snapshot!(help("xdtls reload --help"));
}

#[test]
fn an_id_is_written_as_it_is_shown() {
    let action = |line: &str| match parse(line)?.command {
        Command::Associations(associations) => Ok(associations.action),
        other => panic!("{other:?}"),
    };
    let show = action("xdtls associations show 000301f4 --json").unwrap();
    assert!(matches!(show, Some(AssociationsAction::Show { id: 0x301f4 })), "{show:?}");
    assert!(action("xdtls associations --json").unwrap().is_none());
    let said: String = action("xdtls associations close app").unwrap_err();
    assert!(said.contains("such as 000301f4"), "{said}");
}

#[test]
fn connect_has_defaults() {
    let connect = connect("--gateway gateway.example:4433").unwrap();
    assert_eq!(connect.server_name(), "gateway.example");
    assert_eq!(connect.idle_timeout, Duration::from_secs(120));
    assert_eq!((connect.max_associations, connect.path_mtu), (1024, 1500));
    assert_eq!(connect.admin_socket, None);
}

#[test]
fn clients_show_certificates_or_a_pre_shared_key() {
    let with = |proof: &str| {
        let line = "xdtls connect --gateway g:1 --listen 127.0.0.1:5000";
        match parse(&format!("{line} {proof}"))?.command {
            Command::Connect(connect) => Ok::<_, String>(connect.proof),
            other => panic!("{other:?}"),
        }
    };
    let two = "--certificate a.pem --key a.key --certificate b.pem --key b.key --ca ca.pem";
    let proof = with(&format!("{two} --crl a.crl --crl b.crl")).unwrap();
    assert_eq!((proof.certificate.len(), proof.key.len(), proof.crl.len()), (2, 2, 2));
    let psk = with("--psk-identity sensor-7 --psk-file psk.txt").unwrap();
    assert_eq!(psk.psk_identity.as_deref(), Some("sensor-7"));
    for (incomplete, lacking) in [
        ("", "--certificate"),
        ("--certificate a.pem --key a.key", "--ca"),
        ("--certificate a.pem --ca ca.pem", "--key"),
        ("--psk-identity sensor-7", "--psk-file"),
        ("--psk-file psk.txt", "--psk-identity"),
        ("--psk-identity sensor-7 --psk-file psk.txt --ca ca.pem", "cannot be used with"),
    ] {
        let said = with(incomplete).unwrap_err();
        assert!(said.contains(lacking), "{incomplete}: {said}");
    }
}

#[test]
fn server_name_may_differ_from_the_host() {
    let connect = connect("--gateway [::1]:4433 --server-name gateway").unwrap();
    assert_eq!(connect.gateway.host, "::1");
    assert_eq!(connect.gateway.to_string(), "[::1]:4433");
    assert_eq!(connect.server_name(), "gateway");
}

#[test]
fn values_out_of_range_are_refused_with_the_range() {
    let refused = |option: &str, hint: &str| {
        let said = connect(&format!("--gateway g:1 {option}")).unwrap_err();
        assert!(said.contains(hint), "{said}");
    };
    refused("--idle-timeout 0s", "between 1s and 24h");
    refused("--idle-timeout 120", "unit (ms, s, m or h)");
    refused("--max-associations 0", "1..=2048");
    refused("--path-mtu 575", "576..=9216");
}

#[test]
fn hosts_need_a_port_and_ipv6_brackets() {
    let refused = |text: &str| text.parse::<HostPort>().unwrap_err();
    for text in ["gateway", "gateway:", "gateway:0", "gateway:65536", "gateway:x", ""] {
        assert_eq!(refused(text), HostPortError::Port, "{text}");
    }
    for text in [":4433", "[]:4433"] {
        assert_eq!(refused(text), HostPortError::Host, "{text}");
    }
    for text in ["::1:4433", "[::1:4433", "::1]:4433", "[::1]"] {
        assert_eq!(refused(text), HostPortError::Brackets, "{text}");
    }
}

#[test]
fn datapath_and_log_level_may_be_set() {
    let cli = parse("xdtls gateway --config g.toml --datapath socket --log debug").unwrap();
    assert_eq!(cli.log, LevelFilter::DEBUG);
    let Command::Gateway(gateway) = cli.command else { panic!("{cli:?}") };
    assert_eq!(gateway.datapath.datapath, Some(Datapath::Socket));
    let said = parse("xdtls gateway --config g.toml --datapath fast").unwrap_err();
    assert!(said.contains("it must be auto, xdp or socket"), "{said}");
    assert!(parse("xdtls gateway --config g.toml --log loud").is_err());
}
