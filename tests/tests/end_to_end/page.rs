//! Pages of `docs/`, run as they are written.
//!
//! All blocks of `sh` run in one shell, one after the other; the indented lines below a block must
//! come out of it, in their order. `…` stands for anything within a line.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use xdtls_netlab::{Process, program};
use xdtls_tests::Lab;

/// How long the whole page may take.
const TIMEOUT: Duration = Duration::from_secs(90);

/// What the shell prints before each block.
const MARK: &str = "=== block ";

/// Commands, and the lines that they must print.
#[derive(Debug, Default)]
struct Block {
    commands: String,
    expected: Vec<String>,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let (mut inside, mut just_after) = (false, false);
    for line in page.lines() {
        match line {
            "```sh" => {
                blocks.push(Block::default());
                inside = true;
            }
            "```" => (inside, just_after) = (false, inside),
            line => {
                let Some(block) = blocks.last_mut() else { continue };
                if inside {
                    block.commands += &format!("{line}\n");
                } else if let (true, Some(expected)) = (just_after, line.strip_prefix("    ")) {
                    block.expected.push(expected.to_owned());
                } else {
                    just_after = false;
                }
            }
        }
    }
    blocks
}

/// Whether a line is as the page shows it.
fn fits(line: &str, pattern: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

/// ```text
///   one shell in the gateway's namespace
/// ```
pub(crate) fn the_operations_page_works_as_written(lab: &Lab) -> Result<()> {
    works_as_written(lab, "operations.md", 9)
}

/// The same, without an interface.
pub(crate) fn the_identities_page_works_as_written(lab: &Lab) -> Result<()> {
    works_as_written(lab, "identities.md", 4)
}

fn works_as_written(lab: &Lab, page: &str, blocks_min: usize) -> Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(page);
    let blocks = blocks(&fs::read_to_string(file)?);
    ensure!(blocks.len() >= blocks_min, "only {} blocks", blocks.len());
    let script = (0..)
        .zip(&blocks)
        .map(|(number, block): (usize, _)| format!("echo '{MARK}{number}'\n{}", block.commands));
    fs::write(lab.folder().join("page.sh"), script.collect::<String>())?;
    let programs = program("xdtls")?.parent().context("a folder of programs")?.to_owned();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    let mut command = lab.gateway.command("bash");
    // Both streams in the order in which they were written.
    command.args(["-c", "exec bash page.sh 2>&1"]).current_dir(lab.folder()).env("PATH", path);
    let finished = Process::spawn("the page", command)?.wait(TIMEOUT)?;
    let lines: Vec<_> = finished.lines.iter().map(|line| line.text.as_str()).collect();
    for (number, block) in blocks.iter().enumerate() {
        let mark = |number| format!("{MARK}{number}");
        let after = lines.iter().skip_while(|line| **line != mark(number)).skip(1);
        let mut output = after.take_while(|line| **line != mark(number + 1));
        for expected in &block.expected {
            let found = output.any(|line| fits(line.trim_end(), expected));
            ensure!(
                found,
                "block {number} does not print\n{expected}\nIt all:\n{}",
                lines.join("\n")
            );
        }
    }
    Ok(())
}
