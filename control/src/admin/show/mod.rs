//! Answers in words for people: groups of aligned lines.

mod associations;
mod drops;
mod reloaded;
mod status;

pub use associations::{association, page};
pub use drops::{Drop, drops, explained};
pub use reloaded::reloaded;
pub use status::status;

/// Lines of a group: a name and what there is to say.
type Lines = Vec<(String, String)>;

fn line(name: &str, value: impl ToString) -> (String, String) {
    (name.to_owned(), value.to_string())
}

/// A group with its heading; nothing if it has no lines.
fn group(heading: &str, lines: &Lines) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let width = lines.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let line = |(name, value): &(String, String)| format!("  {name:<width$}  {value}\n");
    format!("{heading}\n{}\n", lines.iter().map(line).collect::<String>())
}

/// A number with its digits in groups of three.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A time in its two largest units.
fn time(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::admin::made_up;

    #[test]
    fn answers_read_well() {
        let gateway = made_up::gateway();
        assert_snapshot!("status_of_a_gateway", status(&gateway));
        assert_snapshot!("status_of_a_client", status(&made_up::client()));
        assert_snapshot!("drops", drops(&explained(&gateway.totals)));
        assert_snapshot!("no_drops", drops(&[]));
        let associations = made_up::page();
        assert_snapshot!("associations", page(&associations));
        assert_snapshot!("association", association(&associations.associations[0]));
        assert_snapshot!("reloaded", reloaded(&made_up::reloaded()));
    }

    #[test]
    fn answers_for_programs_keep_their_form() {
        let json = |value: serde_json::Value| serde_json::to_string_pretty(&value).unwrap();
        let gateway = serde_json::to_value(made_up::gateway()).unwrap();
        assert_snapshot!("status_json", json(gateway.clone()));
        assert_eq!(
            serde_json::from_value::<crate::admin::Status>(gateway).unwrap(),
            made_up::gateway()
        );
        let drops = explained(&made_up::gateway().totals);
        assert_snapshot!("drops_json", json(serde_json::to_value(drops).unwrap()));
        assert_snapshot!("associations_json", json(serde_json::to_value(made_up::page()).unwrap()));
    }

    #[test]
    fn numbers_and_times_are_readable() {
        let numbers = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(numbers, ["0", "999", "1,000", "1,234,567"]);
        let times = [59, 61, 3_660, 90_000].map(time);
        assert_eq!(times, ["59 s", "1 min 1 s", "1 h 1 min", "1 d 1 h"]);
    }
}
