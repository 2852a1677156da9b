//! Pictures of any size to the input of a model.

mod resize;

use std::ops::Range;

use offramp_weights::image::{ChannelOrder, Preprocessing};

use crate::error::InputError;
use resize::{Side, resize};

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

/// Below this a picture would be enlarged a hundredfold.
const CROP_SHARE_MIN: f32 = 0.01;

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
/// and rounded down, and then cropped at its centre: to the byte what torchvision's and timm's
/// `Resize` and `CenterCrop` make of it with Pillow 11. One of the right size is left alone where
/// `crop_share` is 1. Means and scales are not applied here but by the model.
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
        // In the fewest channels there are: a grey picture becomes colours once it is small.
        let grey = (picture.channels > input.channels).then(|| luma(&picture.pixels));
        let (source, channels) = match &grey {
            Some(grey) => (grey, input.channels),
            None => (&picture.pixels, picture.channels),
        };
        let mut pixels = self.fitted(source, [picture.height, picture.width, channels]);
        if channels < input.channels {
            pixels = pixels.iter().flat_map(|&value| [value; 3]).collect();
        }
        if input.order == ChannelOrder::Bgr && input.channels == 3 {
            pixels.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| pixel.swap(0, 2));
        }
        pixels
    }

    /// Resized and cropped.
    fn fitted(&self, source: &[u8], [height, width, channels]: [usize; 3]) -> Vec<u8> {
        let input = &self.0;
        if (height, width) == (input.height, input.width) && input.crop_share >= 1.0 {
            return source.to_vec();
        }
        let [tall, wide] = self.covering(height, width);
        let rows = Side { from: height, to: tall, wanted: centre(tall, input.height) };
        let columns = Side { from: width, to: wide, wanted: centre(wide, input.width) };
        resize(source, &[rows, columns], channels, input.interpolation)
    }

    /// Sides of a picture of the same shape that the crop is taken of.
    fn covering(&self, height: usize, width: usize) -> [usize; 2] {
        let share = self.0.crop_share.clamp(CROP_SHARE_MIN, 1.0);
        let [least_height, least_width] = [self.0.height, self.0.width]
            .map(|side| ((side as f32 / share).floor() as usize).max(side));
        match least_height * width >= least_width * height {
            true => [least_height, least_height * width / height],
            false => [least_width * height / width, least_width],
        }
    }
}

/// The middle; a margin of an odd number of pixels is halved to the even side.
fn centre(from: usize, to: usize) -> Range<usize> {
    let start = ((from - to) as f64 / 2.0).round_ties_even() as usize;
    start..start + to
}

/// ITU-R 601 luma in 16-bit fixed point, as Pillow's.
fn luma(pixels: &[u8]) -> Vec<u8> {
    let grey = |[r, g, b]: &[u8; 3]| {
        let [r, g, b] = [*r, *g, *b].map(u32::from);
        ((r * 19_595 + g * 38_470 + b * 7_471 + 0x8000) >> 16) as u8
    };
    pixels.as_chunks().0.iter().map(grey).collect()
}

#[cfg(test)]
mod tests {
    use offramp_weights::image::Interpolation;

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
    fn a_grey_picture_gives_the_same_whether_widened_before_or_behind() {
        use Interpolation::{Bicubic, Bilinear, Nearest};
        let grey = picture(1);
        let wide = grey.pixels().iter().flat_map(|&value| [value; 3]).collect();
        let wide = Picture::new([7, 5, 3], wide).unwrap();
        for interpolation in [Nearest, Bilinear, Bicubic] {
            for (height, width, share) in [(3, 3, 1.0), (9, 4, 0.7), (7, 5, 1.0)] {
                let input = Preprocessing { interpolation, ..input(height, width, 3, share) };
                let ready = Preprocessor::new(&input);
                assert_eq!(ready.apply(&grey), ready.apply(&wide), "{interpolation} {height}");
            }
        }
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

    /// Numbers of torchvision's `Resize` and `CenterCrop` as arithmetic around Pillow 11.3.
    #[test]
    fn pixels_are_those_of_pillow() {
        use Interpolation::{Bicubic, Bilinear, Nearest};
        let made = |interpolation, [height, width, channels]: [usize; 3], share| {
            let input = Preprocessing { interpolation, ..input(height, width, channels, share) };
            Preprocessor::new(&input).apply(&picture(channels))
        };
        let [three, two] = [([3, 3, 1], 1.0), ([2, 2, 3], 0.5)];
        let expected = [
            (Nearest, three, vec![0, 74, 148, 119, 193, 16, 238, 61, 135]),
            (Bilinear, three, vec![101, 75, 103, 130, 149, 121, 133, 105, 124]),
            (Bicubic, three, vec![103, 70, 98, 129, 157, 123, 131, 97, 130]),
            (Nearest, two, vec![19, 56, 93, 241, 27, 64, 72, 109, 146, 43, 80, 117]),
            (Bilinear, two, vec![92, 102, 120, 168, 112, 103, 142, 132, 112, 125, 115, 95]),
            (Bicubic, two, vec![76, 98, 118, 184, 114, 97, 147, 135, 116, 124, 108, 86]),
        ];
        for (interpolation, (shape, share), expected) in expected {
            assert_eq!(made(interpolation, shape, share), expected, "{interpolation} {shape:?}");
        }
        let enlarged = [
            147, 180, 161, 166, 148, 12, 63, 103, 150, 191, 191, 121, 133, 63, 63, 104, 151, 191,
            242, 106, 88, 93, 76, 116,
        ];
        assert_eq!(made(Bicubic, [4, 6, 1], 0.875), enlarged);
    }

    #[test]
    fn a_line_of_pixels_is_not_blown_up() {
        let line = Picture::new([1, SIDE_MAX, 1], (0..SIDE_MAX).map(|i| i as u8).collect());
        let ready = Preprocessor::new(&input(512, 512, 1, 0.1)).apply(&line.unwrap());
        assert!(ready.len() == 512 * 512 && ready.iter().all(|pixel| (114..=141).contains(pixel)));
    }

    #[test]
    fn pictures_that_contradict_themselves_are_refused() {
        for (shape, bytes) in [([0, 1, 1], 0), ([2, 2, 2], 8), ([2, 2, 1], 3), ([1, 1 << 40, 1], 9)]
        {
            assert!(Picture::new(shape, vec![0; bytes]).is_err(), "{shape:?}");
        }
    }
}
