//! The batch after the one that runs, on its way to the device.
//!
//! Images are large: while the host would wait for a pass, it hands over those of the next one,
//! part by part. In between it looks for answers.

use offramp_kernels::RowInput;

use super::Engine;
use crate::batch::Batch;
use crate::error::Result;

/// What the device has of a batch to come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ahead {
    /// [`Batch::stamp`]; 0 for none.
    stamp: u64,
    bytes: usize,
}

impl Engine {
    /// While the host would wait: hands over one more part of `next`, or lets others run.
    pub(super) fn use_wait(&mut self, next: Option<&Batch>) -> Result<()> {
        if !self.stage_part(next)? {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Hands over one more part of `next`; whether there was any.
    fn stage_part(&mut self, next: Option<&Batch>) -> Result<bool> {
        let Some(next) = next.filter(|next| self.takes_images(next)) else { return Ok(false) };
        if self.ahead.stamp != next.stamp() {
            self.ahead = Ahead { stamp: next.stamp(), bytes: 0 };
        }
        let had = self.ahead.bytes;
        if had == next.images().len() {
            return Ok(false);
        }
        self.ahead.bytes = self.device.stage(next.images(), had)?;
        Ok(self.ahead.bytes > had)
    }

    /// Whether there is room for the images of a batch: it may be meant for another engine.
    fn takes_images(&self, batch: &Batch) -> bool {
        batch.images().len() <= self.plan.layout.rows_max * self.plan.layout.row_pixels
    }

    /// What a pass over `batch` begins with: what the device has of it, completed, or its rows.
    pub(super) fn input_of<'a>(&mut self, batch: &'a Batch) -> Result<RowInput<'a>> {
        let is_here = self.ahead.bytes > 0 && self.ahead.stamp == batch.stamp();
        while is_here && self.stage_part(Some(batch))? {}
        let had = std::mem::take(&mut self.ahead).bytes;
        let is_whole = is_here && had == batch.images().len();
        Ok(if is_whole { RowInput::Staged } else { batch.input() })
    }
}
