//! Pictures of any size to the input of a model.

use image::imageops::{FilterType, resize};
use image::{ImageBuffer, Luma, Pixel, Rgb};
use offramp_weights::image::{ChannelOrder, Interpolation, Preprocessing};

use crate::error::InputError;

/// A decoded picture: `[height, width, channels]`, grey or red-green-blue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    height: usize,
    width: usize,
    channels: usize,
    pixels: Vec<u8>,
}

/// Longest side of a picture that is taken, pixels.
pub const SIDE_MAX: usize = 16_384;

impl Picture {
    /// Takes pixels over.
    ///
    /// # Errors
    /// [`InputError::Picture`] for an empty or gigantic picture, other than 1 or 3 channels, or
    /// pixels that are not as many as the size says.
    pub fn new([height, width, channels]: [usize; 3], pixels: Vec<u8>) -> Result<Self, InputError> {
        let sides = 1..=SIDE_MAX;
        let known = matches!(channels, 1 | 3) && sides.contains(&height) && sides.contains(&width);
        if !known || pixels.len() != height * width * channels {
            return Err(InputError::Picture { height, width, channels, bytes: pixels.len() });
        }
        Ok(Self { height, width, channels, pixels })
    }

    /// Height, width and channels.
    pub fn shape(&self) -> [usize; 3] {
        [self.height, self.width, self.channels]
    }

    /// Bytes by row, column and channel.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
}

/// Turns pictures into inputs of one model, as its [`Preprocessing`] says: channels, size, order.
///
/// A picture is resized so that it just covers the input's sides, each divided by `crop_share`
/// and rounded down, and then cropped at its centre (as timm and torchvision do; the filters
/// widen when shrinking, as Pillow's do). One of the right size is left alone where `crop_share`
/// is 1. Means and scales are not applied here but by the model.
#[derive(Clone, Debug)]
pub struct Preprocessor(Preprocessing);

impl Preprocessor {
    /// For inputs as `input` describes them.
    pub fn new(input: &Preprocessing) -> Self {
        Self(input.clone())
    }

    /// The input for a picture: `[height, width, channels]`.
    pub fn apply(&self, picture: &Picture) -> Vec<u8> {
        let input = &self.0;
        let coloured = recoloured(picture, input.channels);
        let source = coloured.as_deref().unwrap_or(&picture.pixels);
        let size = (picture.height, picture.width);
        let mut pixels = match input.channels {
            1 => self.fitted::<Luma<u8>>(source, size),
            _ => self.fitted::<Rgb<u8>>(source, size),
        };
        if input.order == ChannelOrder::Bgr && input.channels == 3 {
            pixels.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| pixel.swap(0, 2));
        }
        pixels
    }

    /// Resized and cropped.
    fn fitted<P: Pixel<Subpixel = u8> + 'static>(
        &self,
        source: &[u8],
        (height, width): (usize, usize),
    ) -> Vec<u8> {
        let Preprocessing { height: to_height, width: to_width, crop_share, .. } = self.0;
        if (height, width) == (to_height, to_width) && crop_share >= 1.0 {
            return source.to_vec();
        }
        let [least_height, least_width] = [to_height, to_width]
            .map(|side| ((side as f32 / crop_share).floor() as usize).max(side));
        let scale = (least_height as f64 / height as f64).max(least_width as f64 / width as f64);
        let scaled = |side: usize, least: usize| ((side as f64 * scale) as usize).max(least);
        let (tall, wide) = (scaled(height, least_height), scaled(width, least_width));
        let Some(picture) = ImageBuffer::<P, _>::from_raw(width as u32, height as u32, source)
        else {
            return vec![0; to_height * to_width * self.0.channels];
        };
        let filter = match self.0.interpolation {
            Interpolation::Nearest => FilterType::Nearest,
            Interpolation::Bilinear => FilterType::Triangle,
            Interpolation::Bicubic => FilterType::CatmullRom,
        };
        let resized = resize(&picture, wide as u32, tall as u32, filter).into_raw();
        crop(&resized, [tall, wide, self.0.channels], [to_height, to_width])
    }
}

