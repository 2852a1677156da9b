//! A bundle as bytes: the same bundle gives the same bytes, on every machine.

use std::collections::HashMap;
use std::path::Path;

use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::error::{Error, Result};
use crate::hash::RampHash;
use crate::ramps::document::{Described, Document, FORMAT, KEY, stem};
use crate::ramps::{Dense, Ramp, RampBundle};

/// A tensor about to be written.
struct Stored {
    name: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

pub(super) fn to_bytes(bundle: &RampBundle, file: &Path) -> Result<Vec<u8>> {
    bundle.check(file)?;
    let stored: Vec<_> = bundle.ramps.iter().flat_map(tensors).collect();
    // The serializer sorts by name; its only map, the metadata, has this one key.
    let metadata = HashMap::from([(KEY.to_owned(), document(bundle))]);
    let views = stored.iter().map(|tensor| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), &tensor.bytes);
        Ok((tensor.name.as_str(), view?))
    });
    let views: Result<Vec<_>, safetensors::SafeTensorError> = views.collect();
    let bytes = views.and_then(|views| safetensors::serialize(views, Some(metadata)));
    bytes.map_err(|fault| Error::damaged(file, fault.to_string()))
}

pub(super) fn hash(bundle: &RampBundle) -> RampHash {
    let mut hasher = blake3::Hasher::new();
    let mut add = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    add(document(bundle).as_bytes());
    for tensor in bundle.ramps.iter().flat_map(tensors) {
        let dims = tensor.shape.iter().flat_map(|dim| (*dim as u64).to_le_bytes());
        add(&dims.collect::<Vec<_>>());
        add(&tensor.bytes);
    }
    RampHash(hasher.finalize().into())
}

fn document(bundle: &RampBundle) -> String {
    let described = bundle.ramps.iter().map(|ramp| Described {
        site: ramp.site,
        pool: ramp.pool,
        hidden: ramp.hidden.as_ref().map(|(_, activation)| *activation),
    });
    let document = Document {
        format: FORMAT,
        model: bundle.model,
        classes: bundle.classes,
        task: bundle.task,
        width: bundle.common_width(),
        ramps: described.collect(),
        trained: bundle.trained.clone(),
    };
    serde_json::to_string(&document).expect("invariant: numbers and texts serialize")
}

fn tensors(ramp: &Ramp) -> Vec<Stored> {
    let hidden = ramp.hidden.as_ref().map(|(dense, _)| pair(ramp.site, "hidden", dense));
    hidden.into_iter().flatten().chain(pair(ramp.site, "head", &ramp.head)).collect()
}

fn pair(site: usize, layer: &str, dense: &Dense) -> [Stored; 2] {
    let stem = stem(site, layer);
    let stored = |end: &str, shape, values: &[f32]| Stored {
        name: format!("{stem}.{end}"),
        shape,
        bytes: values.iter().flat_map(|value| value.to_le_bytes()).collect(),
    };
    [
        stored("weight", vec![dense.outputs, dense.inputs], &dense.weight),
        stored("bias", vec![dense.outputs], &dense.bias),
    ]
}
