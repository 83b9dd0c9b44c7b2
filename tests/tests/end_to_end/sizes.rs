//! Datagrams of every size.

use anyhow::{Result, ensure};
use xdtls_tests::{ClientOptions, GatewayConfig, Lab, Node, expect, receive};

/// Path MTU 1500 − IPv4 and UDP headers 28 − prefix 8 − record header, nonce and tag 37.
const PLAINTEXT_MAX: usize = 1427;

/// Content that differs from one size to the next, and along the datagram.
fn datagram(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at ^ size ^ at >> 8) as u8).collect()
}

fn ensure_drops(node: &Node, expected: &[(&str, u64)]) -> Result<()> {
    let expected = expected.iter().map(|(reason, count)| ((*reason).to_owned(), *count)).collect();
    let status = node.status()?;
    ensure!(status.drops() == expected, "expected drops {expected:?}: {status}");
    Ok(())
}

/// ```text
///   program ─── xdtls connect ═══ xdtls gateway ─── backend
///       ────────────── 0 … 1427 bytes ────────────────▶
///       ◀───────────── the same, in runs ──────────────
/// ```
pub(crate) fn every_size_passes_both_ways(lab: &Lab) -> Result<()> {
    let backend = lab.bind_backend(9000)?;
    let gateway = GatewayConfig::forward_to(backend.local_addr()?).start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    program.send(b"first")?;
    let (_, flow) = receive(&backend, &mut [0; 100])?;
    backend.connect(flow)?;
    let sizes: Vec<usize> = (0..=PLAINTEXT_MAX).collect();
    // Several at once, so that unequal sizes meet in one batch.
    for batch in sizes.chunks(16) {
        for (from, to) in [(&program, &backend), (&backend, &program)] {
            for size in batch {
                from.send(&datagram(*size))?;
            }
            for size in batch {
                expect(to, &datagram(*size))?;
            }
        }
    }
    // Equal sizes in one batch travel as one run.
    for size in [0, 1, PLAINTEXT_MAX] {
        for (from, to) in [(&program, &backend), (&backend, &program)] {
            (0..32).try_for_each(|_| from.send(&datagram(size)).map(|_| ()))?;
            (0..32).try_for_each(|_| expect(to, &datagram(size)))?;
        }
    }
    ensure_drops(&client, &[])?;
    ensure_drops(&gateway, &[])
}

/// ```text
///   program ─── xdtls connect ═══ xdtls gateway ─── backend
///       ─ 1428 bytes ─▶ too_big
///                                    too_big ◀─ 1428 bytes ─
/// ```
pub(crate) fn one_byte_too_many_is_counted_where_it_would_be_sealed(lab: &Lab) -> Result<()> {
    let backend = lab.bind_backend(9000)?;
    let gateway = GatewayConfig::forward_to(backend.local_addr()?).start(lab)?;
    let client = ClientOptions::default().start(lab)?;
    let program = lab.bind_program(&client)?;
    program.send(b"first")?;
    let (_, flow) = receive(&backend, &mut [0; 100])?;
    backend.connect(flow)?;
    for (from, to) in [(&program, &backend), (&backend, &program)] {
        for size in [PLAINTEXT_MAX, PLAINTEXT_MAX + 1, 1460, PLAINTEXT_MAX] {
            from.send(&datagram(size))?;
        }
        expect(to, &datagram(PLAINTEXT_MAX))?;
        expect(to, &datagram(PLAINTEXT_MAX))?;
    }
    ensure_drops(&client, &[("too_big", 2)])?;
    ensure_drops(&gateway, &[("too_big", 2)])?;
    // The largest that a program can hand over at all is no different.
    for (from, to) in [(&program, &backend), (&backend, &program)] {
        from.send(&datagram(65_507))?;
        from.send(b"after")?;
        expect(to, b"after")?;
    }
    ensure_drops(&client, &[("too_big", 3)])?;
    ensure_drops(&gateway, &[("too_big", 3)])
}
