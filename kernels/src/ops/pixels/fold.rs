//! Blocks of pixels as channels (space to depth).

use crate::Grid;

/// A map of blocks of pixels: channel `(dy · side + dx) · channels + c` of block `(y, x)` is
/// channel `c` of pixel `(side · y + dy - padding, side · x + dx - padding)`. Pixels outside the
/// image, and channels that no pixel of a block fills, are 0.
///
/// A convolution over few channels with a stride of `side` is one over such blocks, with more
/// channels, a smaller window and neither stride nor padding. So windows are read in chunks, where
/// three channels would have to be gathered one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fold {
    /// Pixels of a side of a block.
    pub side: usize,
    /// Zeros before the first line and before the first pixel of each line.
    pub padding: usize,
    /// The map of blocks.
    pub to: Grid,
    /// Channels of a block.
    pub width: usize,
}

impl Fold {
    /// The blocks from which windows of `[kernel, stride, padding]` over an image are read, their
    /// channels a multiple of `step`. `None` where no window fits, or none touches its neighbour.
    pub fn of(
        image: Grid,
        channels: usize,
        [kernel, stride, padding]: [usize; 3],
        step: usize,
    ) -> Option<Self> {
        let windows = image.windows(kernel, stride, padding);
        if windows.pixels() == 0 || stride == 0 || kernel < stride || step == 0 {
            return None;
        }
        let beyond = kernel.div_ceil(stride) - 1;
        let to = Grid { height: windows.height + beyond, width: windows.width + beyond };
        let width = (stride * stride * channels).next_multiple_of(step);
        Some(Self { side: stride, padding, to, width })
    }

    /// Blocks of a side of a window of `kernel` pixels a side.
    pub fn kernel(&self, kernel: usize) -> usize {
        kernel.div_ceil(self.side)
    }

    /// A filter over pixels, `[kernel, kernel, channels]`, as the filter over blocks,
    /// `[k, k, width]` with [`k`](Self::kernel) blocks a side.
    pub fn filter(&self, kernel: usize, channels: usize, filter: &[f32]) -> Vec<f32> {
        let k = self.kernel(kernel);
        let mut folded = vec![0.0; k * k * self.width];
        for (tap, values) in filter.chunks_exact(channels).enumerate() {
            let (y, x) = (tap / kernel, tap % kernel);
            let block = y / self.side * k + x / self.side;
            let pixel = y % self.side * self.side + x % self.side;
            folded[block * self.width + pixel * channels..][..channels].copy_from_slice(values);
        }
        folded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stem_of_a_resnet_reads_blocks_of_four_pixels() {
        let image = Grid { height: 224, width: 224 };
        let fold = Fold::of(image, 3, [7, 2, 3], 8).expect("windows that overlap");
        let to = Grid { height: 115, width: 115 };
        assert_eq!(fold, Fold { side: 2, padding: 3, to, width: 16 });
        assert_eq!(fold.to.windows(fold.kernel(7), 1, 0), image.windows(7, 2, 3));
    }

    #[test]
    fn taps_go_to_their_block_and_pixel() {
        let image = Grid { height: 4, width: 4 };
        let fold = Fold::of(image, 1, [3, 2, 1], 8).expect("windows that overlap");
        let filter: Vec<f32> = (1..=9_u8).map(f32::from).collect();
        let folded = fold.filter(3, 1, &filter);
        let blocks: Vec<&[f32]> = folded.chunks_exact(8).collect();
        assert_eq!(blocks[0], [1.0, 2.0, 4.0, 5.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(blocks[1], [3.0, 0.0, 6.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(blocks[2], [7.0, 8.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(blocks[3], [9.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn windows_that_do_not_fit_or_touch_are_left_alone() {
        let image = Grid { height: 5, width: 2 };
        assert_eq!(Fold::of(image, 3, [3, 1, 0], 8), None);
        assert_eq!(Fold::of(image, 3, [1, 2, 0], 8), None);
    }
}
