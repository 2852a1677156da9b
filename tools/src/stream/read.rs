//! Labelled pictures in: an album.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use offramp::Picture;

use super::album::{Album, Class};
use crate::failure::{Failure, Result};
use crate::pictures::{Found, PictureRules, Pictures};

/// Most classes that a byte can tell apart.
const CLASSES_MAX: usize = 256;

/// Reads all pictures of an IDX file, or of a folder with one folder a class.
pub(super) fn read(path: &Path, rules: PictureRules) -> Result<Album> {
    let mut pictures = Pictures::open(path, None, rules)?;
    let (mut sides, mut by_name) = (None, BTreeMap::<String, Vec<Vec<u8>>>::new());
    while let Some(Found { name, picture, label }) = pictures.next()? {
        let wrong = |what: String| failed(path, &format!("picture {name}: {what}"));
        let picture = picture.map_err(&wrong)?;
        let label = label.ok_or_else(|| failed(path, NO_LABELS))?.to_string();
        let expected = *sides.get_or_insert(picture.shape());
        by_name.entry(label).or_default().push(pixels(&picture, expected).map_err(wrong)?);
    }
    let Some([height, width, _]) = sides else { return Err(failed(path, "no pictures")) };
    let classes = classes(by_name).map_err(|error| failed(path, &error))?;
    Ok(Album { sides: [height, width], classes })
}

const NO_LABELS: &str = "pictures without labels: expected x-labels-idx1-ubyte.gz beside \
     x-images-idx3-ubyte.gz, or a folder with one folder a class";

fn failed(path: &Path, message: &str) -> Failure {
    Failure::Failed(format!("{}: {message}", path.display()))
}

/// The pixels of a picture that a stream can show.
fn pixels(picture: &Picture, expected: [usize; 3]) -> Result<Vec<u8>, String> {
    let [height, width, channels] = picture.shape();
    if channels != 1 {
        return Err(format!(
            "expected a grey picture, found {channels} channels: streams are IDX files, which \
             are grey"
        ));
    }
    if [height, width, channels] != expected {
        let [all_height, all_width, _] = expected;
        return Err(format!(
            "expected {all_height} x {all_width} pixels as those before, for a stream has one \
             size; found {height} x {width}"
        ));
    }
    Ok(picture.pixels().to_vec())
}

/// Labels that are numbers stay as they are; others are numbered by the order of their names.
fn classes(by_name: BTreeMap<String, Vec<Vec<u8>>>) -> Result<Vec<Class>, String> {
    let count = by_name.len();
    if count > CLASSES_MAX {
        return Err(format!("expected at most {CLASSES_MAX} classes, found {count}"));
    }
    let numbers: Option<BTreeSet<u8>> = by_name.keys().map(|name| name.parse().ok()).collect();
    let are_numbers = numbers.is_some_and(|numbers| numbers.len() == count);
    let class = |(index, (name, pictures)): (usize, (String, _))| {
        let number = name.parse().ok().filter(|_| are_numbers).unwrap_or(index as u8);
        Class { name, number, pictures }
    };
    Ok(by_name.into_iter().enumerate().map(class).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(names: &[&str]) -> Vec<u8> {
        let by_name = names.iter().map(|name| ((*name).to_owned(), vec![])).collect();
        classes(by_name).unwrap().iter().map(|class| class.number).collect()
    }

    #[test]
    fn numbers_stay_and_names_are_counted() {
        assert_eq!(numbers(&["3", "10", "7"]), [10, 3, 7]);
        assert_eq!(numbers(&["shirt", "bag", "7"]), [0, 1, 2]);
        assert_eq!(numbers(&["07", "7"]), [0, 1]);
        assert_eq!(numbers(&["256", "1"]), [0, 1]);
        let many = (0..257).map(|number| (number.to_string(), vec![])).collect();
        assert!(classes(many).err().unwrap().contains("found 257"));
    }

    #[test]
    fn sizes_and_channels_are_checked() {
        let picture = |shape: [usize; 3]| Picture::new(shape, vec![7; shape.iter().product()]);
        let checked = |shape| pixels(&picture(shape).unwrap(), [2, 3, 1]);
        assert_eq!(checked([2, 3, 1]).unwrap(), [7; 6]);
        assert!(checked([3, 2, 1]).unwrap_err().contains("found 3 x 2"));
        assert!(checked([2, 3, 3]).unwrap_err().contains("found 3 channels"));
    }
}
