//! Names of registers, and registers for constants.

use std::collections::HashMap;

use crate::isa::{Double, Pred, Reg, Word};
use crate::kernel::Special;

/// A register as declared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// With its width in bits.
    Word(Word, u32),
    Double(Double),
    Pred(Pred),
}

#[derive(Clone, Copy)]
enum Class {
    Word(u32),
    Double,
    Pred,
}

/// What one pair of braces declares.
#[derive(Default)]
struct Scope {
    slots: HashMap<String, Slot>,
    /// Classes of single names.
    names: HashMap<String, Class>,
    /// `%r<n>`: prefix, n and class.
    ranges: Vec<(String, u32, Class)>,
}

/// All registers of a kernel. Constants and special registers have registers of their own, set
/// before the kernel starts.
#[derive(Default)]
pub(crate) struct Registers {
    scopes: Vec<Scope>,
    pub(crate) words: usize,
    pub(crate) doubles: usize,
    pub(crate) preds: usize,
    word_constants: HashMap<u32, Word>,
    double_constants: HashMap<u64, Double>,
    pred_constants: HashMap<bool, Pred>,
    pub(crate) specials: Vec<(Special, Word)>,
    /// Address of dynamic shared memory, known only at the end.
    pub(crate) dynamic: Vec<Reg>,
}

impl Registers {
    pub(crate) fn open(&mut self) {
        self.scopes.push(Scope::default());
    }

    pub(crate) fn close(&mut self) {
        self.scopes.pop();
    }

    /// Declares `name`, or `name<count>`.
    pub(crate) fn declare(
        &mut self,
        ty: &str,
        name: &str,
        count: Option<u32>,
    ) -> Result<(), String> {
        let class = match ty {
            ".pred" => Class::Pred,
            ".b64" | ".u64" | ".s64" | ".f64" => Class::Double,
            ".b8" | ".u8" | ".s8" => Class::Word(8),
            ".b16" | ".u16" | ".s16" | ".f16" | ".bf16" => Class::Word(16),
            ".b32" | ".u32" | ".s32" | ".f32" | ".f16x2" | ".bf16x2" => Class::Word(32),
            _ => return Err(format!("registers of type `{ty}` are not implemented")),
        };
        let Some(scope) = self.scopes.last_mut() else {
            return Err("a register outside every body".into());
        };
        match count {
            Some(count) => scope.ranges.push((name.into(), count, class)),
            None => {
                scope.slots.remove(name);
                scope.names.insert(name.into(), class);
            }
        }
        Ok(())
    }

    /// The register of this name; `None` where none is declared.
    pub(crate) fn find(&mut self, name: &str) -> Result<Option<Slot>, String> {
        for at in (0..self.scopes.len()).rev() {
            if let Some(&slot) = self.scopes[at].slots.get(name) {
                return Ok(Some(slot));
            }
            if let Some(class) = self.scopes[at].class(name) {
                let slot = self.fresh(class)?;
                self.scopes[at].slots.insert(name.into(), slot);
                return Ok(Some(slot));
            }
        }
        Ok(None)
    }

    fn fresh(&mut self, class: Class) -> Result<Slot, String> {
        Ok(match class {
            Class::Word(bits) => Slot::Word(self.word()?, bits),
            Class::Double => Slot::Double(self.double()?),
            Class::Pred => Slot::Pred(self.pred()?),
        })
    }

    /// A new word.
    pub(crate) fn word(&mut self) -> Result<Word, String> {
        take(&mut self.words).map(Word)
    }

    fn double(&mut self) -> Result<Double, String> {
        take(&mut self.doubles).map(Double)
    }

    /// A new predicate.
    pub(crate) fn pred(&mut self) -> Result<Pred, String> {
        take(&mut self.preds).map(Pred)
    }

    /// A word that holds `value`.
    pub(crate) fn word_constant(&mut self, value: u32) -> Result<Word, String> {
        if let Some(&word) = self.word_constants.get(&value) {
            return Ok(word);
        }
        let word = self.word()?;
        self.word_constants.insert(value, word);
        Ok(word)
    }

    /// A double word that holds `value`.
    pub(crate) fn double_constant(&mut self, value: u64) -> Result<Double, String> {
        if let Some(&double) = self.double_constants.get(&value) {
            return Ok(double);
        }
        let double = self.double()?;
        self.double_constants.insert(value, double);
        Ok(double)
    }

    /// A predicate that is `value`.
    pub(crate) fn pred_constant(&mut self, value: bool) -> Result<Pred, String> {
        if let Some(&pred) = self.pred_constants.get(&value) {
            return Ok(pred);
        }
        let pred = self.pred()?;
        self.pred_constants.insert(value, pred);
        Ok(pred)
    }

    /// The word that holds a special register.
    pub(crate) fn special(&mut self, special: Special) -> Result<Word, String> {
        if let Some(found) = self.specials.iter().find(|known| known.0 == special) {
            return Ok(found.1);
        }
        let word = self.word()?;
        self.specials.push((special, word));
        Ok(word)
    }

    /// A register that will hold the address of dynamic shared memory.
    pub(crate) fn dynamic(&mut self, wide: bool) -> Result<Reg, String> {
        let known = self.dynamic.iter().find(|reg| matches!(reg, Reg::Double(_)) == wide);
        if let Some(&reg) = known {
            return Ok(reg);
        }
        let reg = if wide { Reg::Double(self.double()?) } else { Reg::Word(self.word()?) };
        self.dynamic.push(reg);
        Ok(reg)
    }

    pub(crate) fn word_presets(&self) -> Vec<(Word, u32)> {
        self.word_constants.iter().map(|(&value, &word)| (word, value)).collect()
    }

    pub(crate) fn double_presets(&self) -> Vec<(Double, u64)> {
        self.double_constants.iter().map(|(&value, &double)| (double, value)).collect()
    }

    pub(crate) fn pred_presets(&self) -> Vec<(Pred, bool)> {
        self.pred_constants.iter().map(|(&value, &pred)| (pred, value)).collect()
    }
}

impl Scope {
    fn class(&self, name: &str) -> Option<Class> {
        if let Some(&class) = self.names.get(name) {
            return Some(class);
        }
        let prefix = name.trim_end_matches(|byte: char| byte.is_ascii_digit());
        let number: u32 = name[prefix.len()..].parse().ok()?;
        let range = self.ranges.iter().rev().find(|range| range.0 == prefix)?;
        (number < range.1).then_some(range.2)
    }
}

fn take(count: &mut usize) -> Result<u16, String> {
    let index = u16::try_from(*count).map_err(|_| "more than 65536 registers".to_owned())?;
    *count += 1;
    Ok(index)
}
