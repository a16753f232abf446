//! Counts the instructions that a WebAssembly program runs: a copy of it counts for itself.
//!
//! Before each instruction behind which the program may go on elsewhere, or arrive from elsewhere, the copy adds the
//! number of instructions since the last such place to a global variable. So the count is exact, and an engine that
//! compiles runs the copy nearly as fast as the program.
//!
//! What only gives code its structure (`block`, `loop`, `else`, `end`, `nop`) is no instruction. A bulk copy or fill
//! counts one more for each 16 bytes.

use anyhow::{Result, ensure};
use wasm_encoder::reencode::{self, Reencode};
use wasm_encoder::{
    CodeSection, ConstExpr, ExportKind, ExportSection, GlobalSection, GlobalType, Instruction, Module, ValType,
};
use wasmparser::{ExportSectionReader, FunctionBody, GlobalSectionReader, Operator, Parser, Payload};

/// The copy's globals, by the names under which it exports them: instructions, and `i32x4.dot_i16x8_s` among them.
pub const GLOBALS: [&str; 2] = ["counted_instructions", "counted_dot_products"];

/// A program that counts for itself.
pub struct Counting {
    /// The copy.
    pub program: Vec<u8>,
    /// How often `i32x4.dot_i16x8_s` stands in the program.
    pub dot_products: usize,
}

impl Counting {
    /// Makes the copy of a program.
    ///
    /// # Errors
    /// Where it is no valid program, or has no globals and exports to add to.
    pub fn new(program: &[u8]) -> Result<Self> {
        let mut globals = None;
        let mut exports = false;
        for payload in Parser::new(0).parse_all(program) {
            match payload? {
                Payload::GlobalSection(section) => globals = Some(section.count()),
                Payload::ExportSection(_) => exports = true,
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let global = matches!(import?.ty, wasmparser::TypeRef::Global(_));
                        ensure!(!global, "the program imports a global, which this does not count");
                    }
                }
                _ => {}
            }
        }
        let Some(first) = globals.filter(|_| exports) else {
            anyhow::bail!("the program has no globals or no exports");
        };
        let mut counter = Counter { first, dot_products: 0 };
        let mut module = Module::new();
        counter.parse_core_module(&mut module, Parser::new(0), program)?;
        Ok(Self { program: module.finish(), dot_products: counter.dot_products })
    }
}

/// Writes the copy.
struct Counter {
    /// The number of the first of three globals that are added: the two of [`GLOBALS`], and one for the length of a
    /// bulk copy.
    first: u32,
    dot_products: usize,
}

