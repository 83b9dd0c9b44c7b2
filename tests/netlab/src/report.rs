//! The one-line reports of the programs.

/// A JSON object of counters, in the given order. The names need no escaping.
pub(crate) fn json_line(counters: &[(&str, u64)]) -> String {
    let members: Vec<_> =
        counters.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

#[cfg(test)]
mod tests {
    #[test]
    fn is_json() {
        let line = super::json_line(&[("b", 1), ("a", u64::MAX)]);
        let parsed: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(parsed, serde_json::json!({ "b": 1, "a": u64::MAX }));
    }
}
