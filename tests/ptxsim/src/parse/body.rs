//! The body of a kernel: declarations, labels and instructions.

use std::collections::HashMap;

use super::cursor::Cursor;
use super::operand::{self, Statement};
use super::variable::{self, Symbol, Symbols};
use super::{Operand, Parse, Registers};
use crate::Chip;
use crate::decode;
use crate::isa::{Condition, Instr, Op, Reg};
use crate::kernel::Program;

/// Most bytes of local memory of a thread: what the hardware has.
const LOCAL_MAX: u32 = 512 << 10;

/// Reads a body after its opening brace.
pub(super) fn read(cursor: &mut Cursor<'_>, program: Program, symbols: Symbols) -> Parse<Program> {
    let mut body = Body {
        program,
        symbols,
        registers: Registers::default(),
        labels: vec![HashMap::new()],
        open: vec![0],
        branches: Vec::new(),
        loc: (0, 0),
    };
    body.registers.open();
    while !body.open.is_empty() {
        body.item(cursor)?;
    }
    body.finish()
}

struct Body {
    program: Program,
    symbols: Symbols,
    registers: Registers,
    /// Labels of each pair of braces, by number.
    labels: Vec<HashMap<String, u32>>,
    /// Numbers of the braces open here, outermost first.
    open: Vec<usize>,
    /// Branches, to be told their targets at the end.
    branches: Vec<Branch>,
    loc: (u32, u32),
}

struct Branch {
    at: usize,
    label: String,
    open: Vec<usize>,
}

impl Body {
    fn item(&mut self, cursor: &mut Cursor<'_>) -> Parse<()> {
        let Some(token) = cursor.peek() else {
            return cursor.fail("expected `}`, found the end");
        };
        match token.text {
            "{" | "}" => {
                cursor.next();
                self.brace(token.text == "{");
                Ok(())
            }
            ".reg" => self.registers(cursor),
            ".shared" | ".local" => self.array(cursor),
            ".loc" => self.location(cursor),
            ".pragma" => cursor.skip_to(";"),
            _ if operand::is_label(cursor) => self.label(cursor),
            _ => {
                let statement = operand::statement(cursor)?;
                let line = statement.line;
                self.instruction(&statement).map_err(|what| (line, what))
            }
        }
    }

    fn brace(&mut self, opens: bool) {
        if opens {
            self.open.push(self.labels.len());
            self.labels.push(HashMap::new());
            self.registers.open();
        } else {
            self.open.pop();
            self.registers.close();
        }
    }

    /// `.reg .b32 %r<9>, x;`
    fn registers(&mut self, cursor: &mut Cursor<'_>) -> Parse<()> {
        cursor.next();
        let ty = cursor.word("a type")?;
        loop {
            let name = cursor.word("a register")?;
            let count = if cursor.take("<") {
                let count = cursor.integer("a count")? as u32;
                cursor.expect(">")?;
                Some(count)
            } else {
                None
            };
            let declared = self.registers.declare(ty, name, count);
            declared.map_err(|what| (cursor.line(), what))?;
            if cursor.take(";") {
                return Ok(());
            }
            cursor.expect(",")?;
        }
    }

    /// A variable in shared or local memory.
    fn array(&mut self, cursor: &mut Cursor<'_>) -> Parse<()> {
        let shared = cursor.next().is_some_and(|token| token.text == ".shared");
        let variable = variable::read(cursor)?;
        let (used, max) = if shared {
            (&mut self.program.shared_bytes, Chip::SHARED_MAX)
        } else {
            (&mut self.program.local_bytes, LOCAL_MAX)
        };
        let offset = used.next_multiple_of(variable.align);
        *used = offset.saturating_add(variable.bytes);
        if *used > max {
            return cursor.fail(format!("{used} bytes, more than {max}"));
        }
        let symbol = if shared { Symbol::Shared(offset) } else { Symbol::Local(offset) };
        self.symbols.insert(&variable.name, symbol);
        Ok(())
    }

    /// `.loc file line column`, perhaps with where it was inlined.
    fn location(&mut self, cursor: &mut Cursor<'_>) -> Parse<()> {
        cursor.next();
        self.loc = (cursor.integer("a file")? as u32, cursor.integer("a line")? as u32);
        cursor.skip_line();
        Ok(())
    }

