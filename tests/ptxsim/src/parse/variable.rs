//! Variables: arrays in shared, local, global and constant memory.

use std::collections::HashMap;
use std::sync::Arc;

use super::cursor::Cursor;
use super::{Parse, operand};
use crate::isa::Type;
use crate::memory::{Block, Contents};

/// Most bytes of one variable.
const BYTES_MAX: u64 = 1 << 26;

/// A declaration.
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) bytes: u32,
    pub(super) align: u32,
    element: u32,
    values: Vec<u64>,
}

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum Symbol {
    /// Shared memory of the launch, after the static part.
    DynamicShared { align: u32 },
    /// Shared memory that a kernel sets aside where it uses it.
    ModuleShared { bytes: u32, align: u32 },
    /// Offset in the shared memory of the kernel.
    Shared(u32),
    /// Offset in the local memory of a thread.
    Local(u32),
    /// Offset in the parameters.
    Param(u32),
    /// In global or constant memory.
    Block(Arc<Block>),
}

impl Symbol {
    /// Sets global memory aside and fills it.
    pub(super) fn variable(variable: &Variable) -> Result<Self, String> {
        let block = Block::new(u64::from(variable.bytes), Contents::Defined)
            .ok_or_else(|| format!("no memory for {} bytes", variable.bytes))?;
        for (i, &value) in variable.values.iter().enumerate() {
            block.store(i as u64 * u64::from(variable.element), variable.element, value);
        }
        Ok(Self::Block(Arc::new(block)))
    }
}

/// Names and what they stand for.
#[derive(Clone, Default)]
pub(super) struct Symbols(HashMap<String, Symbol>);

impl Symbols {
    pub(super) fn insert(&mut self, name: &str, symbol: Symbol) {
        self.0.insert(name.into(), symbol);
    }

    pub(super) fn get(&self, name: &str) -> Option<&Symbol> {
        self.0.get(name)
    }

    /// Variables in global and constant memory.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Arc<Block>> {
        self.0.values().filter_map(|symbol| match symbol {
            Symbol::Block(block) => Some(Arc::clone(block)),
            _ => None,
        })
    }
}

/// `[.align n] .type name[len] [= {..}];` after the state space.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Parse<Variable> {
    let align = if cursor.take(".align") { cursor.integer("an alignment")? as u32 } else { 0 };
    if align != 0 && !(align.is_power_of_two() && align <= 1024) {
        return cursor.fail(format!("an alignment of {align}"));
    }
    let element = element(cursor)?;
    let name = cursor.word("a name")?.to_owned();
    let count = count(cursor)?;
    let bytes = count.saturating_mul(u64::from(element));
    if bytes > BYTES_MAX {
        return cursor.fail(format!("{bytes} bytes, more than {BYTES_MAX}"));
    }
    let values = if cursor.take("=") { values(cursor)? } else { Vec::new() };
    if values.len() as u64 > count {
        return cursor.fail(format!("{} values for {count} elements", values.len()));
    }
    cursor.expect(";")?;
    Ok(Variable { name, bytes: bytes as u32, align: align.max(element), element, values })
}

/// Bytes of the type named next.
pub(super) fn element(cursor: &mut Cursor<'_>) -> Parse<u32> {
    let name = cursor.word("a type")?;
    match name.strip_prefix('.').and_then(Type::named) {
        Some(ty) if ty != Type::Pred => Ok(ty.bytes()),
        _ => cursor.fail(format!("expected a type, found `{name}`")),
    }
}

/// Elements by the brackets that follow a name; one without brackets.
pub(super) fn count(cursor: &mut Cursor<'_>) -> Parse<u64> {
    let mut count = 1u64;
    while cursor.take("[") {
        let len = if cursor.is("]") { 0 } else { cursor.integer("a length")? };
        count = count.saturating_mul(len);
        cursor.expect("]")?;
    }
    Ok(count)
}

fn values(cursor: &mut Cursor<'_>) -> Parse<Vec<u64>> {
    if !cursor.take("{") {
        return Ok(vec![operand::value(cursor)?]);
    }
    let mut values = Vec::new();
    while !cursor.take("}") {
        values.push(operand::value(cursor)?);
        if !cursor.is("}") {
            cursor.expect(",")?;
        }
    }
    Ok(values)
}
