//! What the functions of the eBPF object may grow to: `datapath-ebpf/budget.json`.
//!
//! The kernel's own bounds are far away and met only when a program no longer loads; the budget
//! makes growth a decision that stands in a commit.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::bpf_size::Function;
use crate::cmd;

/// The budget, from the root of the repository.
const PATH: &str = "datapath-ebpf/budget.json";

/// Prints the size of each function and fails if one of ours is beyond its budget or has none.
pub(crate) fn hold(functions: &[Function]) -> Result<()> {
    let text = fs::read_to_string(cmd::root().join(PATH));
    let text = text.with_context(|| format!("cannot read {PATH}"))?;
    let budget = serde_json::from_str(&text).with_context(|| format!("{PATH} is malformed"))?;
    for Function { name, instructions, stack, .. } in functions {
        println!("eBPF function {name}: {instructions} instructions, {stack} bytes of stack");
    }
    let findings = findings(&budget, functions);
    if !findings.is_empty() {
        bail!("the eBPF programs do not keep to {PATH}:\n  {}", findings.join("\n  "));
    }
    Ok(())
}

type Budget = BTreeMap<String, Value>;

fn findings(budget: &Budget, functions: &[Function]) -> Vec<String> {
    let mut findings = Vec::new();
    for Function { name, instructions, stack, .. } in functions.iter().filter(|f| f.is_ours) {
        for (what, size) in [("instructions", *instructions), ("stack", *stack)] {
            match budget.get(name).and_then(|program| program[what].as_u64()) {
                None => findings.push(format!("{name}: has no budget of {what}")),
                Some(most) if size > most => {
                    findings.push(format!("{name}: {what} {size}, the budget is {most}"));
                }
                Some(_) => {}
            }
        }
    }
    let is_ours = |name: &String| functions.iter().any(|f| f.is_ours && f.name == *name);
    let gone = budget.keys().filter(|name| !is_ours(name));
    findings.extend(gone.map(|name| format!("{name}: is no function")));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(name: &str, is_ours: bool, instructions: u64, stack: u64) -> Function {
        Function { name: name.into(), is_ours, instructions, stack }
    }

    fn budget() -> Budget {
        serde_json::from_str(r#"{ "xdp": { "instructions": 10, "stack": 8 } }"#).unwrap()
    }

    #[test]
    fn a_program_may_be_as_large_as_its_budget() {
        let functions = [function("xdp", true, 10, 8), function("memcpy", false, 99, 99)];
        assert_eq!(findings(&budget(), &functions), [""; 0]);
    }

    #[test]
    fn each_excess_and_each_missing_line_is_named() {
        let functions = [function("xdp", true, 11, 9), function("other", true, 1, 0)];
        let expected = [
            "xdp: instructions 11, the budget is 10",
            "xdp: stack 9, the budget is 8",
            "other: has no budget of instructions",
            "other: has no budget of stack",
        ];
        assert_eq!(findings(&budget(), &functions), expected);
        assert_eq!(findings(&budget(), &[]), ["xdp: is no function"]);
    }
}