    fn label(&mut self, cursor: &mut Cursor<'_>) -> Parse<()> {
        let name = cursor.word("a label")?;
        cursor.expect(":")?;
        let at = self.program.code.len() as u32;
        let scope = self.open.last().and_then(|&number| self.labels.get_mut(number));
        match scope.and_then(|labels| labels.insert(name.into(), at)) {
            Some(_) => cursor.fail(format!("label `{name}` is there twice")),
            None => Ok(()),
        }
    }

    fn instruction(&mut self, statement: &Statement<'_>) -> Result<(), String> {
        let mut decoder = decode::Decoder::new(statement, &mut self.registers);
        let guard = decoder.guard()?;
        let op = match statement.base {
            "bra" => {
                let [Operand::Name { name, negated: false }] = statement.operands[..] else {
                    return Err("expected one label".into());
                };
                decoder.take("uni");
                decoder.finish()?;
                let at = self.program.code.len();
                self.branches.push(Branch { at, label: name.into(), open: self.open.clone() });
                Op::Branch { target: 0 }
            }
            _ => {
                let names = Names { symbols: &mut self.symbols, program: &mut self.program };
                decode::decode(&mut decoder, names)?
            }
        };
        self.push(guard, op, statement.line);
        Ok(())
    }

    fn push(&mut self, guard: Condition, op: Op, line: u32) {
        self.program.talks |= decode::talks(&op);
        self.program.code.push(Instr { op, guard, line, loc: self.loc });
    }

    fn finish(mut self) -> Parse<Program> {
        let line = self.program.code.last().map_or(1, |instr| instr.line);
        let always = self.registers.pred_constant(true).map_err(|what| (line, what))?;
        self.push(Condition { pred: always, flip: 0 }, Op::Exit, line);
        for branch in std::mem::take(&mut self.branches) {
            let labels = branch.open.iter().rev().map(|&number| &self.labels[number]);
            let target = labels.filter_map(|labels| labels.get(&branch.label)).next();
            let instr = &mut self.program.code[branch.at];
            let Some(&target) = target else {
                return Err((instr.line, format!("no label `{}`", branch.label)));
            };
            instr.op = Op::Branch { target };
        }
        self.presets();
        Ok(self.program)
    }

    fn presets(&mut self) {
        let (registers, program) = (&self.registers, &mut self.program);
        program.shared_bytes = program.shared_bytes.next_multiple_of(program.shared_align.max(16));
        program.words = registers.words;
        program.doubles = registers.doubles;
        program.preds = registers.preds;
        program.word_presets = registers.word_presets();
        program.double_presets = registers.double_presets();
        program.pred_presets = registers.pred_presets();
        program.specials.clone_from(&registers.specials);
        for reg in &registers.dynamic {
            match *reg {
                Reg::Word(word) => program.word_presets.push((word, program.shared_bytes)),
                Reg::Double(double) => {
                    program.double_presets.push((double, program.shared_bytes.into()));
                }
            }
        }
    }
}

/// What names other than registers stand for.
pub(crate) struct Names<'a> {
    symbols: &'a mut Symbols,
    program: &'a mut Program,
}

/// The place of a variable.
pub(crate) enum Place {
    /// A number in its window, or an address.
    At(u64),
    /// After the static shared memory.
    DynamicShared,
}

impl Names<'_> {
    /// Where the variable of this name lies.
    pub(crate) fn place(&mut self, name: &str) -> Result<Place, String> {
        Ok(match self.symbols.get(name) {
            None => return Err(format!("`{name}` is not declared")),
            Some(&Symbol::DynamicShared { align }) => {
                self.program.shared_align = self.program.shared_align.max(align);
                Place::DynamicShared
            }
            Some(&(Symbol::Shared(at) | Symbol::Local(at) | Symbol::Param(at))) => {
                Place::At(at.into())
            }
            Some(Symbol::Block(block)) => Place::At(block.base()),
            Some(&Symbol::ModuleShared { bytes, align }) => {
                let offset = self.program.shared_bytes.next_multiple_of(align);
                self.program.shared_bytes = offset.saturating_add(bytes);
                if self.program.shared_bytes > Chip::SHARED_MAX {
                    return Err(format!("{bytes} more bytes of shared memory"));
                }
                self.symbols.insert(name, Symbol::Shared(offset));
                Place::At(offset.into())
            }
        })
    }
}
