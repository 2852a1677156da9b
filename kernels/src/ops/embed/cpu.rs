//! The sum of a token's table rows is made where its norm will lie.

use super::Embed;
use crate::cpu::CpuDevice;
use crate::ops::norm::{Form, for_each_token};
use crate::{Result, Span, Token};

impl Embed {
    pub(crate) fn run(&self, device: &mut CpuDevice) -> Result<()> {
        self.check(&device.layout)?;
        let weights = &device.weights;
        let tables = Tables {
            word: weights.table(self.word, self.width)?,
            position: weights.table(self.position, self.width)?,
            kind: self.kind.map(|kind| weights.table(kind, self.width)).transpose()?,
            width: self.width,
        };
        let form = self.norm.map(|norm| Form::of(weights, &norm, self.width)).transpose()?;
        let tokens = device.rows.tokens()?;
        if self.width == 0 {
            return Ok(());
        }
        tables.check(tokens)?;
        let out = Span { at: self.out.at, len: tokens.len() * self.width };
        let out = device.arena.slice_mut("embed out", out)?;
        let sum = |at: usize, out: &mut [f32]| tables.sum(tokens[at / self.width], out);
        for_each_token(self.width, &mut device.team, out, |at, token| {
            sum(at, token);
            if let Some(form) = form {
                form.normalise(device.simd, token);
            }
        })
    }
}

struct Tables<'a> {
    word: &'a [f32],
    position: &'a [f32],
    kind: Option<&'a [f32]>,
    width: usize,
}

impl Tables<'_> {
    fn check(&self, tokens: &[Token]) -> Result<()> {
        let rows = |table: &[f32]| table.len() / self.width;
        let kinds = self.kind.map_or(usize::MAX, rows);
        Embed::check_tokens(tokens, [rows(self.word), rows(self.position), kinds])
    }

    fn sum(&self, token: Token, out: &mut [f32]) {
        let row = |table, index: usize| -> &[f32] {
            let table: &[f32] = table;
            &table[index * self.width..][..self.width]
        };
        let word = row(self.word, token.id as usize);
        let position = row(self.position, token.position.into());
        for ((out, word), position) in out.iter_mut().zip(word).zip(position) {
            *out = word + position;
        }
        if let Some(kind) = self.kind {
            for (out, kind) in out.iter_mut().zip(row(kind, token.kind.into())) {
                *out += kind;
            }
        }
    }
}
