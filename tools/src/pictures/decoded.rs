//! What decoders give.

use image::DynamicImage;
use image::metadata::Orientation;

/// What is said of a file whose end is missing.
pub(super) const CUT: &str = "the file is cut: it ends before the picture does";

/// A picture as it is stored, grey or red-green-blue of 8 bits.
pub(super) struct Decoded {
    pub(super) picture: DynamicImage,
    /// How it wants to be turned.
    pub(super) orientation: Orientation,
}
