//! What `xdtls` says about each kind of fault in a configuration file.

use std::path::Path;

use insta::assert_snapshot;
use xdtls::config::Config;

/// The smallest configuration.
const MINIMAL: &str = r#"
[gateway]
listen = "0.0.0.0:4433"

[[identity]]
certificate = "gateway.pem"
key = "gateway.key"

[clients]
ca = "ca.pem"

[[backend]]
name = "app"
address = "10.0.0.2:9000"
"#;

/// Checks `text` as `gateway.toml` in a folder that has the files of [`MINIMAL`].
fn check(text: &str) -> Result<Config, String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["gateway.pem", "gateway.key", "ca.pem"] {
        std::fs::write(folder.path().join(name), "").expect("an empty file");
    }
    let path = folder.path().display().to_string();
    Config::parse(text, &folder.path().join("gateway.toml")).map_err(|errors| {
        errors.to_string().replace(&path, "DIR").replace("DIR/gateway.toml", "gateway.toml")
    })
}

/// What is said about [`MINIMAL`] with `part` replaced, for each of the replacements.
fn replaced<const N: usize>(part: &str, by: [&str; N]) -> String {
    assert!(MINIMAL.contains(part), "{part}");
    by.map(|by| check(&MINIMAL.replace(part, by)).expect_err(by)).join("\n")
}

/// What is said about [`MINIMAL`] with more lines at its end, for each of the additions.
fn appended<const N: usize>(lines: [&str; N]) -> String {
    lines.map(|lines| check(&format!("{MINIMAL}{lines}")).expect_err(lines)).join("\n")
}

#[test]
fn the_minimal_configuration_is_accepted() {
    assert!(check(MINIMAL).is_ok());
}

#[test]
fn unreadable_file() {
    let errors = Config::load(Path::new("/nowhere/gateway.toml")).unwrap_err();
    assert_snapshot!(errors, @"/nowhere/gateway.toml: cannot be read (No such file or directory (os error 2)); correct the path or the file's permissions");
}

