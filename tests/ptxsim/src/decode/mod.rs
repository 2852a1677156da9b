//! Statements to instructions. What is not known is refused, never guessed: a modifier that no
//! decoder takes is an error.

mod float;
mod int;
mod memory;
mod moves;
mod warp;

use crate::isa::{Atomic, Condition, Double, Op, Pred, Reg, Regs, Space, Type, Word};
use crate::parse::{Names, Operand, Registers, Slot, Statement};

pub(crate) type Decode<T = Op> = Result<T, String>;

/// Decodes anything but branches.
pub(crate) fn decode(decoder: &mut Decoder<'_, '_>, mut names: Names<'_>) -> Decode {
    let op = match decoder.statement.base {
        "ld" | "ldu" | "st" | "atom" | "red" | "cp" | "ldmatrix" | "prefetch" | "fence"
        | "membar" | "griddepcontrol" => memory::decode(decoder, &mut names),
        "mov" | "cvta" | "cvt" | "selp" | "slct" | "setp" | "set" => {
            moves::decode(decoder, &mut names)
        }
        "mma" | "shfl" | "vote" | "match" | "redux" | "activemask" | "bar" | "barrier" | "ret"
        | "exit" | "trap" | "nanosleep" | "brkpt" => warp::decode(decoder),
        _ => match decoder.types().last() {
            Some(Type::F32 | Type::F64 | Type::Half(_) | Type::HalfPair(_)) => {
                float::decode(decoder)
            }
            _ => int::decode(decoder),
        },
    }?;
    decoder.finish()?;
    Ok(op)
}

/// Whether other blocks may be waiting for this, or this for them.
pub(crate) fn talks(op: &Op) -> bool {
    let global = |space| matches!(space, Space::Global | Space::Generic);
    match op {
        Op::Atomic(atomic) => {
            let Atomic { space, .. } = **atomic;
            global(space)
        }
        Op::Load { space, order, .. } | Op::Store { space, order, .. } => {
            global(*space) && !order.is_weak()
        }
        _ => false,
    }
}

/// A statement being decoded.
pub(crate) struct Decoder<'a, 's> {
    pub(crate) statement: &'a Statement<'s>,
    modifiers: Vec<&'s str>,
    registers: &'a mut Registers,
    /// Operands used, to notice those left over.
    used: u32,
}

impl<'a, 's> Decoder<'a, 's> {
    pub(crate) fn new(statement: &'a Statement<'s>, registers: &'a mut Registers) -> Self {
        Self { statement, modifiers: statement.modifiers.clone(), registers, used: 0 }
    }

    /// Takes a modifier; false where it is not there.
    pub(crate) fn take(&mut self, modifier: &str) -> bool {
        let at = self.modifiers.iter().position(|&found| found == modifier);
        if let Some(at) = at {
            self.modifiers.remove(at);
        }
        at.is_some()
    }

    /// Takes whichever of the modifiers is there first.
    pub(crate) fn take_any<T: Copy>(&mut self, choices: &[(&str, T)]) -> Option<T> {
        choices.iter().find(|choice| self.take(choice.0)).map(|choice| choice.1)
    }

    pub(crate) fn has(&self, modifier: &str) -> bool {
        self.statement.modifiers.contains(&modifier)
    }

    /// The types among the modifiers.
    pub(crate) fn types(&self) -> Vec<Type> {
        self.statement.modifiers.iter().filter_map(|name| Type::named(name)).collect()
    }

    /// Takes the last type.
    pub(crate) fn ty(&mut self) -> Decode<Type> {
        let at = self.modifiers.iter().rposition(|name| Type::named(name).is_some());
        at.and_then(|at| Type::named(self.modifiers.remove(at))).ok_or("expected a type".into())
    }

