//! Images in: pictures, made to what the model reads.

use std::path::Path;

use offramp::{Model, Preprocessor};
use serde_json::Value;

use super::id::Id;
use super::{BadRow, Row};
use crate::failure::{Failure, Result};
use crate::out::STANDARD;
use crate::pictures::{Class, Found, Name, PictureRules, Pictures};

/// Pictures on their way to a model.
pub(crate) struct Images {
    pictures: Pictures,
    preprocessor: Preprocessor,
    number: u64,
}

impl Images {
    pub(super) fn open(
        path: &Path,
        model: &Model,
        shape: Option<[usize; 3]>,
        rules: PictureRules,
    ) -> Result<Self> {
        if path == Path::new(STANDARD) {
            let message = "the model reads images: name a file or a folder with --input";
            return Err(Failure::Usage(message.to_owned()));
        }
        Ok(Self {
            pictures: Pictures::open(path, shape, rules)?,
            preprocessor: model.preprocessor()?,
            number: 0,
        })
    }

    pub(super) fn next(&mut self) -> Result<Option<(u64, Result<Row, BadRow>)>> {
        let Some(Found { name, picture, label }) = self.pictures.next()? else { return Ok(None) };
        self.number += 1;
        let id = match name {
            Name::Number(number) => Id::Number(number),
            Name::File(name) => Id::Name(name),
        };
        let row = match picture {
            Ok(picture) => Ok(Row {
                id,
                text: None,
                input: offramp::Row::Image(self.preprocessor.apply(&picture)),
                is_cut: false,
                label: label.map(value),
            }),
            Err(error) => Err(BadRow { id: Some(id), error }),
        };
        Ok(Some((self.number, row)))
    }
}

fn value(label: Class) -> Value {
    match label {
        Class::Number(number) => Value::from(number),
        Class::Name(name) => Value::from(name),
    }
}
