//! The report for people who see xdtls for the first time.

use std::fmt::Write;

use xdtls_common::DropReason;

use super::lab;
use super::report::{Drops, Report, all_reasons, is_repetition};

/// What is going to happen.
pub(super) fn introduction(programs: u64, packets: u64) -> String {
    format!(
        "\nxdtls demo: three network namespaces on this machine, joined by veth pairs\n\n{}\n\n\
         {packets} datagrams of 0 to 1400 bytes go from the local programs through DTLS to the \
         backend,\nwhich sends each back. Meanwhile bad packets go straight to the gateway's \
         port.\n",
        lab::drawing(programs)
    )
}

/// What has happened.
pub(super) fn outcome(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_all(report, &mut text);
    text
}

fn write_all(report: &Report, out: &mut String) -> std::fmt::Result {
    let status = &report.status;
    if let Some(chosen) = &report.chosen {
        let datapath = status.datapath.as_deref().unwrap_or("not known");
        writeln!(
            out,
            "\ndatapath     {datapath} (asked for: {}). The gateway says:",
            report.asked
        )?;
        writeln!(out, "             {chosen}")?;
    }
    if let Some(mode) = &status.xdp_mode {
        let share = report.fast_path_share() * 100.0;
        writeln!(
            out,
            "XDP          mode {mode}; {share:.1} % of the datagrams took the fast path"
        )?;
    }
    // Without an answer from the gateway all counts would be zeros that mean nothing.
    if status.datapath.is_some() {
        writeln!(
            out,
            "handshakes   {} done, {} failed: one association for each of the {} local programs",
            status.handshakes_ok, status.handshakes_failed, report.programs
        )?;
        write_traffic(report, out)?;
        write_drops(report, out)?;
    }
    if !report.elapsed.is_zero() {
        writeln!(out, "\ntime         {:.1} s", report.elapsed.as_secs_f64())?;
    }
    if report.is_ok() {
        return writeln!(
            out,
            "\nOK: every byte came back as it was sent, every bad packet was dropped"
        );
    }
    writeln!(out, "\nFAILED")?;
    report.faults.iter().try_for_each(|fault| writeln!(out, "  {fault}"))
}

fn write_traffic(report: &Report, out: &mut String) -> std::fmt::Result {
    let Report { probed, echoed, status, .. } = report;
    writeln!(out, "\n{:<36} {:>9} {:>12}", "traffic", "packets", "bytes")?;
    for (what, packets, bytes) in [
        ("  local programs sent", probed.sent, probed.bytes_sent),
        ("  gateway opened", status.opened, status.opened_bytes),
        ("  backend received and sent back", echoed.received, echoed.bytes),
        ("  gateway sealed", status.sealed, status.sealed_bytes),
        ("  came back, compared byte for byte", probed.echoed, probed.bytes_echoed),
    ] {
        writeln!(out, "{what:<36} {packets:>9} {bytes:>12}")?;
    }
    Ok(())
}

fn write_drops(report: &Report, out: &mut String) -> std::fmt::Result {
    let (sent, dropped) = (&report.bad_packets, &report.status.drops);
    writeln!(out, "\n{:<26} {:>5} {:>8}  meaning", "bad packets", "sent", "dropped")?;
    for reason in all_reasons(sent, dropped) {
        let count = |of: &Drops| of.get(reason).copied().unwrap_or(0);
        let (sent, dropped) = (count(sent), count(dropped));
        let name = format!("  {reason}");
        writeln!(out, "{name:<26} {sent:>5} {dropped:>8}  {}", meaning(reason))?;
    }
    if dropped.keys().any(|reason| is_repetition(reason)) {
        writeln!(
            out,
            "  What was dropped without being bad: the client repeats what it has had no answer to\n  \
             in time. This machine was busy."
        )?;
    }
    Ok(())
}

fn meaning(name: &str) -> &'static str {
    let reason = DropReason::ALL.iter().find(|reason| reason.as_str() == name);
    reason.map_or("A reason that this build does not know.", |reason| reason.meaning().trim())
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::good;
    use super::*;

    #[test]
    fn a_good_run_in_words() {
        let text = outcome(&good());
        for expected in [
            "datapath     socket (asked for: auto). The gateway says:\n",
            "             gateway is ready; datapath socket\n",
            "handshakes   8 done, 0 failed",
            "  local programs sent                       20          900\n",
            "  too_short                    3        3  The datagram is too short for a prefix",
            "time         1.2 s",
            "\nOK: every byte",
        ] {
            assert!(text.contains(expected), "{expected:?} is missing:\n{text}");
        }
        assert!(!text.contains("XDP") && !text.contains("FAILED"), "{text}");
    }

    #[test]
    fn a_failed_run_says_why() {
        let mut report = good();
        report.status.drops.insert("new_fangled".into(), 7);
        report.judge();
        let text = outcome(&report);
        assert!(text.contains("\nFAILED\n  dropped as new_fangled: 7, not 0\n"), "{text}");
        assert!(text.contains("7  A reason that this build does not know."), "{text}");
        assert!(!text.contains("OK"), "{text}");
    }

    #[test]
    fn repetitions_are_explained() {
        let mut report = good();
        assert!(!outcome(&report).contains("repeats"));
        report.status.drops.insert("wrong_epoch".into(), 4);
        let text = outcome(&report);
        assert!(
            text.contains("the client repeats what it has had no answer to\n  in time."),
            "{text}"
        );
    }

    #[test]
    fn without_a_gateway_there_are_no_counts() {
        let report = Report { faults: vec!["it rains".into()], ..Report::default() };
        let text = outcome(&report);
        assert!(text.trim() == "FAILED\n  it rains", "{text}");
    }

    #[test]
    fn the_fast_path_is_told_of() {
        let mut report = good();
        report.status.xdp_mode = Some("native".into());
        report.status.fast_path = 19;
        assert!(outcome(&report).contains("mode native; 95.0 % of the datagrams"));
    }
}
