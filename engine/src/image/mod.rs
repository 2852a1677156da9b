//! Pictures of any size to the input of a model.

mod resize;

use std::ops::Range;

use offramp_weights::image::{ChannelOrder, Middle, Preprocessing, Resize};

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
/// A picture is resized and then cropped at its centre, or black put around it where it is smaller:
/// to the byte what torchvision, timm or Hugging Face's processors make of it with Pillow 11, each
/// by its own arithmetic. Means and scales are not applied here but by the model.
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

    /// Resized and cropped, or put in the middle of black.
    fn fitted(&self, source: &[u8], [height, width, channels]: [usize; 3]) -> Vec<u8> {
        let input = &self.0;
        let [tall, wide] = self.resized(height, width);
        if (height, width) == (input.height, input.width) && [tall, wide] == [height, width] {
            return source.to_vec();
        }
        let down = Window::of(tall, input.height, input.middle);
        let across = Window::of(wide, input.width, input.middle);
        let rows = Side { from: height, to: tall, wanted: down.seen.clone() };
        let columns = Side { from: width, to: wide, wanted: across.seen.clone() };
        let pixels = resize(source, &[rows, columns], channels, input.interpolation);
        match (down.seen.len(), across.seen.len()) == (input.height, input.width) {
            true => pixels,
            false => self.framed(&pixels, channels, &down, &across),
        }
    }

    /// The sides that a picture is resized to.
    fn resized(&self, height: usize, width: usize) -> [usize; 2] {
        match self.0.resize {
            Resize::Not => [height, width],
            Resize::Shorter { side } if height <= width => [side, side * width / height],
            Resize::Shorter { side } => [side * height / width, side],
            Resize::Cover { height: tall, width: wide } => covering([height, width], [tall, wide]),
            Resize::Squash { height, width } => [height, width],
        }
    }

    /// With black around what there is.
    fn framed(&self, pixels: &[u8], channels: usize, down: &Window, across: &Window) -> Vec<u8> {
        let Preprocessing { height, width, .. } = self.0;
        let mut framed = vec![0; height * width * channels];
        let rows = framed.chunks_exact_mut(width * channels).skip(down.before);
        let start = across.before * channels;
        for (row, line) in rows.zip(pixels.chunks_exact(across.seen.len() * channels)) {
            row[start..start + line.len()].copy_from_slice(line);
        }
        framed
    }
}

/// timm's arithmetic for inputs that are not square: both sides by one ratio, ties to even.
fn covering(from: [usize; 2], least: [usize; 2]) -> [usize; 2] {
    let ratios = [0, 1].map(|side| from[side] as f64 / least[side] as f64);
    let ratio = ratios[0].min(ratios[1]);
    from.map(|side| ((side as f64 / ratio).round_ties_even() as usize).max(1))
}

/// Which pixels of one side are seen, and how many black ones come before them.
struct Window {
    before: usize,
    seen: Range<usize>,
}

impl Window {
    /// The middle of `from` pixels as `to`.
    fn of(from: usize, to: usize, middle: Middle) -> Self {
        if from < to {
            let margin = to - from;
            let before = match middle {
                Middle::Even => margin / 2,
                Middle::Down => margin.div_ceil(2),
            };
            return Self { before, seen: 0..from };
        }
        let margin = from - to;
        let start = match middle {
            // A half is exact in binary, so ties are ties.
            Middle::Even => (margin as f64 / 2.0).round_ties_even() as usize,
            Middle::Down => margin / 2,
        };
        Self { before: 0, seen: start..start + to }
    }
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

