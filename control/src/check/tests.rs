//! `check` with files that were just made, and made-up facts about the machine.

use std::path::{Path, PathBuf};

use insta::assert_snapshot;

use super::facts::Reach;
use super::*;
use crate::datapath::interface::Interface;
use crate::dev_certs;
use crate::finding::Severity;

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;

const TEXT: &str = "\
[gateway]
listen = \"10.0.0.1:4433\"
[[identity]]
certificate = \"gateway.pem\"
key = \"gateway.key\"
[clients]
ca = \"ca.pem\"
[[backend]]
name = \"app\"
address = \"10.0.0.2:9000\"
[forward]
default_backend = \"app\"
";

/// Fresh certificates in a folder.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let line = ["xdtls", "dev-certs", "--name", "a.example", "--out"].map(PathBuf::from);
    let line = line.into_iter().chain([folder.path().to_owned()]);
    let cli = <crate::cli::Cli as clap::Parser>::parse_from(line);
    let crate::cli::Command::DevCerts(options) = cli.command else { panic!("dev-certs") };
    dev_certs::write(&options).unwrap();
    folder
}

/// Facts of a machine on which all is well; the files are those that are there.
async fn facts(config: &Config) -> Facts {
    let reach = |_| Reach { route: Ok(()), foreign_sources: Vec::new() };
    Facts {
        listen: Ok(()),
        backends: config.backends.iter().map(reach).collect(),
        interface: None,
        inside: None,
        files_max: None,
        ephemeral_ports: 100_000,
        user: None,
        ..Facts::gather(config).await
    }
}

/// Runs a check of `text` in `folder`, with facts that `change` has seen, and leaves out what is ok
/// and the folder's name.
async fn judged(folder: &Path, text: &str, change: impl FnOnce(&mut Facts)) -> String {
    let config = Config::parse(text, &folder.join("gateway.toml")).unwrap();
    let mut facts = facts(&config).await;
    change(&mut facts);
    let text = judge(&config, &facts).to_string();
    let folder = format!("{}/", folder.display());
    let lines = text.lines().filter(|line| !line.starts_with("ok "));
    lines.map(|line| line.replace(&folder, "") + "\n").collect()
}

#[tokio::test]
async fn nothing_is_wrong_with_a_sound_configuration() {
    let folder = folder();
    assert_eq!(judged(folder.path(), TEXT, |_| ()).await, "no problems, no warnings\n");
}

