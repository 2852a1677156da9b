//! JPEG, by a decoder that takes the end of the file for damage and not for the end of the picture,
//! behind a check that takes any other end for damage too.

mod blocks;
mod codes;
mod frame;
mod walk;

use std::io::ErrorKind;

use image::{DynamicImage, GrayImage, RgbImage};
use jpeg_decoder::{Decoder, Error, PixelFormat};

use super::decode::{CUT, Decoded};
use super::rules::PictureRules;

/// The picture of a whole file.
pub(super) fn decode(bytes: &[u8], rules: &PictureRules) -> Result<Decoded, String> {
    let mut decoder = Decoder::new(bytes);
    decoder.read_info().map_err(|error| told(&error))?;
    let info = decoder.info().ok_or("no size")?;
    let (height, width) = (info.height, info.width);
    rules.check_size(usize::from(height), usize::from(width))?;
    walk::check(bytes, [usize::from(width), usize::from(height)])?;
    let pixels = decoder.decode().map_err(|error| told(&error))?;
    let (width, height) = (u32::from(width), u32::from(height));
    let grey = |pixels| GrayImage::from_raw(width, height, pixels).map(DynamicImage::ImageLuma8);
    let colours = |pixels| RgbImage::from_raw(width, height, pixels).map(DynamicImage::ImageRgb8);
    let picture = match info.pixel_format {
        PixelFormat::L8 => grey(pixels),
        PixelFormat::L16 => return Err("expected 8 bits a sample, found more".to_owned()),
        PixelFormat::RGB24 => colours(pixels),
        PixelFormat::CMYK32 => colours(from_inks(pixels)),
    };
    let picture = picture.ok_or("fewer pixels than the size says")?;
    let orientation = rules.orientation(decoder.exif_data(), decoder.xmp_data());
    Ok(Decoded { picture, orientation })
}

fn told(error: &Error) -> String {
    match error {
        Error::Io(source) if source.kind() == ErrorKind::UnexpectedEof => CUT.to_owned(),
        Error::Unsupported(_) => error.to_string(),
        other => format!("damaged JPEG: {other}"),
    }
}

/// Cyan, magenta, yellow and black to red, green and blue, in place and as Pillow does it.
fn from_inks(mut pixels: Vec<u8>) -> Vec<u8> {
    let count = pixels.len() / 4;
    for at in 0..count {
        let light = 255 - u32::from(pixels[4 * at + 3]);
        for channel in 0..3 {
            let product = u32::from(pixels[4 * at + channel]) * light + 128;
            let dimmed = ((product >> 8) + product) >> 8;
            pixels[3 * at + channel] = (light - dimmed.min(light)) as u8;
        }
    }
    pixels.truncate(3 * count);
    pixels
}
