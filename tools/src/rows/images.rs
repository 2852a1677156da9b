//! Images in: pictures, made to what the model reads.

use std::path::Path;

use offramp::{Model, Preprocessor};
use serde_json::Value;

use super::{BadRow, Row};
use crate::failure::{Failure, Result};
use crate::out::STANDARD;
use crate::pictures::{Found, Pictures};

/// Pictures on their way to a model.
pub(crate) struct Images {
    pictures: Pictures,
    preprocessor: Preprocessor,
    /// Names of the classes, by number.
    labels: Vec<String>,
    number: u64,
}

impl Images {
    pub(super) fn open(path: &Path, model: &Model, shape: Option<[usize; 3]>) -> Result<Self> {
        if path == Path::new(STANDARD) {
            let message = "the model reads images: name a file or a folder with --input";
            return Err(Failure::Usage(message.to_owned()));
        }
        Ok(Self {
            pictures: Pictures::open(path, shape)?,
            preprocessor: model.preprocessor()?,
            labels: model.spec().labels().to_vec(),
            number: 0,
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<(u64, Result<Row, BadRow>)>> {
        let Some(Found { name, picture, label }) = self.pictures.next()? else { return Ok(None) };
        self.number += 1;
        let id = name.parse::<u64>().map_or_else(|_| Value::from(name), Value::from);
        let row = match picture {
            Ok(picture) => Ok(Row {
                id,
                text: None,
                input: offramp::Row::Image(self.preprocessor.apply(&picture)),
                label: label.map(|label| self.label(label)),
            }),
            Err(error) => Err(BadRow { id: Some(id), error }),
        };
        Ok(Some((self.number, row)))
    }

    /// A class number becomes the class's name.
    fn label(&self, label: String) -> String {
        let class = label.parse().ok().and_then(|class: usize| self.labels.get(class));
        class.cloned().unwrap_or(label)
    }
}
