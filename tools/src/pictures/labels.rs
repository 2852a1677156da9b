//! Labels of pictures: the bytes of an IDX file.

use std::path::{Path, PathBuf};

use offramp::model::is_there;

use super::content::Content;
use crate::failure::Result;

/// What the file begins with.
pub(crate) const LABELS: u32 = 0x0801;

/// `x-images-idx3-ubyte.gz` has its labels in `x-labels-idx1-ubyte.gz`.
pub(super) fn beside(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let labels = name.replace("images", "labels").replace("idx3", "idx1");
    let path = path.with_file_name(&labels);
    (labels != name && is_there(&path)).then_some(path)
}

/// Labels of `count` pictures: an IDX file, gzip too.
pub(super) fn idx(mut content: Content, count: usize) -> Result<Vec<u8>> {
    let magic = content.number()?;
    if magic != LABELS {
        let expected = format!("an IDX file of labels (it begins with {LABELS:#010x})");
        return Err(content.wrong(&expected, &format!("{magic:#010x}")));
    }
    let found = content.number()? as usize;
    if found != count {
        let expected = format!("{count} labels, one an image");
        return Err(content.wrong(&expected, &found.to_string()));
    }
    let labels = content.bytes(count, &format!("{count} bytes of labels"))?;
    content.expect_end("label")?;
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn labels_behind_a_link_that_leads_nowhere_are_missed() {
        let dir = tempfile::tempdir().unwrap();
        let labels = dir.path().join("x-labels-idx1-ubyte");
        let images = dir.path().join("x-images-idx3-ubyte");
        assert_eq!(beside(&images), None);
        std::os::unix::fs::symlink("gone", &labels).unwrap();
        assert_eq!(beside(&images), Some(labels));
    }

    #[test]
    fn what_are_no_labels_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("labels");
        let read = |path: &Path| idx(Content::open(path).unwrap(), 2);
        let cases: [(&[u8], &str); 5] = [
            (b"", "the end of the file"),
            (b"1\n2\n3\n", "an IDX file of labels (it begins with 0x00000801), found 0x310a320a"),
            (&[0, 0, 8, 1, 0, 0, 0, 3, 7, 0, 255], "2 labels, one an image, found 3"),
            (&[0, 0, 8, 1, 0, 0, 0, 2, 7], "2 bytes of labels, found the end"),
            (&[0, 0, 8, 1, 0, 0, 0, 2, 7, 0, 255], "the end after the last label, found more"),
        ];
        for (content, expected) in cases {
            std::fs::write(&path, content).unwrap();
            let message = read(&path).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        std::fs::write(&path, [0, 0, 8, 1, 0, 0, 0, 2, 7, 255]).unwrap();
        assert_eq!(read(&path).unwrap(), [7, 255]);
    }
}
