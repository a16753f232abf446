//! A program file: its machine code and the names in it.

use crate::thumb;
use anyhow::{Context, Result};
use object::{Architecture, Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind, elf};
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

/// The machine code of a program and the names in it.
pub struct Image {
    /// What it runs on.
    pub architecture: Architecture,
    code: Vec<(u64, Vec<u8>)>,
    /// Start and name of every function, by address.
    functions: Vec<(u64, String)>,
    /// Where code and where data begins, by address; `true` is code. Only Arm's ABIs ask for such symbols.
    mapping: Vec<(u64, bool)>,
}

impl Image {
    /// One of parts.
    #[cfg(test)]
    pub fn new(architecture: Architecture, code: Vec<(u64, Vec<u8>)>, functions: Vec<(u64, String)>) -> Self {
        Self { architecture, code, functions, mapping: vec![] }
    }

    /// Reads an ELF file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = object::File::parse(&*bytes).with_context(|| format!("{} is no ELF file", path.display()))?;
        let mut code = Vec::new();
        for section in file.sections() {
            let SectionFlags::Elf { sh_flags } = section.flags() else {
                continue;
            };
            if sh_flags & u64::from(elf::SHF_EXECINSTR) != 0 && section.size() > 0 {
                code.push((section.address(), section.data()?.to_vec()));
            }
        }
        let thumb = u64::from(file.architecture() == Architecture::Arm);
        let named = |s: &object::Symbol<'_, '_>| s.name().is_ok_and(|n| !n.is_empty() && !n.starts_with(['$', '.']));
        let mut functions: Vec<_> = file
            .symbols()
            .filter(|s| s.kind() == SymbolKind::Text && named(s))
            .map(|s| (s.address() & !thumb, format!("{:#}", rustc_demangle::demangle(s.name().unwrap_or_default()))))
            .collect();
        functions.sort();
        functions.dedup_by_key(|f| f.0);
        let mut mapping: Vec<_> = file
            .symbols()
            .filter_map(|s| match s.name().ok()?.split('.').next()? {
                "$t" | "$x" => Some((s.address(), true)),
                "$d" => Some((s.address(), false)),
                _ => None,
            })
            .collect();
        mapping.sort();
        Ok(Self { architecture: file.architecture(), code, functions, mapping })
    }

    /// The two bytes at an address.
    pub fn halfword(&self, address: u64) -> Option<u16> {
        self.code.iter().find_map(|(start, bytes)| {
            let at = usize::try_from(address.checked_sub(*start)?).ok()?;
            Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
        })
    }

    /// The first two halfwords of the instruction at an address; the second one is 0 where the code ends.
    pub fn halfwords(&self, address: u64) -> Option<[u16; 2]> {
        Some([self.halfword(address)?, self.halfword(address + 2).unwrap_or(0)])
    }

    /// The function that an address is in.
    pub fn function(&self, address: u64) -> &str {
        let behind = self.functions.partition_point(|f| f.0 <= address);
        behind.checked_sub(1).map_or("?", |i| &self.functions[i].1)
    }

    /// All functions: address and name.
    pub fn functions(&self) -> &[(u64, String)] {
        &self.functions
    }

    /// Where a function begins.
    pub fn address(&self, name: &str) -> Option<u64> {
        self.functions.iter().find(|f| f.1 == name).map(|f| f.0)
    }

    /// Whether the bytes at an address are instructions, not constants between them.
    fn is_code(&self, address: u64) -> bool {
        let behind = self.mapping.partition_point(|m| m.0 <= address);
        behind.checked_sub(1).is_none_or(|i| self.mapping[i].1)
    }

    /// Every instruction in the order it stands in memory: address, and the first two halfwords.
    pub fn instructions(&self) -> impl Iterator<Item = (u64, [u16; 2])> {
        self.code.iter().flat_map(move |(start, bytes)| {
            let mut at = 0;
            std::iter::from_fn(move || {
                loop {
                    let address = start + at as u64;
                    let first = u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
                    let second = bytes.get(at + 2..).and_then(|rest| rest.first_chunk());
                    if !self.is_code(address) {
                        at += 2;
                        continue;
                    }
                    let wide = match self.architecture {
                        Architecture::Arm => thumb::is_wide(first),
                        Architecture::Riscv32 | Architecture::Riscv64 => first & 3 == 3,
                        _ => true,
                    };
                    at += if wide { 4 } else { 2 };
                    return Some((address, [first, second.map_or(0, |&second| u16::from_le_bytes(second))]));
                }
            })
        })
    }

    /// The functions of a program that call the panic machinery of `core`.
    pub fn functions_that_panic(&self) -> BTreeSet<String> {
        let image = self;
        let panics = |name: &str| name.starts_with("core::") && (name.contains("panic") || name.contains("_fail"));
        let starts: HashMap<u64, &str> = image.functions.iter().map(|f| (f.0, f.1.as_str())).collect();
        let mut callers = BTreeSet::new();
        for (start, bytes) in &image.code {
            for address in (*start..start + bytes.len() as u64).step_by(2) {
                let halves = image.halfword(address).zip(image.halfword(address + 2));
                let target = halves.and_then(|(first, second)| thumb::branch_target(address, first, second));
                if target.and_then(|target| starts.get(&target)).is_some_and(|name| panics(name)) {
                    callers.insert(image.function(address).to_owned());
                }
            }
        }
        callers
    }
}