#[tokio::test]
async fn a_foreign_key_and_broken_files_are_named() {
    let folder = folder();
    let foreign = TEXT.replace("\"gateway.key\"", "\"client.key\"");
    assert_snapshot!(judged(folder.path(), &foreign, |_| ()).await, @r"
    PROBLEM  identity: client.key: the private key does not belong to the certificate
             -> give the certificate and the key that were made together, and the key's passphrase if it has one
    1 problem, no warnings
    ");
    let swapped = TEXT.replace("\"gateway.pem\"", "\"gateway.key\"");
    assert_snapshot!(judged(folder.path(), &swapped, |_| ()).await, @r"
    PROBLEM  identity: gateway.key holds no certificate
             -> give a file of certificates in PEM
    1 problem, no warnings
    ");
    let denied = || Err("Permission denied (os error 13)".to_owned());
    let no_ca = |facts: &mut Facts| facts.ca = Some(denied());
    assert_snapshot!(judged(folder.path(), TEXT, no_ca).await, @r"
    PROBLEM  clients.ca: ca.pem cannot be read: Permission denied (os error 13)
             -> correct the path or the file's permissions
    1 problem, no warnings
    ");
}

#[tokio::test]
async fn names_and_turns_of_identities_are_judged_together() {
    let folder = folder();
    let identity = |stem: &str, names: &str| {
        format!("[[identity]]\ncertificate = \"{stem}.pem\"\nkey = \"{stem}.key\"\n{names}\n")
    };
    // Its second turn is never its turn.
    let twice = format!("{TEXT}{}", identity("gateway", ""));
    assert_snapshot!(judged(folder.path(), &twice, |_| ()).await, @r"
    WARNING  identity: gateway.pem is never shown: identities before it have an ECDSA key for `gateway`, `localhost`
             -> remove it, or give it server_names of its own
    no problems, 1 warning
    ");
    let other = format!("{TEXT}{}", identity("a.example", "server_names = [\"gateway\", \"b\"]"));
    assert_snapshot!(judged(folder.path(), &other, |_| ()).await, @r"
    WARNING  identity: a.example.pem is to be shown for `gateway`, and is not valid for it
             -> correct server_names, or have it issued with that name; clients will refuse it
    WARNING  identity: a.example.pem is to be shown for `b`, and is not valid for it
             -> correct server_names, or have it issued with that name; clients will refuse it
    WARNING  identity: a.example.pem is not shown for `gateway`: an identity before it has an ECDSA key for that
             -> say with server_names which of them is to be shown for it
    no problems, 3 warnings
    ");
    let fine = format!("{TEXT}{}", identity("a.example", "server_names = [\"a.example\"]"));
    assert_eq!(judged(folder.path(), &fine, |_| ()).await, "no problems, no warnings\n");
}

#[tokio::test]
async fn passphrases_are_tried() {
    use openssl::pkey::PKey;
    use openssl::symm::Cipher;
    let folder = folder();
    let write = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.path().join(name), bytes).unwrap();
    };
    let key = std::fs::read(folder.path().join("gateway.key")).unwrap();
    let key = PKey::private_key_from_pem(&key).unwrap();
    let encrypted = key.private_key_to_pkcs8_passphrase(Cipher::aes_256_cbc(), b"right").unwrap();
    write("gateway.key", &encrypted);
    assert_snapshot!(judged(folder.path(), TEXT, |_| ()).await, @r"
    PROBLEM  identity: gateway.key: the private key is encrypted: name a file with its passphrase, or store it without one
             -> give the certificate and the key that were made together, and the key's passphrase if it has one
    1 problem, no warnings
    ");
    let named = TEXT.replace("[clients]", "key_passphrase_file = \"pass\"\n[clients]");
    let private = |facts: &mut Facts| {
        facts.identities[0].passphrase.as_mut().unwrap().mode = 0o600;
    };
    write("pass", b"wrong\n");
    assert_snapshot!(judged(folder.path(), &named, private).await, @r"
    PROBLEM  identity: gateway.key: the private key is encrypted, and the passphrase is not the right one
             -> give the certificate and the key that were made together, and the key's passphrase if it has one
    1 problem, no warnings
    ");
    write("pass", b"right\r\nand more\n");
    assert_eq!(judged(folder.path(), &named, private).await, "no problems, no warnings\n");
    let open = |facts: &mut Facts| facts.identities[0].passphrase.as_mut().unwrap().mode = 0o644;
    assert_snapshot!(judged(folder.path(), &named, open).await, @r"
    WARNING  identity: pass may be read or changed by others (mode 0644)
             -> chmod 600 pass
    no problems, 1 warning
    ");
}

#[tokio::test]
async fn pre_shared_keys_are_judged_without_showing_them() {
    let folder = folder();
    let with = async |keys: &str, mode, clients: &str| {
        std::fs::write(folder.path().join("psk.txt"), keys).unwrap();
        let text = TEXT.replace("[[backend]]", &format!("{clients}\n[[backend]]"));
        judged(folder.path(), &text, |facts| facts.psk.as_mut().unwrap().mode = mode).await
    };
    let (key, named) = ("00112233445566778899aabbccddeeff", "psk_file = \"psk.txt\"");
    let good = format!("a:{key}\n");
    assert_eq!(with(&good, 0o600, named).await, "no problems, no warnings\n");
    assert_snapshot!(with(&good, 0o644, named).await, @r"
    PROBLEM  clients.psk_file: everybody may read or change psk.txt (mode 0644)
             -> chmod 600 psk.txt
    1 problem, no warnings
    ");
    assert_snapshot!(with(&good, 0o660, named).await, @r"
    WARNING  clients.psk_file: psk.txt may be read or changed by others (mode 0660)
             -> chmod 600 psk.txt
    no problems, 1 warning
    ");
    assert_snapshot!(with("a:0011\n", 0o600, named).await, @r"
    PROBLEM  clients.psk_file: psk.txt: line 1: the key of `a` has 2 bytes; it must have 16 to 64 (`openssl rand -hex 32`)
             -> correct this line
    1 problem, no warnings
    ");
    assert_snapshot!(with("# none\n", 0o600, named).await, @r"
    WARNING  clients.psk_file: psk.txt has no key
             -> add lines IDENTITY:KEY
    no problems, 1 warning
    ");
    let weak = format!("{named}\nallow_no_forward_secrecy = true");
    assert_snapshot!(with(&good, 0o600, &weak).await, @r"
    WARNING  clients.allow_no_forward_secrecy: whoever learns a pre-shared key can read what was said with it before
             -> remove it unless there are clients without ECDHE
    no problems, 1 warning
    ");
    let rule = "[[rule]]\npsk_identity = \"a\"\nbackend = \"app\"\n";
    let without = judged(folder.path(), &format!("{TEXT}{rule}"), |_| ()).await;
    assert_snapshot!(without, @r"
    WARNING  rule psk_identity a: never matches: [clients] has no psk_file
             -> add psk_file, or remove the rule
    no problems, 1 warning
    ");
}

#[tokio::test]
async fn lists_of_revoked_certificates_are_judged_by_the_day() {
    let folder = folder();
    let openssl = |arguments: &str| {
        let ran = std::process::Command::new("openssl")
            .args(arguments.split_whitespace())
            .current_dir(folder.path())
            .output()
            .expect("the openssl program runs");
        assert!(ran.status.success(), "{ran:?}");
    };
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("ca.cnf", "[ca]\ndefault_ca = all\n[all]\ndatabase = revoked.txt\ndefault_md = sha256\n");
    write("revoked.txt", "");
    openssl("ca -gencrl -crldays 7 -config ca.cnf -cert ca.pem -keyfile ca.key -out ca.crl");
    let text = TEXT.replace("[[backend]]", "crl = [\"ca.crl\"]\n[[backend]]");
    let after = async |days: i64| {
        let later = |facts: &mut Facts| facts.now_s += days * DAY + HOUR;
        let config = Config::parse(&text, &folder.path().join("gateway.toml")).unwrap();
        let mut facts = facts(&config).await;
        later(&mut facts);
        let findings = judge(&config, &facts);
        let of_crl = findings.list().iter().find(|finding| finding.subject == "clients.crl");
        let finding = of_crl.unwrap();
        (finding.severity, finding.seen.replace(&format!("{}/", folder.path().display()), ""))
    };
    let (severity, seen) = after(0).await;
    assert!(severity == Severity::Ok && seen.contains("is good for 6 days"), "{seen}");
    let (severity, seen) = after(5).await;
    assert!(severity == Severity::Warning && seen.contains(" hours; then nobody"), "{seen}");
    let (severity, seen) = after(7).await;
    assert!(severity == Severity::Problem && seen.contains("has expired on"), "{seen}");
    // A list of somebody else of that name.
    let other = tempfile::tempdir().unwrap();
    let line = ["xdtls", "dev-certs", "--out"].map(PathBuf::from);
    let line = line.into_iter().chain([other.path().to_owned()]);
    let cli = <crate::cli::Cli as clap::Parser>::parse_from(line);
    let crate::cli::Command::DevCerts(options) = cli.command else { panic!("dev-certs") };
    dev_certs::write(&options).unwrap();
    std::fs::copy(other.path().join("ca.pem"), folder.path().join("ca.pem")).unwrap();
    assert_snapshot!(judged(folder.path(), &text, |_| ()).await, @r"
    PROBLEM  clients.crl: ca.crl: the CRL of CN=xdtls development CA was not signed by the CA of that name
             -> fetch the CA's current CRL, in PEM or DER
    1 problem, no warnings
    ");
}

#[tokio::test]
async fn a_chain_in_disorder_is_named() {
    let folder = folder();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let chain = read("gateway.pem") + &read("client.pem");
    std::fs::write(folder.path().join("gateway.pem"), chain).unwrap();
    assert_snapshot!(judged(folder.path(), TEXT, |_| ()).await, @r"
    PROBLEM  identity: gateway.pem: CN=client did not issue CN=gateway, which stands before it
             -> put the leaf first, then the certificate of its issuer, and so on
    1 problem, no warnings
    ");
}

/// The dates in the text differ from run to run.
#[tokio::test]
async fn certificates_are_judged_by_the_day() {
    let folder = folder();
    let at = async |days: i64| {
        let config = Config::parse(TEXT, &folder.path().join("gateway.toml")).unwrap();
        let mut facts = facts(&config).await;
        facts.now_s += days * DAY + HOUR;
        let findings = judge(&config, &facts);
        let gateway = |finding: &&crate::finding::Finding| finding.seen.contains("CN=gateway ");
        let found = findings.list().iter().find(gateway).unwrap().clone();
        (found.severity, found.seen)
    };
    let (severity, seen) = at(0).await;
    assert!(severity == Severity::Ok && seen.contains("is valid until"), "{seen}");
    let (severity, seen) = at(20).await;
    assert!(severity == Severity::Warning && seen.contains("in 9 days"), "{seen}");
    let (severity, seen) = at(31).await;
    assert!(severity == Severity::Problem && seen.contains("has expired on"), "{seen}");
    let (severity, seen) = at(-2).await;
    assert!(severity == Severity::Problem && seen.contains("is not valid before"), "{seen}");
}

#[tokio::test]
async fn open_keys_are_warned_of() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let key = folder.path().join("gateway.key");
    let with_mode = async |mode| {
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        judged(folder.path(), TEXT, |_| ()).await
    };
    for fine in [0o600, 0o640, 0o440] {
        assert_eq!(with_mode(fine).await, "no problems, no warnings\n");
    }
    assert_snapshot!(with_mode(0o644).await, @r"
    WARNING  identity: gateway.key may be read or changed by others (mode 0644)
             -> chmod 600 gateway.key
    no problems, 1 warning
    ");
    assert!(with_mode(0o660).await.contains("mode 0660"));
}

#[tokio::test]
async fn rules_that_never_match_and_backends_that_nobody_reaches_are_named() {
    let folder = folder();
    let rule = |name: &str, to: &str| {
        format!("[[rule]]\ncertificate_name = \"{name}\"\nbackend = \"{to}\"\n")
    };
    let rules = [rule("*.example", "app"), rule("A.example", "app"), rule("a.b.example", "app")];
    let backend = "[[backend]]\nname = \"spare\"\naddress = \"10.0.0.3:9000\"\n";
    let text = format!("{TEXT}{}{backend}", rules.concat());
    assert_snapshot!(judged(folder.path(), &text, |_| ()).await, @r"
    WARNING  rule a.example: never matches: `*.example` stands before it
             -> move it up, or remove it
    WARNING  backend spare: no rule leads there, and it is not the default
             -> add a [[rule]], name it in [forward] default_backend, or remove it
    no problems, 2 warnings
    ");
    let nobody = TEXT.replace("default_backend", "#");
    assert_snapshot!(judged(folder.path(), &nobody, |_| ()).await, @r"
    PROBLEM  forward: every client will be refused: there is neither a rule nor a default backend
             -> set [forward] default_backend, or add a [[rule]]
    WARNING  backend app: no rule leads there, and it is not the default
             -> add a [[rule]], name it in [forward] default_backend, or remove it
    1 problem, 1 warning
    ");
}

#[tokio::test]
async fn addresses_that_are_not_there_are_named() {
    let folder = folder();
    let change = |facts: &mut Facts| {
        let error = || "Cannot assign requested address (os error 99)".to_owned();
        facts.listen = Err(error());
        let foreign_sources = vec![("10.0.0.9".parse().unwrap(), error())];
        let route = Err("Network is unreachable (os error 101)".to_owned());
        facts.backends = vec![Reach { route, foreign_sources }];
        facts.user = Some(false);
    };
    let text = format!("{TEXT}[process]\nuser = \"nobody-here\"\n");
    assert_snapshot!(judged(folder.path(), &text, change).await, @r"
    PROBLEM  gateway.listen: 10.0.0.1 cannot be listened on: Cannot assign requested address (os error 99)
             -> give an address that `ip address` shows, or 0.0.0.0 or [::] for all
    PROBLEM  process.user: there is no user nobody-here
             -> useradd --system nobody-here
    WARNING  backend app: there is no way to 10.0.0.2:9000 now: Network is unreachable (os error 101)
             -> `ip route get 10.0.0.2` shows why; correct the route or the address
    PROBLEM  backend app: flows cannot come from 10.0.0.9: Cannot assign requested address (os error 99)
             -> give source_addresses that `ip address` shows
    3 problems, 1 warning
    ");
}

#[tokio::test]
async fn more_flows_than_ports_or_files_are_warned_of() {
    let folder = folder();
    let sources = "source_addresses = [\"10.0.0.4\", \"10.0.0.5\"]\n[forward]";
    let text = TEXT.replace("[forward]", sources);
    let change = |facts: &mut Facts| {
        facts.ephemeral_ports = 28_232;
        facts.files_max = Some(20_000);
    };
    assert_snapshot!(judged(folder.path(), &text, change).await, @r"
    WARNING  limits.backend_flows: 65536 flows to app have only 56464 ports (2 source addresses of 28232); what is more is dropped as flow_limit
             -> lower it to 56464, add source_addresses, or widen the sysctl net.ipv4.ip_local_port_range
    WARNING  limits.backend_flows: 65536 flows need as many open files, and this process may have 20000
             -> raise the limit (LimitNOFILE=, ulimit -n), or lower it to 18976
    no problems, 2 warnings
    ");
}

#[tokio::test]
async fn the_insides_interface_is_looked_at() {
    let folder = folder();
    let text = format!("{TEXT}interface = \"eth8\"\n");
    let inside = |mtu| Interface {
        up: true,
        name: "eth8".to_owned(),
        index: 8,
        queues: 1,
        mtu,
        kind: None,
        driver: None,
        xdp_program: Some(5),
    };
    assert_snapshot!(judged(folder.path(), &text, |facts| facts.inside = Some(Ok(inside(1500)))).await, @r"
    WARNING  forward.interface: it has no use: the inside has XDP only where the outside has
             -> name the outside's interface in [gateway] and allow it XDP, or remove the line
    no problems, 1 warning
    ");
    let text = text.replace("[[identity]]", "interface = \"lo\"\n[[identity]]");
    let with = async |found| judged(folder.path(), &text, |facts| facts.inside = Some(found)).await;
    assert_snapshot!(with(Ok(inside(9000))).await, @r"
    WARNING  forward.interface: an MTU of 9000 is more than XDP takes here (3506)
             -> ip link set eth8 mtu 3506
    WARNING  forward.interface: eth8 has an XDP program already (id 5)
             -> if it is not a running xdtls: `ip link set dev eth8 xdp off`, or another interface
    no problems, 2 warnings
    ");
    assert_snapshot!(with(Err("there is no network interface eth8".to_owned())).await, @r"
    WARNING  forward.interface: there is no network interface eth8
             -> `ip link` lists those that there are; what backends send will come through the kernel
    no problems, 1 warning
    ");
}

#[tokio::test]
async fn the_interface_is_compared_with_the_path() {
    let folder = folder();
    let text = TEXT.replace("[[identity]]", "interface = \"eth7\"\n[[identity]]");
    let interface = |mtu, xdp_program| Interface {
        up: true,
        name: "eth7".to_owned(),
        index: 7,
        queues: 1,
        mtu,
        kind: None,
        driver: None,
        xdp_program,
    };
    let with = async |found: Result<Interface, String>| {
        judged(folder.path(), &text, |facts| facts.interface = Some(found)).await
    };
    assert_eq!(with(Ok(interface(1500, None))).await, "no problems, no warnings\n");
    assert_snapshot!(with(Ok(interface(1400, Some(12)))).await, @r"
    WARNING  gateway.path_mtu: 1500 bytes do not leave through eth7, whose MTU is 1400
             -> set path_mtu = 1400, or raise the MTU of eth7
    WARNING  gateway.interface: eth7 has an XDP program already (id 12)
             -> if it is not a running xdtls: `ip link set dev eth7 xdp off`, or another interface
    no problems, 2 warnings
    ");
    assert_snapshot!(with(Ok(interface(9000, None))).await, @r"
    WARNING  gateway.interface: an MTU of 9000 is more than XDP takes here (3506)
             -> ip link set eth7 mtu 3506
    no problems, 1 warning
    ");
    let absent = || Err("there is no network interface eth7".to_owned());
    assert_snapshot!(with(absent()).await, @r"
    WARNING  gateway.interface: there is no network interface eth7
             -> `ip link` lists those that there are; the gateway will use sockets
    no problems, 1 warning
    ");
    let strict = text.replace("interface =", "datapath = \"xdp\"\ninterface =");
    let judged = judged(folder.path(), &strict, |facts| facts.interface = Some(absent())).await;
    assert!(judged.ends_with("1 problem, no warnings\n"), "{judged}");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_read_is_a_list_of_problems() {
    let folder = folder();
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, TEXT.replace("listen =", "lisen =").replace("app\"\naddr", "\"\naddr"))
        .unwrap();
    let text = run(&file).await.to_string();
    assert_snapshot!(text.replace(&format!("{}/", folder.path().display()), ""), @r#"
    PROBLEM  gateway.toml:1: gateway.listen: missing
             -> add for example `listen = "0.0.0.0:4433"` to [gateway]
    PROBLEM  gateway.toml:2: unknown key `lisen` in [gateway]
             -> did you mean `listen`? (known keys: answer_hellos, datapath, handshake_workers, interface, listen, path_mtu, require_server_name, transmit, workers, xdp_mode, zero_copy)
    PROBLEM  gateway.toml:9: backend.name: must not be empty
             -> write for example `name = "app"`
    PROBLEM  gateway.toml:12: forward.default_backend: there is no backend `app`
             -> add a [[backend]] table with `name = "app"`
    4 problems, no warnings
    "#);
    let text = run(&folder.path().join("absent.toml")).await.to_string();
    assert!(text.starts_with("PROBLEM") && text.contains("absent.toml"), "{text}");
}

const PEER: &str = "\
[[peer]]
name = \"other\"
certificate_name = \"other.example\"
address = \"10.0.0.9:4433\"
listen = \"127.0.0.1:5000\"
deliver = \"127.0.0.1:6000\"
";

#[tokio::test]
async fn links_lead_elsewhere_and_their_ports_are_ours() {
    let folder = folder();
    let own = crate::handshake::Identity::read(
        &folder.path().join("gateway.pem"),
        &folder.path().join("gateway.key"),
        None,
    );
    let own: String = own.unwrap().key_sha256().unwrap().map(|byte| format!("{byte:02x}")).concat();
    let text = format!("{TEXT}{PEER}key_sha256 = \"{own}\"\n");
    let judged = judged(folder.path(), &text, |facts| {
        facts.peers[0].leads_back = true;
        facts.peers[0].listen = Err("it is somebody else's".to_owned());
    });
    assert_snapshot!(judged.await, @r"
    PROBLEM  peer other: its address is this node itself
             -> give the peer's address
    PROBLEM  peer other: key_sha256 is this node's own key
             -> give that of the peer's key
    PROBLEM  peer other: 127.0.0.1 cannot be listened on: it is somebody else's
             -> give an address that `ip address` shows, such as 127.0.0.1
    3 problems, no warnings
    ");
}

#[tokio::test]
async fn peers_need_no_backend() {
    let folder = folder();
    let backend = TEXT.find("[[backend]]").unwrap();
    let text = format!("{}{PEER}", &TEXT[..backend]);
    assert_eq!(judged(folder.path(), &text, |_| {}).await, "no problems, no warnings\n");
}
