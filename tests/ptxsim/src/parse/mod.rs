//! PTX text to modules.

mod body;
mod cursor;
mod entry;
mod lexer;
mod operand;
mod registers;
mod variable;

pub(crate) use body::{Names, Place};
pub(crate) use operand::{Operand, Statement};
pub(crate) use registers::{Registers, Slot};

use std::sync::Arc;

use crate::isa::{Instr, Op};
use crate::{Kernel, Module, ParseError};
use cursor::Cursor;
use variable::{Symbol, Symbols};

/// A complaint: the line, and what was expected and found.
pub(crate) type Parse<T> = Result<T, (u32, String)>;

/// Reads a module.
pub(crate) fn module(name: &str, text: &str) -> Result<Module, ParseError> {
    read(text).map_err(|(line, what)| {
        let text = text.lines().nth(line.saturating_sub(1) as usize).unwrap_or("").trim();
        ParseError { module: name.into(), line, what, text: text.into() }
    })
}

fn read(text: &str) -> Parse<Module> {
    let tokens = lexer::tokens(text)?;
    let mut reader = Reader { cursor: Cursor::new(&tokens), ..Reader::default() };
    while let Some(word) = reader.cursor.next() {
        reader.item(word)?;
    }
    if !has_grids(&reader.target)
        && let Some(line) = reader.kernels.iter().find_map(waits)
    {
        return Err((line, "griddepcontrol is for sm_90 and up".into()));
    }
    for kernel in &mut reader.kernels {
        kernel.files.clone_from(&reader.files);
        kernel.variables = reader.symbols.blocks().collect();
    }
    Ok(Module {
        target: reader.target.into(),
        kernels: reader.kernels.into_iter().map(|kernel| Kernel(Arc::new(kernel))).collect(),
    })
}

/// The architecture that a target names: 90 for `sm_90a`.
pub fn architecture(target: &str) -> Option<u32> {
    let number = target.strip_prefix("sm_")?;
    number.strip_suffix('a').unwrap_or(number).parse().ok()
}

/// Whether a target has `griddepcontrol`.
fn has_grids(target: &str) -> bool {
    architecture(target).is_some_and(|number| number >= 90)
}

/// The line where a kernel waits for other grids.
fn waits(program: &crate::kernel::Program) -> Option<u32> {
    let waits = |instr: &&Instr| matches!(instr.op, Op::WaitForGrids);
    program.code.iter().find(waits).map(|instr| instr.line)
}

/// The state while a module is read.
#[derive(Default)]
struct Reader<'a> {
    cursor: Cursor<'a>,
    target: String,
    files: Vec<(u32, String)>,
    symbols: Symbols,
    kernels: Vec<crate::kernel::Program>,
}

impl<'a> Reader<'a> {
    /// What starts with `word` outside every body.
    fn item(&mut self, word: lexer::Token<'a>) -> Parse<()> {
        match word.text {
            ".version" => self.version(),
            ".target" => {
                self.target = self.cursor.word("a target")?.into();
                self.cursor.skip_line();
                Ok(())
            }
            ".address_size" => match self.cursor.word("64")? {
                "64" => Ok(()),
                other => self.cursor.fail(format!("addresses of {other} bits, not 64")),
            },
            ".file" => self.file(),
            ".section" => self.cursor.skip_braces(),
            ".pragma" => self.cursor.skip_to(";"),
            ".visible" | ".weak" => Ok(()),
            ".extern" => self.external(),
            ".entry" => {
                let kernel = entry::read(&mut self.cursor, &self.symbols)?;
                self.kernels.push(kernel);
                Ok(())
            }
            ".shared" | ".global" | ".const" => self.variable(word.text),
            other => Err((word.line, format!("`{other}` is not implemented here"))),
        }
    }

    fn version(&mut self) -> Parse<()> {
        let version = self.cursor.word("a version")?;
        let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
        match major {
            Some(7..=9) => Ok(()),
            _ => self.cursor.fail(format!("PTX version {version}, not 7 to 9")),
        }
    }

    /// `.file 1 "name"`, perhaps with a time and a size.
    fn file(&mut self) -> Parse<()> {
        let number = self.cursor.integer("a file number")? as u32;
        let name = self.cursor.quoted("a file name")?;
        self.files.push((number, name.into()));
        self.cursor.skip_line();
        Ok(())
    }

    /// Only dynamic shared memory comes from outside.
    fn external(&mut self) -> Parse<()> {
        self.cursor.expect(".shared")?;
        let variable = variable::read(&mut self.cursor)?;
        self.symbols.insert(&variable.name, Symbol::DynamicShared { align: variable.align });
        Ok(())
    }

    fn variable(&mut self, space: &str) -> Parse<()> {
        let variable = variable::read(&mut self.cursor)?;
        let symbol = match space {
            ".shared" => Symbol::ModuleShared { bytes: variable.bytes, align: variable.align },
            _ => Symbol::variable(&variable).map_err(|what| (self.cursor.line(), what))?,
        };
        self.symbols.insert(&variable.name, symbol);
        Ok(())
    }
}