/// The centre of a picture; a margin of an odd number of pixels is halved to the even side.
fn crop(pixels: &[u8], [tall, wide, channels]: [usize; 3], [height, width]: [usize; 2]) -> Vec<u8> {
    let margin = |from: usize, to: usize| ((from - to) as f64 / 2.0).round_ties_even() as usize;
    let (top, left) = (margin(tall, height), margin(wide, width));
    let lines = pixels.chunks_exact(wide * channels).skip(top).take(height);
    lines.flat_map(|line| &line[left * channels..(left + width) * channels]).copied().collect()
}

/// With another number of channels; `None` where it has that already. Grey is ITU-R 601 luma in
/// 16-bit fixed point, as Pillow's.
fn recoloured(picture: &Picture, channels: usize) -> Option<Vec<u8>> {
    let grey = |[r, g, b]: &[u8; 3]| {
        let [r, g, b] = [*r, *g, *b].map(u32::from);
        ((r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16) as u8
    };
    match (picture.channels, channels) {
        (3, 1) => Some(picture.pixels.as_chunks::<3>().0.iter().map(grey).collect()),
        (1, 3) => Some(picture.pixels.iter().flat_map(|&value| [value; 3]).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(height: usize, width: usize, channels: usize, crop_share: f32) -> Preprocessing {
        Preprocessing {
            height,
            width,
            channels,
            order: ChannelOrder::Rgb,
            crop_share,
            interpolation: Interpolation::Bilinear,
            mean: vec![0.5; channels],
            std: vec![0.5; channels],
        }
    }

    /// 7 x 5 with every value told apart.
    fn picture(channels: usize) -> Picture {
        let pixels = (0..35 * channels).map(|i| (i * 37 % 251) as u8).collect();
        Picture::new([7, 5, channels], pixels).unwrap()
    }

    #[test]
    fn a_picture_of_the_right_size_is_left_alone() {
        let picture = picture(3);
        let ready = Preprocessor::new(&input(7, 5, 3, 1.0)).apply(&picture);
        assert_eq!(ready, picture.pixels());
        let bgr = Preprocessing { order: ChannelOrder::Bgr, ..input(7, 5, 3, 1.0) };
        assert_eq!(Preprocessor::new(&bgr).apply(&picture)[..6], [74, 37, 0, 185, 148, 111]);
    }

    #[test]
    fn colours_become_grey_and_grey_all_colours() {
        let colours = Picture::new([1, 2, 3], vec![255, 0, 0, 10, 200, 30]).unwrap();
        assert_eq!(Preprocessor::new(&input(1, 2, 1, 1.0)).apply(&colours), [76, 124]);
        let grey = Picture::new([1, 2, 1], vec![7, 9]).unwrap();
        assert_eq!(Preprocessor::new(&input(1, 2, 3, 1.0)).apply(&grey), [7, 7, 7, 9, 9, 9]);
    }

    #[test]
    fn sizes_follow_whatever_the_shape() {
        for (height, width, share) in [(3, 3, 1.0), (8, 8, 0.875), (4, 9, 0.5), (16, 2, 1.0)] {
            for channels in [1, 3] {
                let ready = Preprocessor::new(&input(height, width, channels, share));
                assert_eq!(ready.apply(&picture(3)).len(), height * width * channels);
                assert_eq!(ready.apply(&picture(1)).len(), height * width * channels);
            }
        }
    }

    #[test]
    fn pictures_that_contradict_themselves_are_refused() {
        for (shape, bytes) in [([0, 1, 1], 0), ([2, 2, 2], 8), ([2, 2, 1], 3), ([1, 1 << 40, 1], 9)]
        {
            assert!(Picture::new(shape, vec![0; bytes]).is_err(), "{shape:?}");
        }
    }
}
