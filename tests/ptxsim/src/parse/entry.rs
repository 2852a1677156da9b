//! `.entry`: the name, the parameters and the limits of a kernel.

use super::cursor::Cursor;
use super::variable::{self, Symbol, Symbols};
use super::{Parse, body};
use crate::kernel::Program;
use crate::{Param, ParamKind};

/// Reads a kernel from its name on.
pub(super) fn read(cursor: &mut Cursor<'_>, symbols: &Symbols) -> Parse<Program> {
    let mut program =
        Program { name: cursor.word("a name")?.into(), threads_max: 1024, ..Program::default() };
    let mut symbols = symbols.clone();
    if cursor.take("(") {
        while !cursor.take(")") {
            let param = param(cursor, program.params_bytes)?;
            program.params_bytes = param.offset + param.bytes;
            symbols.insert(&param.name, Symbol::Param(param.offset));
            program.params.push(param);
            if !cursor.is(")") {
                cursor.expect(",")?;
            }
        }
    }
    limits(cursor, &mut program)?;
    body::read(cursor, program, symbols)
}

/// `.param .align 8 .b8 name[16]`, laid out after `end`.
fn param(cursor: &mut Cursor<'_>, end: u32) -> Parse<Param> {
    cursor.expect(".param")?;
    let align = if cursor.take(".align") { cursor.integer("an alignment")? as u32 } else { 1 };
    let kind = match cursor.peek().map(|token| token.text) {
        Some(".u64" | ".s64" | ".b64") => ParamKind::Pointer,
        Some(".f32") => ParamKind::F32,
        Some(".f64") => ParamKind::F64,
        Some(".u32" | ".s32" | ".b32") => ParamKind::U32,
        Some(".u16" | ".s16" | ".b16" | ".f16") => ParamKind::U16,
        _ => ParamKind::U8,
    };
    let element = variable::element(cursor)?;
    skip_pointer(cursor)?;
    let name = cursor.word("a name")?.to_owned();
    let kind = if cursor.is("[") { ParamKind::Bytes } else { kind };
    let bytes = variable::count(cursor)?.saturating_mul(u64::from(element));
    let offset = u64::from(end).next_multiple_of(u64::from(align.max(element)));
    if offset + bytes > 32_764 {
        return cursor.fail("more than 32764 bytes of parameters");
    }
    Ok(Param { name, offset: offset as u32, bytes: bytes as u32, kind })
}

/// `.ptr .global .align 16`, which promises nothing that is used here.
fn skip_pointer(cursor: &mut Cursor<'_>) -> Parse<()> {
    if cursor.take(".ptr") {
        while cursor.peek().is_some_and(|token| token.text.starts_with('.')) {
            if cursor.next().is_some_and(|token| token.text == ".align") {
                cursor.integer("an alignment")?;
            }
        }
    }
    Ok(())
}

/// What stands between the parameters and the body.
fn limits(cursor: &mut Cursor<'_>, program: &mut Program) -> Parse<()> {
    while !cursor.take("{") {
        match cursor.word("the body")? {
            ".maxntid" => program.threads_max = product(shape(cursor)?),
            ".reqntid" => {
                let shape = shape(cursor)?;
                program.threads_exact = Some(shape);
                program.threads_max = product(shape);
            }
            ".minnctapersm" | ".maxnctapersm" | ".maxnreg" => drop(cursor.integer("a limit")?),
            ".noreturn" => {}
            ".pragma" => cursor.skip_to(";")?,
            other => return cursor.fail(format!("`{other}` is not implemented")),
        }
    }
    Ok(())
}

fn product(shape: [u32; 3]) -> u32 {
    shape.into_iter().fold(1, u32::saturating_mul)
}

/// Up to three numbers.
fn shape(cursor: &mut Cursor<'_>) -> Parse<[u32; 3]> {
    let mut shape = [1; 3];
    for (axis, size) in shape.iter_mut().enumerate() {
        if axis > 0 && !cursor.take(",") {
            break;
        }
        *size = cursor.integer("a size")? as u32;
    }
    Ok(shape)
}