    /// Fails where a modifier or an operand is left over.
    pub(crate) fn finish(&self) -> Decode<()> {
        if let Some(modifier) = self.modifiers.first() {
            return Err(format!("`.{modifier}` is not implemented here"));
        }
        let operands = self.statement.operands.len() as u32;
        if self.used != 0 && self.used.count_ones() != operands {
            return Err(format!("expected {} operands, found {operands}", self.used.count_ones()));
        }
        Ok(())
    }

    pub(crate) fn operands(&self) -> usize {
        self.statement.operands.len()
    }

    /// Operand `at`.
    pub(crate) fn operand(&mut self, at: usize) -> Decode<&'a Operand<'s>> {
        self.used |= 1 << (at % 32);
        self.statement.operands.get(at).ok_or_else(|| format!("expected operand {}", at + 1))
    }

    /// The guard; always true where there is none.
    pub(crate) fn guard(&mut self) -> Decode<Condition> {
        match self.statement.guard {
            Some((name, negated)) => self.condition_named(name, negated),
            None => Ok(Condition { pred: self.registers.pred_constant(true)?, flip: 0 }),
        }
    }

    fn slot(&mut self, name: &str) -> Decode<Slot> {
        self.registers.find(name)?.ok_or_else(|| format!("`{name}` is not declared"))
    }

    fn condition_named(&mut self, name: &str, negated: bool) -> Decode<Condition> {
        match self.slot(name)? {
            Slot::Pred(pred) => Ok(Condition { pred, flip: if negated { !0 } else { 0 } }),
            _ => Err(format!("`{name}` is not a predicate")),
        }
    }

    /// Operand `at` as a predicate, perhaps negated.
    pub(crate) fn condition(&mut self, at: usize) -> Decode<Condition> {
        match *self.operand(at)? {
            Operand::Name { name, negated } => self.condition_named(name, negated),
            Operand::Integer(value) => {
                Ok(Condition { pred: self.registers.pred_constant(value != 0)?, flip: 0 })
            }
            _ => Err("expected a predicate".into()),
        }
    }

    /// Operand `at` as a predicate to write.
    pub(crate) fn pred(&mut self, at: usize) -> Decode<Pred> {
        match *self.operand(at)? {
            Operand::Name { name, negated: false } => self.pred_named(name),
            _ => Err("expected a predicate".into()),
        }
    }

    pub(crate) fn pred_named(&mut self, name: &str) -> Decode<Pred> {
        if name == "_" {
            return self.registers.pred();
        }
        Ok(self.condition_named(name, false)?.pred)
    }

    /// Operand `at` as a word; `ty` is how constants are read.
    pub(crate) fn word(&mut self, at: usize) -> Decode<Word> {
        let operand = self.operand(at)?;
        self.word_of(operand)
    }

    pub(crate) fn word_of(&mut self, operand: &Operand<'s>) -> Decode<Word> {
        match *operand {
            Operand::Name { name, negated: false } => self.word_named(name),
            Operand::Integer(value) => self.registers.word_constant(value as u32),
            Operand::Single(bits) => self.registers.word_constant(bits),
            Operand::Double(bits) => {
                self.registers.word_constant((f64::from_bits(bits) as f32).to_bits())
            }
            _ => Err("expected a register of 32 bits or less".into()),
        }
    }

    pub(crate) fn word_named(&mut self, name: &str) -> Decode<Word> {
        if name == "_" {
            return self.registers.word();
        }
        if let Some(special) = crate::kernel::Special::named(name) {
            return self.registers.special(special);
        }
        match self.slot(name)? {
            Slot::Word(word, _) => Ok(word),
            _ => Err(format!("`{name}` is not a register of 32 bits or less")),
        }
    }

    /// Three words from operand `first` on; those past the end repeat the first.
    pub(crate) fn words(&mut self, first: usize, count: usize) -> Decode<[Word; 3]> {
        let mut words = [self.word(first)?; 3];
        for (i, word) in words.iter_mut().enumerate().take(count).skip(1) {
            *word = self.word(first + i)?;
        }
        Ok(words)
    }

