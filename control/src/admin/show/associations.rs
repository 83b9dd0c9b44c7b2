//! `xdtls associations` in words.

use super::{Lines, group, grouped, line, time};
use crate::admin::{Association, Page};

/// A table of associations, and how to see more of them.
pub fn page(page: &Page) -> String {
    if page.associations.is_empty() {
        return "there is no association".to_owned()
            + if page.total > 0 { " here\n" } else { "\n" };
    }
    let head = ["ID", "ADDRESS", "CERTIFICATE", "BACKEND", "AGE", "IDLE", "OPENED", "SEALED"];
    let rows = page.associations.iter().map(row);
    let rows: Vec<_> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let widths: [usize; 8] = std::array::from_fn(|column| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)
    });
    let mut text = String::new();
    for row in &rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        text += cells.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    text += &format!("\n{} of {}", page.associations.len(), grouped(page.total as u64));
    if let Some(next) = &page.next {
        text += &format!("; more with `list --after {next}`");
    }
    text + "\n"
}

fn row(association: &Association) -> [String; 8] {
    let Association { id, address, identity, backend, .. } = association;
    [
        id.clone(),
        address.to_string(),
        shortened(identity),
        backend.clone().unwrap_or_else(|| "-".to_owned()),
        time(association.age_s),
        time(association.idle_s),
        grouped(association.opened),
        grouped(association.sealed),
    ]
}

/// What fits a column.
fn shortened(identity: &str) -> String {
    const WIDTH: usize = 40;
    match identity.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &identity[..end]),
        None => identity.to_owned(),
    }
}

/// All that is known of one.
pub fn association(association: &Association) -> String {
    let datagrams =
        |count, bytes| format!("{} datagrams, {} bytes", grouped(count), grouped(bytes));
    let address = match association.new_address {
        None => association.address.to_string(),
        Some(new) => {
            format!("{}; newest from {new}, not validated yet", association.address)
        }
    };
    let lines: Lines = vec![
        line("peer's id", &association.peer_id),
        line("address", address),
        line("certificate", &association.identity),
        line("backend", association.backend.as_deref().unwrap_or("-")),
        line("suite", &association.suite),
        line("age", time(association.age_s)),
        line("idle for", time(association.idle_s)),
        line("opened", datagrams(association.opened, association.opened_bytes)),
        line("sealed", datagrams(association.sealed, association.sealed_bytes)),
    ];
    group(&format!("Association {}", association.id), &lines).trim_end().to_owned() + "\n"
}