/// Whether the program may go on elsewhere behind this instruction, or arrive behind it from elsewhere.
fn is_border(operator: &Operator<'_>) -> bool {
    matches!(
        operator,
        Operator::Block { .. }
            | Operator::Loop { .. }
            | Operator::If { .. }
            | Operator::Else
            | Operator::End
            | Operator::Br { .. }
            | Operator::BrIf { .. }
            | Operator::BrTable { .. }
            | Operator::Return
            | Operator::Call { .. }
            | Operator::CallIndirect { .. }
            | Operator::ReturnCall { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::Unreachable
    )
}

/// Whether it only gives code its structure.
fn is_structure(operator: &Operator<'_>) -> bool {
    matches!(operator, Operator::Block { .. } | Operator::Loop { .. } | Operator::Else | Operator::End | Operator::Nop)
}

impl Reencode for Counter {
    type Error = std::convert::Infallible;

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: GlobalSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        reencode::utils::parse_global_section(self, globals, section)?;
        let global = |val_type| GlobalType { val_type, mutable: true, shared: false };
        globals.global(global(ValType::I64), &ConstExpr::i64_const(0));
        globals.global(global(ValType::I64), &ConstExpr::i64_const(0));
        globals.global(global(ValType::I32), &ConstExpr::i32_const(0));
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: ExportSectionReader<'_>,
    ) -> Result<(), reencode::Error> {
        reencode::utils::parse_export_section(self, exports, section)?;
        for (name, number) in GLOBALS.into_iter().zip(self.first..) {
            exports.export(name, ExportKind::Global, number);
        }
        Ok(())
    }

    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Result<(), reencode::Error> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let mut reader = body.get_operators_reader()?;
        // Since the last border.
        let mut counts = [0i64; 2];
        while !reader.eof() {
            let operator = reader.read()?;
            counts[0] += i64::from(!is_structure(&operator));
            if matches!(operator, Operator::I32x4DotI16x8S) {
                counts[1] += 1;
                self.dot_products += 1;
            }
            if is_border(&operator) {
                for (number, count) in (self.first..).zip(&mut counts).filter(|(_, count)| **count > 0) {
                    function
                        .instructions()
                        .global_get(number)
                        .i64_const(std::mem::take(count))
                        .i64_add()
                        .global_set(number);
                }
            }
            if matches!(operator, Operator::MemoryCopy { .. } | Operator::MemoryFill { .. }) {
                let [total, length] = [self.first, self.first + 2];
                let mut instructions = function.instructions();
                instructions.global_set(length).global_get(total).global_get(length).i64_extend_i32_u();
                instructions.i64_const(4).i64_shr_u().i64_add().global_set(total).global_get(length);
            }
            let instruction: Instruction<'_> = self.instruction(operator)?;
            function.instruction(&instruction);
        }
        code.function(&function);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasm_encoder::{BlockType, Function, FunctionSection, TypeSection};

    /// A program of one function `(i32) -> ()` with this body.
    fn program(body: &[Instruction<'_>]) -> Vec<u8> {
        let mut module = Module::new();
        let mut types = TypeSection::new();
        types.ty().function([ValType::I32], []);
        let mut functions = FunctionSection::new();
        functions.function(0);
        let mut globals = GlobalSection::new();
        let stack = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        globals.global(stack, &ConstExpr::i32_const(0));
        let mut exports = ExportSection::new();
        exports.export("run", ExportKind::Func, 0);
        let mut function = Function::new([]);
        body.iter().for_each(|instruction| _ = function.instruction(instruction));
        let mut code = CodeSection::new();
        code.function(&function);
        module.section(&types).section(&functions).section(&globals).section(&exports).section(&code);
        module.finish()
    }

    /// The body of a program's function, as text.
    fn body(program: &[u8]) -> Vec<String> {
        let payloads = Parser::new(0).parse_all(program).map(|payload| payload.unwrap());
        let bodies = payloads.filter_map(|payload| match payload {
            Payload::CodeSectionEntry(body) => Some(body),
            _ => None,
        });
        let operators = bodies.flat_map(|body| body.get_operators_reader().unwrap());
        operators.map(|operator| format!("{:?}", operator.unwrap())).collect()
    }

    #[test]
    fn straight_lines_are_counted_where_they_end() {
        // loop; local.get 0; i32.const -1; i32.add; local.tee 0; br_if 0; end; end
        let counting = Counting::new(&program(&[
            Instruction::Loop(BlockType::Empty),
            Instruction::LocalGet(0),
            Instruction::I32Const(-1),
            Instruction::I32Add,
            Instruction::LocalTee(0),
            Instruction::BrIf(0),
            Instruction::End,
            Instruction::End,
        ]))
        .unwrap();
        wasmparser::validate(&counting.program).unwrap();
        assert_eq!(counting.dot_products, 0);
        let expected = [
            "Loop { blockty: Empty }",
            "LocalGet { local_index: 0 }",
            "I32Const { value: -1 }",
            "I32Add",
            "LocalTee { local_index: 0 }",
            // Five of the loop's instructions run each time, `br_if` among them.
            "GlobalGet { global_index: 1 }",
            "I64Const { value: 5 }",
            "I64Add",
            "GlobalSet { global_index: 1 }",
            "BrIf { relative_depth: 0 }",
            "End",
            "End",
        ];
        assert_eq!(body(&counting.program), expected);
    }

    #[test]
    fn dot_products_and_long_copies_are_counted() {
        let counting = Counting::new(&program(&[
            Instruction::V128Const(1),
            Instruction::V128Const(2),
            Instruction::I32x4DotI16x8S,
            Instruction::Drop,
            Instruction::End,
        ]))
        .unwrap();
        wasmparser::validate(&counting.program).unwrap();
        assert_eq!(counting.dot_products, 1);
        let body = body(&counting.program);
        assert!(body.contains(&"I64Const { value: 4 }".to_owned()), "{body:?}");
        assert!(body.contains(&"GlobalSet { global_index: 2 }".to_owned()), "{body:?}");
    }

    #[test]
    fn what_is_no_program_is_refused() {
        assert!(Counting::new(b"\0asm").is_err());
        assert!(Counting::new(&Module::new().finish()).is_err());
    }
}
