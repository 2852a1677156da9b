//! Pictures in: files of the usual formats, folders of them, IDX files, raw bytes.

mod content;
mod decode;
mod decoded;
mod folder;
mod idx;
mod jpeg;
mod kind;
mod labels;
mod raw;
mod rules;
mod whole;

use std::fmt::{self, Display};
use std::io::Read as _;
use std::path::Path;

use offramp::Picture;

use crate::failure::{Failure, Result};

pub(crate) use content::Content;
pub(crate) use idx::{IMAGES, Idx};
pub(crate) use labels::LABELS;
pub(crate) use rules::PictureRules;

pub(crate) use decode::decode as picture;

use decode::decode_file;
use raw::Raw;

/// One picture as it comes.
pub(crate) struct Found {
    pub(crate) name: Name,
    /// The picture, or why there is none.
    pub(crate) picture: Result<Picture, String>,
    pub(crate) label: Option<Class>,
}

/// What a picture is called.
pub(crate) enum Name {
    /// Its number in a file of many, from 1.
    Number(u64),
    /// Its file, with the folders that it is in.
    File(String),
}

impl Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::File(name) => f.write_str(name),
        }
    }
}

/// What a picture is said to show.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A byte of a file of labels.
    Number(u8),
    /// A folder.
    Name(String),
}

impl Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// Pictures of a file or a folder, one after the other.
pub(crate) struct Pictures {
    from: From,
    rules: PictureRules,
}

/// Where they come from.
enum From {
    /// Many of one size, grey.
    Idx(Idx),
    /// Many of a size that the flags name.
    Raw(Raw),
    /// Files with the labels that their folders give.
    Files(std::vec::IntoIter<folder::File>),
}

impl Pictures {
    /// Opens a picture, a folder, an IDX file (gzip too), or raw bytes of pictures of `shape`:
    /// height, width, channels.
    pub(crate) fn open(
        path: &Path,
        shape: Option<[usize; 3]>,
        rules: PictureRules,
    ) -> Result<Self> {
        let from = if path.is_dir() {
            From::Files(folder::files(path)?.into_iter())
        } else if folder::is_picture(path) || (shape.is_none() && begins_as_picture(path)?) {
            From::Files(vec![folder::File::single(path)].into_iter())
        } else if let Some(shape) = shape {
            From::Raw(Raw::open(path, shape, rules)?)
        } else {
            From::Idx(Idx::open(path, &rules)?)
        };
        Ok(Self { from, rules })
    }

    /// The next picture; none at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Found>> {
        match &mut self.from {
            From::Idx(idx) => idx.next(),
            From::Raw(raw) => raw.next(),
            From::Files(files) => Ok(files.next().map(|file| Found {
                name: Name::File(file.name),
                picture: decode_file(&file.path, &self.rules),
                label: file.label.map(Class::Name),
            })),
        }
    }
}

/// Whether a file whose name does not tell holds a picture; fails where it holds what is none.
fn begins_as_picture(path: &Path) -> Result<bool> {
    // What a pipe has given is gone.
    if path.exists() && !path.is_file() {
        return Ok(false);
    }
    let failed = |source| Failure::io(path, "open", source);
    let mut head = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(kind::HEAD_BYTES as u64).read_to_end(&mut head).map_err(failed)?;
    match kind::other(&head) {
        Some(found) => Err(Failure::Failed(format!(
            "{}: expected {}, an IDX file or a folder, found {found}",
            path.display(),
            kind::FORMATS
        ))),
        None => Ok(kind::Kind::of(&head).is_some()),
    }
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
