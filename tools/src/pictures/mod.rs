//! Pictures in: IDX files, PNG and JPEG, folders of them, raw bytes.

mod content;
mod idx;
mod labels;
mod raw;

use std::fs::File;
use std::io::{BufRead, BufReader, Seek};
use std::path::{Path, PathBuf};

use offramp::Picture;

use crate::failure::{Failure, Result};

pub(crate) use content::Content;
pub(crate) use idx::{IMAGES, Idx};
pub(crate) use labels::LABELS;

use raw::Raw;

/// Files that are decoded, by the ends of their names.
const DECODED: [&str; 3] = ["png", "jpg", "jpeg"];

/// One picture as it comes.
pub(crate) struct Found {
    /// File name, or number from 1.
    pub(crate) name: String,
    /// The picture, or why there is none.
    pub(crate) picture: Result<Picture, String>,
    /// A class number or name.
    pub(crate) label: Option<String>,
}

/// Pictures of a file or a folder, one after the other.
pub(crate) enum Pictures {
    /// Many of one size, grey.
    Idx(Idx),
    /// Many of a size that the flags name.
    Raw(Raw),
    /// Files with the labels that their folders give.
    Files(std::vec::IntoIter<(PathBuf, Option<String>)>),
}

impl Pictures {
    /// Opens a picture, a folder, an IDX file (gzip too), or raw bytes of pictures of `shape`:
    /// height, width, channels.
    pub(crate) fn open(path: &Path, shape: Option<[usize; 3]>) -> Result<Self> {
        if path.is_dir() {
            return Ok(Self::Files(files(path)?.into_iter()));
        }
        if is_decoded(path) {
            return Ok(Self::Files(vec![(path.to_owned(), None)].into_iter()));
        }
        match shape {
            Some(shape) => Ok(Self::Raw(Raw::open(path, shape)?)),
            None => Ok(Self::Idx(Idx::open(path)?)),
        }
    }

    /// The next picture; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Found>> {
        match self {
            Self::Idx(idx) => idx.next(),
            Self::Raw(raw) => raw.next(),
            Self::Files(files) => Ok(files.next().map(|(path, label)| decode(&path, label))),
        }
    }
}

fn is_decoded(path: &Path) -> bool {
    let end = path.extension().map(|end| end.to_string_lossy().to_lowercase());
    end.is_some_and(|end| DECODED.contains(&end.as_str()))
}

/// Pictures of a folder by name; those of its folders bear the folder's name as their label.
fn files(dir: &Path) -> Result<Vec<(PathBuf, Option<String>)>> {
    let (folders, mut found): (Vec<_>, Vec<_>) =
        entries(dir)?.into_iter().partition(|path| path.is_dir());
    found.retain(|path| is_decoded(path));
    let mut files: Vec<_> = found.into_iter().map(|path| (path, None)).collect();
    for folder in folders {
        let label = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let inside = entries(&folder)?.into_iter().filter(|path| is_decoded(path));
        files.extend(inside.map(|path| (path, label.clone())));
    }
    Ok(files)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Failure::io(dir, "read", source);
    let entries = std::fs::read_dir(dir).map_err(failed)?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .map_err(failed)?;
    paths.sort();
    Ok(paths)
}

fn decode(path: &Path, label: Option<String>) -> Found {
    let name = match (path.file_name(), &label) {
        (Some(name), Some(folder)) => format!("{folder}/{}", name.to_string_lossy()),
        (name, _) => name.unwrap_or_default().to_string_lossy().into_owned(),
    };
    let picture = decoded(path).map_err(|error| format!("{}: {error}", path.display()));
    Found { name, picture, label }
}

fn decoded(path: &Path) -> Result<Picture, String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    picture(BufReader::new(file), offramp::image::SIDE_MAX as u32)
}

/// Decodes a picture whose sides are `side_max` pixels at most.
pub(crate) fn picture(from: impl BufRead + Seek, side_max: u32) -> Result<Picture, String> {
    let reader = image::ImageReader::new(from).with_guessed_format();
    let mut reader = reader.map_err(|error| error.to_string())?;
    let mut limits = image::Limits::default();
    limits.max_image_width = Some(side_max);
    limits.max_image_height = Some(side_max);
    reader.limits(limits);
    let picture = reader.decode().map_err(|error| error.to_string())?;
    let (height, width) = (picture.height() as usize, picture.width() as usize);
    let is_grey = !picture.color().has_color();
    let (channels, pixels) = match is_grey {
        true => (1, picture.into_luma8().into_raw()),
        false => (3, picture.into_rgb8().into_raw()),
    };
    Picture::new([height, width, channels], pixels).map_err(|error| error.to_string())
}

/// `HxWxC` of raw pictures.
pub(crate) fn shape(text: &str) -> Result<[usize; 3], String> {
    let sides: Option<Vec<usize>> = text.split('x').map(|side| side.parse().ok()).collect();
    sides
        .and_then(|sides| <[usize; 3]>::try_from(sides).ok())
        .filter(|[height, width, channels]| *height > 0 && *width > 0 && matches!(channels, 1 | 3))
        .ok_or_else(|| {
            "expected HEIGHTxWIDTHxCHANNELS with 1 or 3 channels, like 28x28x1".to_owned()
        })
}

#[cfg(test)]
mod tests {
    use super::shape;

    #[test]
    fn shapes_are_three_numbers() {
        assert_eq!(shape("28x30x3"), Ok([28, 30, 3]));
        for wrong in ["", "28x28", "0x1x1", "1x1x2", "axbxc", "1x1x1x1", "99999999999999999999x1x1"]
        {
            assert!(shape(wrong).is_err(), "{wrong}");
        }
    }
}
