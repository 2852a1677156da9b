//! A bundle from its file: the document first, then the tensors that it announces, no others.

use std::path::Path;

use crate::error::{Error, Result};
use crate::file::{Archive, Elem, Tensor};
use crate::hash::ModelHash;
use crate::json;
use crate::model::ModelSpec;
use crate::ramps::document::{Described, Document, FORMAT, stem};
use crate::ramps::{Dense, Ramp, RampBundle};

pub(super) fn read(path: &Path, spec: &ModelSpec, model: &ModelHash) -> Result<RampBundle> {
    let archive = Archive::open(path.into())?;
    let document = document(&archive)?;
    check_fresh(&document, model, path)?;
    let ramps = document.ramps.iter().map(|described| ramp(&archive, described));
    let ramps: Vec<_> = ramps.collect::<Result<_>>()?;
    let tensors: usize = ramps.iter().map(|ramp| if ramp.hidden.is_some() { 4 } else { 2 }).sum();
    if archive.entries().len() != tensors {
        let found = archive.entries().len();
        return Err(Error::refused(path, "number of tensors", tensors.to_string(), found));
    }
    let Document { model, classes, task, width, trained, .. } = document;
    let bundle = RampBundle { model, classes, task, ramps, trained };
    bundle.check(path)?;
    check_width(&bundle, width, path)?;
    bundle.check_fits(spec, path)?;
    Ok(bundle)
}

fn document(archive: &Archive) -> Result<Document> {
    let path = archive.path();
    let Some(note) = archive.note() else {
        return Err(Error::damaged(path, "not a ramp bundle: no `offramp` in its metadata"));
    };
    let document: Document = json::parse(note.as_bytes(), path)?;
    match document.format {
        FORMAT => Ok(document),
        other => Err(Error::refused(path, "format", FORMAT.to_string(), other)),
    }
}

/// Other weights first of all: what else does not fit is then no news.
fn check_fresh(document: &Document, model: &ModelHash, path: &Path) -> Result<()> {
    if document.model == *model {
        return Ok(());
    }
    let (expected, found) = (model.short(), document.model.short());
    let remedy = "train anew with `offramp train-ramps`";
    Err(Error::Stale { file: path.into(), what: "model", expected, found, remedy })
}

/// A width in the document is that of every ramp.
fn check_width(bundle: &RampBundle, width: Option<usize>, path: &Path) -> Result<()> {
    let Some(width) = width else { return Ok(()) };
    match bundle.ramps.iter().find(|ramp| ramp.width() != width) {
        None => Ok(()),
        Some(ramp) => {
            let expected = format!("{}, as the ramp at site {}", ramp.width(), ramp.site);
            Err(Error::refused(path, "width", expected, width))
        }
    }
}

fn ramp(archive: &Archive, described: &Described) -> Result<Ramp> {
    let &Described { site, pool, hidden } = described;
    let hidden = hidden.map(|activation| Ok((dense(archive, site, "hidden")?, activation)));
    Ok(Ramp { site, pool, hidden: hidden.transpose()?, head: dense(archive, site, "head")? })
}

fn dense(archive: &Archive, site: usize, layer: &str) -> Result<Dense> {
    let stem = stem(site, layer);
    let weight = single(archive.tensor(&format!("{stem}.weight"))?)?;
    let bias = single(archive.tensor(&format!("{stem}.bias"))?)?;
    let [outputs, inputs] = *weight.shape() else {
        let found = format!("{} dimensions", weight.shape().len());
        return Err(weight.misfit("2 dimensions".into(), found));
    };
    bias.expect_shape(&[outputs])?;
    Ok(Dense { outputs, inputs, weight: weight.to_vec()?, bias: bias.to_vec()? })
}

/// Bundles hold single precision only: their hash is over those bytes.
fn single(tensor: Tensor<'_>) -> Result<Tensor<'_>> {
    match tensor.elem() {
        Elem::F32 => Ok(tensor),
        other => Err(tensor.misfit("elements of F32".into(), other.to_string())),
    }
}
