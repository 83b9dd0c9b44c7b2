//! The threat model names a test for each of its claims; here each of these tests is looked for.

use std::path::Path;
use std::{fs, io};

/// What a claim says where no test can show it.
const NO_TEST: &str = "no test:";

/// All Rust text below a folder, but for build results.
fn rust_below(folder: &Path, text: &mut String) -> io::Result<()> {
    for entry in fs::read_dir(folder)?.flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            rust_below(&path, text)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            text.push_str(&fs::read_to_string(&path)?);
        }
    }
    Ok(())
}

/// The last cell of each row of a table whose head says that it names tests.
fn claims(page: &str) -> Vec<&str> {
    let mut claims = Vec::new();
    let mut of_tests = false;
    for line in page.lines() {
        let Some(row) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else {
            of_tests = false;
            continue;
        };
        let last = row.rsplit('|').next().unwrap_or_default().trim();
        if last == "shown by" {
            of_tests = true;
        } else if of_tests && !last.starts_with("---") {
            claims.push(last);
        }
    }
    claims
}

#[test]
fn every_claim_of_the_threat_model_names_a_test_that_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = fs::read_to_string(root.join("docs/threat-model.md")).unwrap();
    let mut rust = String::new();
    rust_below(root, &mut rust).unwrap();
    let claims = claims(&page);
    assert!(claims.len() > 30, "{} claims", claims.len());
    for claim in claims {
        let tests: Vec<_> = claim.split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty() || claim.starts_with(NO_TEST), "shown by nothing: {claim}");
        for test in tests {
            // A function, or what a test without a function of its own is called.
            let known = [format!("fn {test}("), format!("\"{test}\"")];
            assert!(known.iter().any(|known| rust.contains(known)), "there is no test {test}");
        }
    }
}
