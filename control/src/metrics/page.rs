//! The page that documents every metric, made from the list of them.

use super::families::{FAMILIES, Family, Kind};

const HEAD: &str = "\
# Metrics

With `[metrics] listen = \"127.0.0.1:9090\"` a gateway answers over HTTP, on a loopback address only:

- `/metrics`: what follows, as OpenMetrics text for Prometheus;
- `/healthz`: 200 as long as the process answers;
- `/readyz`: 200 while it takes new associations, 503 once it was told to stop.

The numbers are those of `xdtls status`. Labels are bounded by the program and its configuration; no address, id or name
of a certificate is ever among them.

This page is made from `control/src/metrics/families.rs`: `XDTLS_WRITE_PAGES=1 cargo test pages`.

| name | type | labels | meaning |
|---|---|---|---|
";

fn line(family: &Family) -> String {
    let (suffix, kind) = match family.kind {
        Kind::Counter => ("_total", "counter"),
        Kind::Gauge => ("", "gauge"),
    };
    let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
    format!("| `{}{suffix}` | {kind} | {} | {} |\n", family.name, labels.join(", "), family.help)
}

#[test]
fn pages_of_metrics_are_up_to_date() {
    let page = format!("{HEAD}{}", FAMILIES.iter().map(line).collect::<String>());
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
    if std::env::var_os("XDTLS_WRITE_PAGES").is_some() {
        std::fs::write(file, &page).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), page, "see the page for how to write it");
}
