//! Values between the host and the device, for tests and inputs that are not rows.

use super::CudaDevice;
use super::table::Live;
use crate::{Result, Span};

impl CudaDevice {
    /// Waits, then writes the head of a value, in the order of the live tokens.
    pub(super) fn write_value(&mut self, span: Span, values: &[f32]) -> Result<()> {
        self.check_whole()?;
        span.check("values", values.len(), self.layout.activations)?;
        self.wait()?;
        let mut bytes = self.elem.encode(values);
        let at = self.address(span)?;
        if let Some((width, places)) = self.places(span)? {
            let size = self.elem.bytes();
            let mut whole = vec![0_u8; places.len() * width * size];
            self.queue.stream.download(at, &mut whole)?;
            for (i, element) in bytes.chunks_exact(size).enumerate() {
                let to = (places[i / width] * width + i % width) * size;
                whole[to..to + size].copy_from_slice(element);
            }
            bytes = whole;
        }
        let written = self.queue.stream.upload(at, &bytes);
        self.guard(written)
    }

    /// Waits, then reads the head of a value, in the order of the live tokens.
    pub(super) fn read_value(&mut self, span: Span, values: &mut [f32]) -> Result<()> {
        self.check_whole()?;
        span.check("values", values.len(), self.layout.activations)?;
        self.wait()?;
        let at = self.address(span)?;
        let places = self.places(span)?;
        let len = places.as_ref().map_or(values.len(), |(width, places)| places.len() * width);
        let mut bytes = vec![0_u8; len * self.elem.bytes()];
        let read = self.queue.stream.download(at, &mut bytes);
        self.guard(read)?;
        let elements: Vec<f32> = self.elem.decode(&bytes).collect();
        for (i, value) in values.iter_mut().enumerate() {
            let at = places.as_ref().map_or(i, |(w, places)| places[i / w] * w + i % w);
            *value = elements[at];
        }
        Ok(())
    }

    /// Places of the vectors of a value that is not packed: those of the live tokens in their
    /// order, then the others, so that every place comes once. Where nobody runs there are none.
    fn places(&mut self, span: Span) -> Result<Option<(usize, Vec<usize>)>> {
        let Some(reserved) = &self.reserved else { return Ok(None) };
        let Some((width, map)) = reserved.values.mapped(span) else { return Ok(None) };
        let Ok(table) = reserved.rows.table() else { return Ok(None) };
        let map = map.address(&table);
        if map == 0 {
            return Ok(None);
        }
        let mut live = [Live::default()];
        self.queue.stream.download(table.live, &mut live)?;
        let mut places = vec![0_u32; live[0].tokens as usize];
        if !places.is_empty() {
            self.queue.stream.download(map, &mut places)?;
        }
        let mut places: Vec<usize> = places.into_iter().map(|place| place as usize).collect();
        let mut is_taken = vec![false; self.layout.tokens_max];
        places.iter().for_each(|&place| is_taken[place] = true);
        places.extend((0..is_taken.len()).filter(|&place| !is_taken[place]));
        Ok(Some((width, places)))
    }
}
