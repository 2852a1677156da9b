//! What goes into a model over images.

use std::fmt;

/// How a picture becomes an input, in this order.
#[derive(Debug, Clone, PartialEq)]
pub struct Preprocessing {
    /// Pixel rows of an input.
    pub height: usize,
    /// Pixels of a row.
    pub width: usize,
    /// 1 (grey) or 3.
    pub channels: usize,
    /// Order of three channels.
    pub order: ChannelOrder,
    /// What size a picture first becomes; then its middle is cut out, or black put around it.
    pub resize: Resize,
    /// Which pixels are the middle.
    pub middle: Middle,
    /// How sizes change.
    pub interpolation: Interpolation,
    /// By channel in that order, in [0, 1]: `(pixel / 255 - mean) / std`.
    pub mean: Vec<f32>,
    /// By channel in that order, above 0.
    pub std: Vec<f32>,
}

/// What size a picture becomes before its middle is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resize {
    /// It stays as it is.
    Not,
    /// Its shorter side becomes `side`, the longer one follows, rounded down.
    Shorter {
        /// Pixels.
        side: usize,
    },
    /// The smallest of its own shape that covers these sides, rounded.
    Cover {
        /// Pixel rows.
        height: usize,
        /// Pixels of a row.
        width: usize,
    },
    /// These sides, whatever its shape was.
    Squash {
        /// Pixel rows.
        height: usize,
        /// Pixels of a row.
        width: usize,
    },
}

/// Where a crop begins when an odd number of pixels is left over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Middle {
    /// At the half, rounded to the even pixel: torchvision's and timm's.
    Even,
    /// At the half, rounded down: Hugging Face's.
    Down,
}

/// Order of the channels of a colour pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelOrder {
    /// Red first.
    Rgb,
    /// Blue first.
    Bgr,
}

/// How a picture changes its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation {
    /// The nearest pixel.
    Nearest,
    /// Triangle filter, wider when shrinking (Pillow's).
    Bilinear,
    /// Cubic filter with a = -0.5, wider when shrinking (Pillow's).
    Bicubic,
}

impl fmt::Display for ChannelOrder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Rgb => "rgb",
            Self::Bgr => "bgr",
        })
    }
}

impl fmt::Display for Interpolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nearest => "nearest",
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
        })
    }
}