    /// timm's, of which the crop keeps this share.
    fn input(height: usize, width: usize, channels: usize, crop_share: f64) -> Preprocessing {
        let [tall, wide] = [height, width].map(|side| (side as f64 / crop_share) as usize);
        let resize = match tall == wide {
            true => Resize::Shorter { side: tall },
            false => Resize::Cover { height: tall, width: wide },
        };
        Preprocessing {
            height,
            width,
            channels,
            order: ChannelOrder::Rgb,
            resize,
            middle: Middle::Even,
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

    /// The grey picture resized and cropped to `[height, width]`.
    fn fitted(
        [height, width]: [usize; 2],
        resize: Resize,
        middle: Middle,
        interpolation: Interpolation,
    ) -> Vec<u8> {
        let input = Preprocessing { resize, middle, interpolation, ..input(height, width, 1, 1.0) };
        Preprocessor::new(&input).apply(&picture(1))
    }

    /// Numbers of transformers' and torchvision's own arithmetic around Pillow 11.3.
    #[test]
    fn the_middle_is_each_librarys_own() {
        use Interpolation::{Bicubic, Bilinear};
        let cases: [([usize; 2], Resize, Middle, _, &[u8]); 6] = [
            ([4, 2], Resize::Not, Middle::Down, Bilinear, &[222, 8, 156, 193, 90, 127, 24, 61]),
            ([4, 2], Resize::Not, Middle::Even, Bilinear, &[193, 230, 127, 164, 61, 98, 246, 32]),
            (
                [3, 3],
                Resize::Shorter { side: 6 },
                Middle::Down,
                Bicubic,
                &[180, 161, 166, 103, 150, 191, 63, 63, 104],
            ),
            (
                [3, 3],
                Resize::Shorter { side: 6 },
                Middle::Even,
                Bicubic,
                &[161, 166, 148, 150, 191, 191, 63, 104, 151],
            ),
            (
                [3, 4],
                Resize::Squash { height: 3, width: 4 },
                Middle::Down,
                Bilinear,
                &[114, 112, 93, 96, 121, 114, 140, 133, 158, 161, 142, 73],
            ),
            (
                [3, 3],
                Resize::Cover { height: 6, width: 4 },
                Middle::Even,
                Bilinear,
                &[99, 142, 186, 131, 68, 112, 182, 166, 109],
            ),
        ];
        for (sides, resize, middle, interpolation, expected) in cases {
            let found = fitted(sides, resize, middle, interpolation);
            assert_eq!(found, expected, "{resize:?} {middle:?}");
        }
    }

    /// Black is around what is smaller than the crop: an odd pixel of it before, or after.
    #[test]
    fn a_picture_that_is_too_small_is_framed() {
        use Interpolation::Bilinear;
        let low = [0, 0, 119, 156, 193, 230, 16, 0, 0, 0, 53, 90, 127, 164, 201, 0];
        assert_eq!(fitted([2, 8], Resize::Not, Middle::Down, Bilinear), low);
        let resized =
            [0, 0, 0, 71, 79, 74, 157, 154, 133, 96, 105, 149, 183, 121, 100, 137, 180, 175];
        let shorter = Resize::Shorter { side: 4 };
        assert_eq!(fitted([6, 3], shorter, Middle::Down, Bilinear), resized);
        let picture = picture(1);
        for (middle, top, left) in [(Middle::Down, 2, 2), (Middle::Even, 1, 1)] {
            let found = fitted([10, 8], Resize::Not, middle, Bilinear);
            for (row, line) in found.chunks(8).enumerate() {
                let inside = (top..top + 7).contains(&row);
                let mut expected = [0; 8];
                if inside {
                    let from = (row - top) * 5;
                    expected[left..left + 5].copy_from_slice(&picture.pixels()[from..from + 5]);
                }
                assert_eq!(line, expected, "{middle:?} row {row}");
            }
        }
    }

    /// Sums of what Python's own formulas give, over thousands of shapes.
    #[test]
    fn sizes_are_pythons_to_the_pixel() {
        let ready = |resize| Preprocessor::new(&Preprocessing { resize, ..input(1, 1, 1, 1.0) });
        let weigh = |[tall, wide]: [usize; 2]| tall * 3 + wide * 7;
        let covers = [
            ([48, 64], 69_344_990),
            ([37, 91], 76_347_325),
            ([224, 160], 259_126_029),
            ([5, 3], 5_559_483),
        ];
        for ([height, width], expected) in covers {
            let ready = ready(Resize::Cover { height, width });
            let shapes = (1..=200).flat_map(|height| (1..=200).map(move |width| (height, width)));
            let sum: usize = shapes.map(|(h, w)| weigh(ready.resized(h, w))).sum();
            assert_eq!(sum, expected, "{height}x{width}");
        }
        let mut sum = 0;
        for side in [1, 7, 32, 50, 224, 256, 249] {
            let ready = ready(Resize::Shorter { side });
            for height in 1..=600 {
                let widths = [height, 600, 37, 143, 100];
                sum +=
                    widths.map(|width| weigh(ready.resized(height, width))).iter().sum::<usize>();
            }
        }
        assert_eq!(sum, 67_311_498);
        let starts = |middle| {
            let pairs = (1..=600).flat_map(|from| (1..=from).map(move |to| (from, to)));
            pairs.map(|(from, to)| (to % 7 + 1) * Window::of(from, to, middle).seen.start).sum()
        };
        let (even, down): (usize, usize) = (starts(Middle::Even), starts(Middle::Down));
        assert_eq!((even, down), (71_908_450, 71_729_202));
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