    /// Operand `at` as a double word.
    pub(crate) fn double(&mut self, at: usize) -> Decode<Double> {
        let operand = self.operand(at)?;
        match *operand {
            Operand::Name { name, negated: false } => match self.slot(name)? {
                Slot::Double(double) => Ok(double),
                _ => Err(format!("`{name}` is not a register of 64 bits")),
            },
            Operand::Integer(value) | Operand::Double(value) => self.double_constant(value),
            Operand::Single(bits) => {
                self.double_constant(f64::from(f32::from_bits(bits)).to_bits())
            }
            _ => Err("expected a register of 64 bits".into()),
        }
    }

    pub(crate) fn double_constant(&mut self, value: u64) -> Decode<Double> {
        self.registers.double_constant(value)
    }

    pub(crate) fn word_constant(&mut self, value: u32) -> Decode<Word> {
        self.registers.word_constant(value)
    }

    /// Three double words, as `words`.
    pub(crate) fn doubles(&mut self, first: usize, count: usize) -> Decode<[Double; 3]> {
        let mut doubles = [self.double(first)?; 3];
        for (i, double) in doubles.iter_mut().enumerate().take(count).skip(1) {
            *double = self.double(first + i)?;
        }
        Ok(doubles)
    }

    /// Operand `at` as a register that holds `bits`.
    pub(crate) fn reg(&mut self, at: usize, bits: u32) -> Decode<Reg> {
        if bits == 64 { self.double(at).map(Reg::Double) } else { self.word(at).map(Reg::Word) }
    }

    /// A register as declared, at least `bits` wide, with its width.
    pub(crate) fn declared(&mut self, operand: &Operand<'s>, bits: u32) -> Decode<(Reg, u32)> {
        match *operand {
            Operand::Name { name, negated: false } if name != "_" => {
                if crate::kernel::Special::named(name).is_some() {
                    return Ok((Reg::Word(self.word_named(name)?), 32));
                }
                match self.slot(name)? {
                    Slot::Word(word, wide) if wide >= bits => Ok((Reg::Word(word), wide)),
                    Slot::Double(double) => Ok((Reg::Double(double), 64)),
                    _ => Err(format!("`{name}` is not a register of {bits} bits")),
                }
            }
            Operand::Integer(value) | Operand::Double(value) if bits == 64 => {
                Ok((Reg::Double(self.double_constant(value)?), 64))
            }
            _ if bits <= 32 => Ok((Reg::Word(self.word_of(operand)?), 32)),
            _ => Err(format!("expected a register of {bits} bits")),
        }
    }

    /// Operand `at`: one register or a list of up to four, each at least `bits` wide.
    pub(crate) fn list(&mut self, at: usize, bits: u32) -> Decode<Regs> {
        let operand = self.operand(at)?;
        let items = match operand {
            Operand::List(items) => items.as_slice(),
            one => std::slice::from_ref(one),
        };
        if items.len() > 4 {
            return Err(format!("a list of {} registers", items.len()));
        }
        let regs: Decode<Vec<Reg>> =
            items.iter().map(|item| Ok(self.declared(item, bits)?.0)).collect();
        Ok(Regs::new(&regs?))
    }

    /// Operand `at` as exactly `N` words.
    pub(crate) fn words_list<const N: usize>(&mut self, at: usize) -> Decode<[Word; N]> {
        let Operand::List(items) = self.operand(at)? else {
            return Err(format!("expected {N} registers in braces"));
        };
        let words: Decode<Vec<Word>> = items.iter().map(|item| self.word_of(item)).collect();
        words?.try_into().map_err(|found: Vec<_>| format!("{} registers, not {N}", found.len()))
    }

    /// A register for the address of dynamic shared memory.
    pub(crate) fn dynamic(&mut self, wide: bool) -> Decode<Reg> {
        self.registers.dynamic(wide)
    }

    /// The register of this name, if it is one.
    pub(crate) fn find(&mut self, name: &str) -> Decode<Option<Slot>> {
        self.registers.find(name)
    }
}
