//! Operands of instructions.

use super::Parse;
use super::cursor::{Cursor, integer};
use super::lexer::Kind;

/// An operand before its names are resolved.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Operand<'a> {
    /// A register, a symbol or a label, perhaps negated by `!`.
    Name { name: &'a str, negated: bool },
    /// A whole number in two's complement.
    Integer(u64),
    /// The bits of an f32.
    Single(u32),
    /// The bits of an f64.
    Double(u64),
    /// `{a, b}`.
    List(Vec<Self>),
    /// `[base + offset]`; no base where the address is a number.
    At { base: Option<&'a str>, offset: i64 },
    /// `a|b`.
    Two(&'a str, &'a str),
}

/// An instruction before decoding.
#[derive(Clone, Debug)]
pub(crate) struct Statement<'a> {
    pub(crate) line: u32,
    /// The guarding predicate and whether it is negated.
    pub(crate) guard: Option<(&'a str, bool)>,
    /// The opcode up to its first dot.
    pub(crate) base: &'a str,
    /// What follows the dots.
    pub(crate) modifiers: Vec<&'a str>,
    pub(crate) operands: Vec<Operand<'a>>,
}

/// Reads an instruction up to its semicolon.
pub(super) fn statement<'a>(cursor: &mut Cursor<'a>) -> Parse<Statement<'a>> {
    let guard = if cursor.take("@") {
        let negated = cursor.take("!");
        Some((cursor.word("a predicate")?, negated))
    } else {
        None
    };
    let opcode = cursor.word("an instruction")?;
    let line = cursor.line();
    let mut parts = opcode.split('.');
    let base = parts.next().unwrap_or_default();
    let modifiers = parts.collect();
    let mut operands = Vec::new();
    while !cursor.take(";") {
        if !operands.is_empty() {
            cursor.expect(",")?;
        }
        operands.push(operand(cursor, 0)?);
    }
    Ok(Statement { line, guard, base, modifiers, operands })
}

fn operand<'a>(cursor: &mut Cursor<'a>, depth: u32) -> Parse<Operand<'a>> {
    if depth > 2 {
        return cursor.fail("lists within lists");
    }
    if cursor.take("{") {
        return list(cursor, depth);
    }
    if cursor.take("[") {
        return address(cursor);
    }
    let negated = cursor.take("!");
    let minus = !negated && cursor.take("-");
    let word = cursor.word("an operand")?;
    if !negated && !minus && cursor.take("|") {
        return Ok(Operand::Two(word, cursor.word("a second destination")?));
    }
    match number(word, minus) {
        Some(number) if !negated => Ok(number),
        None if !minus => Ok(Operand::Name { name: word, negated }),
        _ => cursor.fail(format!("`{word}` cannot be negated")),
    }
}

fn list<'a>(cursor: &mut Cursor<'a>, depth: u32) -> Parse<Operand<'a>> {
    let mut items = vec![operand(cursor, depth + 1)?];
    while !cursor.take("}") {
        cursor.expect(",")?;
        items.push(operand(cursor, depth + 1)?);
    }
    Ok(Operand::List(items))
}

/// `base`, `base+4`, `base+-4` or a number, after the bracket.
fn address<'a>(cursor: &mut Cursor<'a>) -> Parse<Operand<'a>> {
    let word = cursor.word("an address")?;
    let at = match integer(word) {
        Some(number) => Operand::At { base: None, offset: number as i64 },
        None => {
            let offset = if cursor.take("+") { signed(cursor)? } else { trailing(cursor)? };
            Operand::At { base: Some(word), offset }
        }
    };
    cursor.expect("]")?;
    Ok(at)
}

/// An offset that begins with a minus, or none.
fn trailing(cursor: &mut Cursor<'_>) -> Parse<i64> {
    if cursor.is("-") { signed(cursor) } else { Ok(0) }
}

fn signed(cursor: &mut Cursor<'_>) -> Parse<i64> {
    let minus = cursor.take("-");
    let word = cursor.word("an offset")?;
    match integer(word) {
        Some(number) if minus => Ok((number as i64).wrapping_neg()),
        Some(number) => Ok(number as i64),
        None => cursor.fail(format!("expected an offset, found `{word}`")),
    }
}

/// The bits of a number in an initialiser.
pub(super) fn value(cursor: &mut Cursor<'_>) -> Parse<u64> {
    let minus = cursor.take("-");
    let word = cursor.word("a number")?;
    match number(word, minus) {
        Some(Operand::Integer(bits) | Operand::Double(bits)) => Ok(bits),
        Some(Operand::Single(bits)) => Ok(u64::from(bits)),
        _ => cursor.fail(format!("expected a number, found `{word}`")),
    }
}

fn number<'a>(word: &str, minus: bool) -> Option<Operand<'a>> {
    let bits = |prefix: &[&str], digits: usize| {
        let text = prefix.iter().find_map(|prefix| word.strip_prefix(prefix))?;
        if text.len() == digits { u64::from_str_radix(text, 16).ok() } else { None }
    };
    if let Some(bits) = bits(&["0f", "0F"], 8) {
        return Some(Operand::Single(bits as u32 ^ u32::from(minus) << 31));
    }
    if let Some(bits) = bits(&["0d", "0D"], 16) {
        return Some(Operand::Double(bits ^ u64::from(minus) << 63));
    }
    let number = integer(word)?;
    Some(Operand::Integer(if minus { number.wrapping_neg() } else { number }))
}

/// Whether a label stands here.
pub(super) fn is_label(cursor: &Cursor<'_>) -> bool {
    let is = |token: Option<super::lexer::Token<'_>>, kind| token.is_some_and(|t| t.kind == kind);
    is(cursor.peek(), Kind::Word)
        && is(cursor.peek_second(), Kind::Mark)
        && cursor.peek_second().is_some_and(|token| token.text == ":")
}