#[test]
fn empty_file() {
    assert_snapshot!(check("").unwrap_err(), @r#"
    gateway.toml:1: gateway.listen: missing; add for example `listen = "0.0.0.0:4433"` to [gateway]
    gateway.toml:1: identity: missing; add an [[identity]] table with the gateway's `certificate` and `key`
    gateway.toml:1: clients.ca: missing; add for example `ca = "ca.pem"` to [clients]
    gateway.toml:1: backend: missing; add a [[backend]] table with `name` and `address`
    "#);
}

#[test]
fn syntax() {
    assert_snapshot!(replaced("\"app\"", ["app", "\"app", ""]), @r#"
    gateway.toml:13: not valid TOML: string values must be quoted, expected literal string; correct this line
    gateway.toml:13: not valid TOML: invalid basic string, expected `"`; correct this line
    gateway.toml:13: not valid TOML: string values must be quoted, expected literal string; correct this line
    "#);
    assert_snapshot!(appended(["name = \"web\"", "[gateway]", "]"]), @r"
    gateway.toml:15: not valid TOML: duplicate key; correct this line
    gateway.toml:15: not valid TOML: duplicate key; correct this line
    gateway.toml:15: not valid TOML: missing table open, expected `[`; correct this line
    ");
}

#[test]
fn unknown_keys() {
    assert_snapshot!(replaced("ca = ", ["ca_file = \"x\"\nca = "]), @"gateway.toml:10: unknown key `ca_file` in [clients]; did you mean `ca`? (known keys: allow_no_forward_secrecy, ca, crl, psk_file)");
    assert_snapshot!(replaced("[gateway]", ["[gateway]\npath_mut = 1400"]), @"gateway.toml:3: unknown key `path_mut` in [gateway]; did you mean `path_mtu`? (known keys: answer_hellos, datapath, handshake_workers, interface, listen, path_mtu, require_server_name, transmit, workers, xdp_mode, zero_copy)");
    assert_snapshot!(appended(["[limit]\nhalf_open = 3", "colour = 'blue'"]), @r"
    gateway.toml:15: unknown key `limit` in this file; did you mean `limits`? (known keys: access, admin, backend, clients, forward, gateway, identity, limits, metrics, peer, process, rule)
    gateway.toml:15: unknown key `colour` in [[backend]]; remove it (known keys: address, name, source_addresses)
    ");
}

#[test]
fn missing_keys() {
    assert_snapshot!(replaced("listen = \"0.0.0.0:4433\"", [""]), @r#"gateway.toml:2: gateway.listen: missing; add for example `listen = "0.0.0.0:4433"` to [gateway]"#);
    assert_snapshot!(replaced("key = \"gateway.key\"", [""]), @r#"gateway.toml:5: identity.key: missing; add for example `key = "gateway.key"` to [[identity]]"#);
    assert_snapshot!(appended(["[[rule]]"]), @r#"
    gateway.toml:15: rule.certificate_name: missing; add for example `certificate_name = "*.sensors.example"` to [[rule]]
    gateway.toml:15: rule.backend: missing; add for example `backend = "app"` to [[rule]]
    "#);
}

#[test]
fn wrong_types() {
    assert_snapshot!(replaced("\"0.0.0.0:4433\"", ["4433", "true"]), @r#"
    gateway.toml:3: gateway.listen: must be a string, found integer; write for example `listen = "0.0.0.0:4433"`
    gateway.toml:3: gateway.listen: must be a string, found boolean; write for example `listen = "0.0.0.0:4433"`
    "#);
    assert_snapshot!(replaced("[clients]", ["[[clients]]"]), @"gateway.toml:9: clients: must be written as [clients], found array; put `[clients]` on a line before its keys");
    assert_snapshot!(replaced("[[backend]]", ["[backend]"]), @"gateway.toml:12: backend: must be written as [[backend]], found table; put `[[backend]]` on a line before its keys");
    assert_snapshot!(check("backend = 1\nclients = []\nlimits = [2]").unwrap_err(), @r#"
    gateway.toml:1: gateway.listen: missing; add for example `listen = "0.0.0.0:4433"` to [gateway]
    gateway.toml:1: identity: missing; add an [[identity]] table with the gateway's `certificate` and `key`
    gateway.toml:1: backend: must be written as [[backend]], found integer; put `[[backend]]` on a line before its keys
    gateway.toml:1: backend.name: missing; add for example `name = "app"` to [[backend]]
    gateway.toml:1: backend.address: missing; add for example `address = "10.0.0.2:9000"` to [[backend]]
    gateway.toml:2: clients: must be written as [clients], found array; put `[clients]` on a line before its keys
    gateway.toml:2: clients.ca: missing; add for example `ca = "ca.pem"` to [clients]
    gateway.toml:3: limits: must be written as [limits], found array; put `[limits]` on a line before its keys
    "#);
    assert_snapshot!(
        appended([
            "[limits]\nhalf_open = \"many\"",
            "[limits]\nhandshake_deadline = 15",
            "[rule]\ncertificate_name = \"x\"\nbackend = \"app\"",
            "[[rule]]\ncertificate_name = \"x\"\nbackend = 1",
            "source_addresses = \"10.0.0.1\"",
            "source_addresses = [1]",
        ]),
        @r#"
    gateway.toml:16: limits.half_open: must be an integer, found string; write for example `half_open = 1024`
    gateway.toml:16: limits.handshake_deadline: must be a string, found integer; write for example `handshake_deadline = "15s"`
    gateway.toml:15: rule: must be written as [[rule]], found table; put `[[rule]]` on a line before its keys
    gateway.toml:17: rule.backend: must be a string, found integer; write for example `backend = "app"`
    gateway.toml:15: backend.source_addresses: must be a list, found string; write for example `source_addresses = ["10.0.0.1"]`
    gateway.toml:15: backend.source_addresses: must be a string, found integer; write for example `source_addresses = ["10.0.0.1"]`
    "#
    );
}

#[test]
fn out_of_range() {
    assert_snapshot!(
        appended([
            "[limits]\nhalf_open = 0",
            "[limits]\nhalf_open_per_source = -1",
            "[limits]\nassociations = 0x10_0001",
            "[limits]\nbackend_flows = 99999999999999999999",
            "[limits]\nhandshake_deadline = \"1h\"",
            "[limits]\nflow_idle_timeout = \"0s\"",
            "[limits]\nidle_timeout = \"169h\"",
        ]),
        @r"
    gateway.toml:16: limits.half_open: must be between 1 and 1000000, found 0; raise it or remove the line (default 1024)
    gateway.toml:16: limits.half_open_per_source: must be between 1 and 1000000, found -1; raise it or remove the line (default 16)
    gateway.toml:16: limits.associations: must be between 1 and 1048576, found 0x100001; lower it or remove the line (default 65536)
    gateway.toml:16: limits.backend_flows: must be between 1 and 1048576, found 99999999999999999999; lower it or remove the line (default 65536)
    gateway.toml:16: limits.handshake_deadline: must be between 1s and 10m, found 1h; lower it or remove the line (default 15s)
    gateway.toml:16: limits.flow_idle_timeout: must be between 1s and 24h, found 0s; raise it or remove the line (default 2m)
    gateway.toml:16: limits.idle_timeout: must be between 0s and 168h, found 169h; lower it or remove the line (default 0s)
    "
    );
    assert_snapshot!(
        replaced("[gateway]", ["[gateway]\npath_mtu = 575", "[gateway]\npath_mtu = 65536"]),
        @r"
    gateway.toml:3: gateway.path_mtu: must be between 576 and 9216, found 575; raise it or remove the line (default 1500)
    gateway.toml:3: gateway.path_mtu: must be between 576 and 9216, found 65536; lower it or remove the line (default 1500)
    "
    );
}

#[test]
fn threads_out_of_range() {
    // The rest of the message depends on the machine: it names the default.
    for (key, number, remedy) in [("workers", 257, "lower"), ("handshake_workers", 0, "raise")] {
        let said = replaced("[gateway]", [&format!("[gateway]\n{key} = {number}")]);
        let start = format!(
            "gateway.toml:3: gateway.{key}: must be between 1 and 256, found {number}; {remedy} it"
        );
        assert!(said.starts_with(&start), "{said}");
    }
}

#[test]
fn path_mtu_below_that_of_ipv6() {
    assert_snapshot!(replaced("\"0.0.0.0:4433\"", ["\"[::]:4433\"\npath_mtu = 1000"]), @"gateway.toml:4: gateway.path_mtu: must be at least 1280 with an IPv6 listen address; raise it or remove the line (default 1500)");
}

#[test]
fn durations() {
    assert_snapshot!(
        appended(["[limits]\nhandshake_deadline = \"15\"", "[limits]\nidle_timeout = \"3 days\""]),
        @r#"
    gateway.toml:16: limits.handshake_deadline: `15` is not a whole number with a unit (ms, s, m or h); write for example `handshake_deadline = "15s"`
    gateway.toml:16: limits.idle_timeout: `3 days` is not a whole number with a unit (ms, s, m or h); write for example `idle_timeout = "0s"`
    "#
    );
}

#[test]
fn datapaths() {
    let lines = [
        "[gateway]\ndatapath = \"xdp\"",
        "[gateway]\ndatapath = \"fast\"",
        "[gateway]\nxdp_mode = \"fast\"",
        "[gateway]\nzero_copy = \"on\"",
        "[gateway]\ntransmit = \"dpdk\"",
        "[gateway]\ndatapath = \"socket\"\ntransmit = \"xdp\"",
        "[gateway]\ninterface = 0",
    ];
    assert_snapshot!(replaced("[gateway]", lines));
}

#[test]
fn addresses() {
    assert_snapshot!(replaced("0.0.0.0:4433", ["0.0.0.0", "localhost:4433"]), @r#"
    gateway.toml:3: gateway.listen: `0.0.0.0` is refused: invalid socket address syntax; write for example `listen = "0.0.0.0:4433"`
    gateway.toml:3: gateway.listen: `localhost:4433` is refused: invalid socket address syntax; write for example `listen = "0.0.0.0:4433"`
    "#);
    assert_snapshot!(replaced("10.0.0.2:9000", ["10.0.0.2:0", "[::]:9000"]), @r#"
    gateway.toml:14: backend.address: `10.0.0.2:0` is no address to send to; write for example `address = "10.0.0.2:9000"`
    gateway.toml:14: backend.address: `[::]:9000` is no address to send to; write for example `address = "10.0.0.2:9000"`
    "#);
    assert_snapshot!(
        appended([
            "source_addresses = [\n  \"10.0.0.1\",\n  \"10.0.0\",\n]",
            "source_addresses = [\"10.0.0.1\", \"10.0.0.1\"]",
            "source_addresses = [\"fd00::1\"]",
        ]),
        @r#"
    gateway.toml:17: backend.source_addresses: `10.0.0` is refused: invalid IP address syntax; write for example `source_addresses = ["10.0.0.1"]`
    gateway.toml:15: backend.source_addresses: `10.0.0.1` is used on line 15 already; change or remove one of the two
    gateway.toml:15: backend.source_addresses: `fd00::1` cannot send to 10.0.0.2:9000: one is IPv4, the other IPv6; use addresses of one family
    "#
    );
}

#[test]
fn files() {
    assert_snapshot!(replaced("gateway.pem", ["missing.pem", "/nowhere/gateway.pem", ".", ""]), @r#"
    gateway.toml:6: identity.certificate: cannot read `DIR/missing.pem`: No such file or directory (os error 2); correct the path (a relative one starts at this file's folder) or create the file
    gateway.toml:6: identity.certificate: cannot read `/nowhere/gateway.pem`: No such file or directory (os error 2); correct the path (a relative one starts at this file's folder) or create the file
    gateway.toml:6: identity.certificate: cannot read `DIR/.`: it is not a file; correct the path (a relative one starts at this file's folder) or create the file
    gateway.toml:6: identity.certificate: must not be empty; write for example `certificate = "gateway.pem"`
    "#);
    assert_snapshot!(replaced("gateway.key", ["missing.key"]), @"gateway.toml:7: identity.key: cannot read `DIR/missing.key`: No such file or directory (os error 2); correct the path (a relative one starts at this file's folder) or create the file");
    assert_snapshot!(replaced("ca.pem", ["missing.pem"]), @"gateway.toml:10: clients.ca: cannot read `DIR/missing.pem`: No such file or directory (os error 2); correct the path (a relative one starts at this file's folder) or create the file");
}

#[test]
fn backends() {
    assert_snapshot!(replaced("\"app\"", ["\"\""]), @r#"gateway.toml:13: backend.name: must not be empty; write for example `name = "app"`"#);
    assert_snapshot!(appended(["[[backend]]\nname = \"app\"\naddress = \"10.0.0.3:1\""]), @"gateway.toml:16: backend.name: `app` is used on line 13 already; change or remove one of the two");
}

#[test]
fn rules() {
    assert_snapshot!(
        appended([
            "[[rule]]\ncertificate_name = \"A.example\"\nbackend = \"app\"\n\
             [[rule]]\ncertificate_name = \"a.example\"\nbackend = \"app\"",
            "[[rule]]\ncertificate_name = \"a.*.example\"\nbackend = \"app\"",
            "[[rule]]\ncertificate_name = \"a.example\"\nbackend = \"apps\"",
            "[[rule]]\ncertificate_name = \"a.example\"\nbackend = \"web\"",
            "[forward]\ndefault_backend = \"web\"",
        ]),
        @r#"
    gateway.toml:19: rule.certificate_name: `a.example` is used on line 16 already; change or remove one of the two
    gateway.toml:16: rule.certificate_name: `a.*.example` is refused: `*` may only stand for the whole first label, as in `*.example`; write for example `certificate_name = "*.sensors.example"`
    gateway.toml:17: rule.backend: there is no backend `apps`; did you mean `app`?
    gateway.toml:17: rule.backend: there is no backend `web`; add a [[backend]] table with `name = "web"`
    gateway.toml:16: forward.default_backend: there is no backend `web`; add a [[backend]] table with `name = "web"`
    "#
    );
}

#[test]
fn the_insides_interface_is_not_the_outsides() {
    let text = MINIMAL.replace("[gateway]", "[gateway]\ninterface = \"eth0\"");
    let with = |name: &str| check(&format!("{text}[forward]\ninterface = {name}"));
    assert_eq!(with("\"eth1\"").unwrap().forward.interface.as_deref(), Some("eth1"));
    assert_snapshot!(with("\"eth0\"").unwrap_err(), @"gateway.toml:17: forward.interface: `eth0` is the outside's interface, which has an XDP program of its own; remove the line: what backends send comes through the kernel");
    assert_snapshot!(with("1").unwrap_err(), @r#"gateway.toml:17: forward.interface: must be a string, found integer; write for example `interface = "eth1"`"#);
}

#[test]
fn rules_look_at_one_thing_each() {
    assert_snapshot!(
        appended([
            "[[rule]]\ncertificate_name = \"a\"\nuri = \"x://y\"\nbackend = \"app\"",
            "[[rule]]\nuri = \"a*b\"\nbackend = \"app\"",
            "[[rule]]\nemail = \"nobody\"\nbackend = \"app\"",
            "[[rule]]\nip = \"192.0.2.0/24\"\nbackend = \"app\"",
            "[[rule]]\nspki_sha256 = \"0a0b\"\nbackend = \"app\"",
            "[[rule]]\nca = \"missing.pem\"\nbackend = \"app\"",
            "[[rule]]\npsk_identity = \"a\"\nbackend = \"app\"\n\
             [[rule]]\npsk_identity = \"a\"\nbackend = \"app\"",
        ]),
        @r#"
    gateway.toml:17: rule.uri: a rule looks at one thing, and this one has `certificate_name`; make a [[rule]] of its own of it
    gateway.toml:16: rule.uri: `a*b` is refused: `*` may only stand at the end; write for example `uri = "spiffe://example/sensors/*"`
    gateway.toml:16: rule.email: `nobody` is no email address; write for example `email = "ann@example.org"`
    gateway.toml:16: rule.ip: `192.0.2.0/24` is refused: invalid IP address syntax; write for example `ip = "192.0.2.7"`
    gateway.toml:16: rule.spki_sha256: `0a0b` is not the SHA-256 of a public key in 64 hexadecimal digits; print it with `openssl x509 -in client.pem -noout -pubkey | openssl pkey -pubin -outform der | sha256sum`
    gateway.toml:16: rule.ca: cannot read `DIR/missing.pem`: No such file or directory (os error 2); correct the path (a relative one starts at this file's folder) or create the file
    gateway.toml:19: rule.psk_identity: `psk_identity a` is used on line 16 already; change or remove one of the two
    "#);
    let good = "[[rule]]\nuri = \"spiffe://example/*\"\nbackend = \"app\"\n\
                [[rule]]\nemail = \"ann@example.org\"\nbackend = \"app\"\n\
                [[rule]]\nip = \"2001:db8::7\"\nbackend = \"app\"\n\
                [[rule]]\nca = \"ca.pem\"\nbackend = \"app\"\n";
    let key = format!("[[rule]]\nspki_sha256 = \"{}\"\nbackend = \"app\"\n", "aB".repeat(32));
    assert!(check(&format!("{MINIMAL}{good}{key}")).is_ok());
}

#[test]
fn clients_and_identities() {
    assert_snapshot!(
        replaced("ca = \"ca.pem\"", [
            "crl = [\"ca.pem\"]",
            "psk_file = \"ca.pem\"\ncrl = [\"ca.pem\"]",
            "ca = \"ca.pem\"\ncrl = \"ca.pem\"",
            "ca = \"ca.pem\"\nallow_no_forward_secrecy = 1",
        ]),
        @r#"
    gateway.toml:9: clients.ca: missing; add for example `ca = "ca.pem"` to [clients]
    gateway.toml:11: clients.crl: there is no `ca` whose certificates it could revoke; add `ca`, or remove it
    gateway.toml:11: clients.crl: must be a list, found string; write for example `crl = ["ca.crl"]`
    gateway.toml:11: clients.allow_no_forward_secrecy: must be true or false, found integer; write for example `allow_no_forward_secrecy = false`
    "#);
    assert_snapshot!(
        replaced("key = \"gateway.key\"", [
            "key = \"gateway.key\"\nserver_names = []",
            "key = \"gateway.key\"\nserver_names = [\"A.example\", \"a.example\"]",
            "key = \"gateway.key\"\nserver_names = [\"a*.example\"]",
            "key = \"gateway.key\"\nkey_passphrase_file = \"missing\"",
        ]),
        @r#"
    gateway.toml:8: identity.server_names: an empty list names nothing; remove the line to use the certificate's own
    gateway.toml:8: identity.server_names: `a.example` is used on line 8 already; change or remove one of the two
    gateway.toml:8: identity.server_names: `a*.example` is refused: `*` may only stand for the whole first label, as in `*.example`; write for example `server_names = ["gw.example"]`
    gateway.toml:8: identity.key_passphrase_file: cannot read `DIR/missing`: No such file or directory (os error 2); correct the path (a relative one starts at this file's folder) or create the file
    "#);
    assert_snapshot!(replaced("[gateway]", ["[gateway]\nrequire_server_name = \"yes\""]), @r"
    gateway.toml:3: gateway.require_server_name: must be true or false, found string; write for example `require_server_name = false`
    ");
    // Pre-shared keys do without certificates.
    let psk = "[gateway]\nlisten = \"0.0.0.0:4433\"\n[clients]\npsk_file = \"ca.pem\"\n\
               [[backend]]\nname = \"app\"\naddress = \"10.0.0.2:9000\"\n";
    assert!(check(psk).is_ok());
}

#[test]
fn admin_socket() {
    let lines = format!("[admin]\nsocket = \"/{}\"", "x".repeat(107));
    assert_snapshot!(appended([lines.as_str(), "[admin]\nsocket = \"\""]), @r#"
    gateway.toml:16: admin.socket: a socket's path has at most 107 bytes, not 108; choose a shorter path
    gateway.toml:16: admin.socket: must not be empty; write for example `socket = "/run/xdtls/admin.sock"`
    "#);
}

#[test]
fn all_faults_are_reported_in_the_order_of_their_lines() {
    let text = r#"
[[backend]]
name = "app"
adress = "10.0.0.2:9000"

[limits]
half_open = 0
idle_timeout = "1w"

[gateway]
listen = "here"
path_mtu = true

[[rule]]
certificate_name = "*.example"
backend = "app"
"#;
    assert_snapshot!(check(text).unwrap_err(), @r#"
    gateway.toml:1: identity: missing; add an [[identity]] table with the gateway's `certificate` and `key`
    gateway.toml:1: clients.ca: missing; add for example `ca = "ca.pem"` to [clients]
    gateway.toml:2: backend.address: missing; add for example `address = "10.0.0.2:9000"` to [[backend]]
    gateway.toml:4: unknown key `adress` in [[backend]]; did you mean `address`? (known keys: address, name, source_addresses)
    gateway.toml:7: limits.half_open: must be between 1 and 1000000, found 0; raise it or remove the line (default 1024)
    gateway.toml:8: limits.idle_timeout: `1w` is not a whole number with a unit (ms, s, m or h); write for example `idle_timeout = "0s"`
    gateway.toml:11: gateway.listen: `here` is refused: invalid socket address syntax; write for example `listen = "0.0.0.0:4433"`
    gateway.toml:12: gateway.path_mtu: must be an integer, found boolean; write for example `path_mtu = 1500`
    "#);
}

#[test]
fn metrics_are_for_this_machine_only() {
    assert_snapshot!(appended(["[metrics]\nlisten = \"0.0.0.0:9090\"", "[metrics]\nlisten = 9090"]), @r#"
    gateway.toml:16: metrics.listen: `0.0.0.0:9090` can be reached from outside, and asks nobody who they are; use a loopback address, and a proxy with authentication to export it
    gateway.toml:16: metrics.listen: must be a string, found integer; write for example `listen = "127.0.0.1:9090"`
    "#);
}

/// A link that is right.
const PEER: &str = r#"
[[peer]]
name = "berlin"
certificate_name = "berlin.example"
address = "192.0.2.7:4433"
listen = "127.0.0.1:5000"
deliver = "127.0.0.1:6000"
"#;

#[test]
fn peers_may_stand_beside_backends_or_alone() {
    assert!(check(&format!("{MINIMAL}{PEER}")).is_ok());
    let backend = MINIMAL.find("[[backend]]").unwrap();
    assert!(check(&format!("{}{PEER}", &MINIMAL[..backend])).is_ok());
}

#[test]
fn peers() {
    let with = |from: &str, to: &str| PEER.replace(from, to);
    let twice = format!("{PEER}{PEER}");
    assert_snapshot!(appended([
        "[[peer]]\n",
        &twice,
        &with("\"berlin\"", "\"app\""),
        &with("192.0.2.7:4433", "0.0.0.0:4433"),
        &with("192.0.2.7:4433", "[2001:db8::7]:4433"),
        &with("deliver = \"127.0.0.1:6000\"", "deliver = \"[::1]:6000\""),
        &with("listen =", "key_sha256 = \"abc\"\nlisten ="),
    ]));
    let own = with("192.0.2.7:4433", "10.0.0.1:4433");
    let text = MINIMAL.replace("0.0.0.0:4433", "10.0.0.1:4433");
    assert_snapshot!(check(&format!("{text}{own}")).unwrap_err(), @"gateway.toml:19: peer.address: `10.0.0.1:4433` is gateway.listen: this node cannot be its own peer; give the peer's address");
}
