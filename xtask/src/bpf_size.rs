//! How large the functions of an eBPF object are: the kernel bounds both numbers.

use std::path::Path;

use anyhow::{Context, Result};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use rustc_demangle::demangle;

/// Bytes of one instruction.
const SLOT: usize = 8;
/// The register that holds the end of the stack frame; it cannot be written.
const FRAME: u8 = 10;

/// One function of an eBPF object.
pub(crate) struct Function {
    /// Its name.
    pub(crate) name: String,
    /// Whether it is of this project: `memcpy` and its like are the compiler's.
    pub(crate) is_ours: bool,
    /// How many instructions it has.
    pub(crate) instructions: u64,
    /// How many bytes of stack it uses.
    pub(crate) stack: u64,
}

/// Measures each function in the object at `path`.
pub(crate) fn measure(path: &Path) -> Result<Vec<Function>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let file = object::File::parse(&*bytes)
        .with_context(|| format!("{} is no object file", path.display()))?;
    let mut functions = Vec::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text) {
        let Some(section) = symbol.section_index() else { continue };
        let section = file.section_by_index(section)?;
        let code = section.data_range(symbol.address(), symbol.size())?;
        let code = code.context("a function lies outside its section")?;
        // What programs call lies in a section of its own, under Rust's names.
        let name = format!("{:#}", demangle(symbol.name()?));
        functions.push(Function {
            is_ours: section.name()? != ".text" || name.contains("::"),
            name,
            instructions: (code.len() / SLOT) as u64,
            stack: stack(code).into(),
        });
    }
    Ok(functions)
}

/// The deepest byte of the stack that `code` addresses through a constant.
fn stack(code: &[u8]) -> u32 {
    const MOVE: u8 = 0xbf;
    const ADD_CONSTANT: u8 = 0x07;
    let mut deepest = 0;
    // Registers that hold a copy of the frame pointer.
    let mut copies = [false; 16];
    for slot in code.chunks_exact(SLOT) {
        let &[operation, registers, low, high, ref constant @ ..] = slot else { continue };
        let (to, from) = (registers & 0xf, registers >> 4);
        let offset = i32::from(i16::from_le_bytes([low, high]));
        let constant = constant.try_into().map_or(0, i32::from_le_bytes);
        // The lowest three bits are the class: 1 loads, 2 and 3 store.
        let depth = match (operation & 7, operation) {
            (1, _) if from == FRAME => offset,
            (2 | 3, _) if to == FRAME => offset,
            (_, ADD_CONSTANT) if copies[usize::from(to)] => constant,
            _ => 0,
        };
        deepest = deepest.min(depth);
        // Any other arithmetic, or a load, leaves something else in the register.
        if matches!(operation & 7, 0 | 1 | 4 | 7) {
            copies[usize::from(to)] = operation == MOVE && from == FRAME;
        }
    }
    deepest.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(operation: u8, to: u8, from: u8, offset: i16, constant: i32) -> [u8; 8] {
        let mut slot = [operation, from << 4 | to, 0, 0, 0, 0, 0, 0];
        slot[2..4].copy_from_slice(&offset.to_le_bytes());
        slot[4..].copy_from_slice(&constant.to_le_bytes());
        slot
    }

    #[test]
    fn direct_and_computed_addresses_count() {
        // *(u32 *)(r10 - 4) = r1; r2 = r10; r2 += -24
        let store = slot(0x63, 10, 1, -4, 0);
        assert_eq!(stack(&store), 4);
        let address = [slot(0xbf, 2, 10, 0, 0), slot(0x07, 2, 0, 0, -24)].concat();
        assert_eq!(stack(&[&store[..], &address].concat()), 24);
    }

    #[test]
    fn other_registers_do_not_count() {
        // *(u32 *)(r6 - 4) = r1; r2 = r10; r2 = r3; r2 += -24
        let code = [
            slot(0x63, 6, 1, -4, 0),
            slot(0xbf, 2, 10, 0, 0),
            slot(0xbf, 2, 3, 0, 0),
            slot(0x07, 2, 0, 0, -24),
        ];
        assert_eq!(stack(&code.concat()), 0);
    }
}
