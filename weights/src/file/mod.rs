//! A checkpoint on disk: one safetensors file or several with an index, mapped and checked.

mod archive;
mod header;
mod nearest;
mod plain;
mod shards;
mod tensor;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::disk::{is_there, read_whole};
use crate::error::{Error, Result};
use crate::folder::{CONFIG_BYTES_MAX, CONFIG_FILE, PREPROCESSOR_FILE, check_no_adapter_files};
use crate::hash::ModelHash;

pub(crate) use archive::Archive;
pub(crate) use shards::weight_files;
pub use shards::{INDEX_FILE, WEIGHTS_FILE};
pub use tensor::{Elem, Stored, Tensor};

/// The weights of a model, mapped: values are paged in when first read.
///
/// Names are without what wrappers put into them: `module.`, `model.`, `_orig_mod.` and the like.
/// Tensors of other element types than [`Elem`], such as the position ids that some checkpoints
/// carry, are passed over; asking for one by name is an error.
///
/// ```
/// use offramp_weights::{Checkpoint, Elem};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let dir = dir.path();
/// // Two elements of f32, after a header that says so.
/// let header = r#"{"scale":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#;
/// let mut file = (header.len() as u64).to_le_bytes().to_vec();
/// file.extend_from_slice(header.as_bytes());
/// file.extend([1.0_f32, 0.5].iter().flat_map(|value| value.to_le_bytes()));
/// std::fs::write(dir.join("config.json"), "{}")?;
/// std::fs::write(dir.join("model.safetensors"), file)?;
///
/// let checkpoint = Checkpoint::open(dir)?;
/// let scale = checkpoint.tensor("scale")?;
/// scale.expect_shape(&[2])?;
/// assert_eq!(scale.elem(), Elem::F32);
/// assert_eq!(scale.to_vec()?, [1.0, 0.5]);
///
/// let error = checkpoint.tensor("shift").unwrap_err().to_string();
/// assert!(error.ends_with("no tensor `shift`; the nearest are scale"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Checkpoint {
    dir: PathBuf,
    /// The bytes of `config.json`, and of `preprocessor_config.json` where there is one: part of
    /// what the model is.
    configs: Vec<Vec<u8>>,
    /// By rising file name.
    shards: Vec<Archive>,
    /// Where each tensor is, by rising plain name.
    places: Vec<Place>,
    hash: OnceLock<ModelHash>,
}

impl Checkpoint {
    /// Maps the weight files of the folder `dir` and checks their headers; values are not read.
    ///
    /// Errors: no folder, no weights (with what was looked for), a damaged file, or an index that
    /// its shards do not bear out.
    pub fn open(dir: &Path) -> Result<Self> {
        check_no_adapter_files(dir)?;
        let (files, listed) = weight_files(dir)?;
        let mut configs = vec![read_whole(&dir.join(CONFIG_FILE), CONFIG_BYTES_MAX)?];
        let preprocessor = dir.join(PREPROCESSOR_FILE);
        if is_there(&preprocessor) {
            configs.push(read_whole(&preprocessor, CONFIG_BYTES_MAX)?);
        }
        let shards = files.iter().map(|file| Archive::open(dir.join(&**file)));
        let shards: Vec<_> = shards.collect::<Result<_>>()?;
        let places = places(&shards, dir)?;
        let hash = OnceLock::new();
        let checkpoint = Self { dir: dir.into(), configs, shards, places, hash };
        checkpoint.check_listed(&listed)?;
        Ok(checkpoint)
    }

    /// One weight file without a configuration. Error: absent or damaged.
    pub(crate) fn of_file(file: &Path) -> Result<Self> {
        let shards = vec![Archive::open(file.into())?];
        let places = places(&shards, file)?;
        Ok(Self { dir: file.into(), configs: vec![], shards, places, hash: OnceLock::new() })
    }

    /// The tensor called `name`. Errors: not there (with the nearest names), or not of floats.
    pub fn tensor(&self, name: &str) -> Result<Tensor<'_>> {
        match self.find(name) {
            Some((shard, entry)) => shard.tensor_at(entry),
            None => Err(nearest::not_found(&self.dir, name, self.all_names())),
        }
    }

    /// The tensor called `name`, when there is one. Error: it is not of floats.
    pub fn get(&self, name: &str) -> Result<Option<Tensor<'_>>> {
        self.find(name).map(|(shard, entry)| shard.tensor_at(entry)).transpose()
    }

    /// Whether there is a tensor called `name`, of any element type.
    pub fn has(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// The names of all float tensors, rising.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let is_float = |place: &&Place| Elem::of(place.entry(&self.shards).dtype).is_some();
        self.places.iter().filter(is_float).map(|place| place.name(&self.shards))
    }

    /// The names of all tensors, of any element type, rising.
    pub(crate) fn all_names(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|place| place.name(&self.shards))
    }

    /// An error about a tensor that is there, of any element type.
    pub(crate) fn misfit(&self, name: &str, expected: String, found: String) -> Error {
        match self.find(name) {
            Some((shard, entry)) => Error::tensor(shard.path(), &entry.name, expected, found),
            None => nearest::not_found(&self.dir, name, self.all_names()),
        }
    }

    /// What this model is: its configuration and every byte of every weight file. Computed when
    /// first asked for, which reads all of them.
    pub fn hash(&self) -> ModelHash {
        *self.hash.get_or_init(|| {
            let mut hasher = blake3::Hasher::new();
            let mut add = |content: &[u8]| {
                // Lengths first, so that bytes cannot move from one file to the next unseen.
                hasher.update(&(content.len() as u64).to_le_bytes());
                hasher.update(content);
            };
            self.configs.iter().for_each(|config| add(config));
            self.shards.iter().for_each(|shard| add(shard.content()));
            ModelHash(hasher.finalize().into())
        })
    }

    /// The size of all weight files on disk, bytes.
    pub fn bytes(&self) -> u64 {
        self.shards.iter().map(|shard| shard.content().len() as u64).sum()
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn find(&self, name: &str) -> Option<(&Archive, &header::Entry)> {
        let name = plain::plain(name);
        let by_name = |place: &Place| place.name(&self.shards).cmp(&name);
        let place = &self.places[self.places.binary_search_by(by_name).ok()?];
        Some((&self.shards[place.shard], place.entry(&self.shards)))
    }

    /// Every tensor that the index lists is in the shard that it names.
    fn check_listed(&self, listed: &shards::Listed) -> Result<()> {
        for (name, file) in listed {
            let expected = self.dir.join(&**file);
            let is_there = |(shard, entry): (&Archive, &header::Entry)| {
                shard.path() == expected && entry.name == *name
            };
            if !self.find(name).is_some_and(is_there) {
                let what = format!("tensor `{name}` is not in {file}, where the index says it is");
                return Err(Error::damaged(&self.dir.join(INDEX_FILE), what));
            }
        }
        Ok(())
    }
}

/// Where a tensor is.
#[derive(Debug)]
struct Place {
    shard: usize,
    entry: usize,
    /// Its name without wrappers, where it has any.
    plain: Option<Box<str>>,
}

impl Place {
    fn of(shards: &[Archive], shard: usize, entry: usize) -> Self {
        let name = &*shards[shard].entries()[entry].name;
        let plain = plain::plain(name);
        let plain = (plain.len() < name.len()).then(|| plain.into());
        Self { shard, entry, plain }
    }

    fn entry<'a>(&self, shards: &'a [Archive]) -> &'a header::Entry {
        &shards[self.shard].entries()[self.entry]
    }

    fn name<'a>(&'a self, shards: &'a [Archive]) -> &'a str {
        self.plain.as_deref().unwrap_or(&self.entry(shards).name)
    }
}

/// Where each tensor is, by rising plain name. Errors: two of one name, or too many in all.
fn places(shards: &[Archive], dir: &Path) -> Result<Vec<Place>> {
    let total: usize = shards.iter().map(|shard| shard.entries().len()).sum();
    if total > header::TENSORS_MAX {
        let what = format!("{total} tensors in all shards, of at most {}", header::TENSORS_MAX);
        return Err(Error::damaged(dir, what));
    }
    let mut places = Vec::with_capacity(total);
    for (number, shard) in shards.iter().enumerate() {
        places.extend((0..shard.entries().len()).map(|entry| Place::of(shards, number, entry)));
    }
    places.sort_unstable_by(|a, b| {
        let key = |place: &Place| (place.shard, place.entry);
        a.name(shards).cmp(b.name(shards)).then_with(|| key(a).cmp(&key(b)))
    });
    match places.windows(2).find(|two| two[0].name(shards) == two[1].name(shards)) {
        None => Ok(places),
        Some(twice) => Err(twice_there(shards, &twice[0], &twice[1])),
    }
}

/// The error for a name in two shards, or two names that are one without their wrappers.
fn twice_there(shards: &[Archive], first: &Place, second: &Place) -> Error {
    let name = |place: &Place| place.entry(shards).name.clone();
    let (file, other) = (shards[second.shard].path(), shards[first.shard].path());
    let what = match name(first) == name(second) {
        true => format!("tensor `{}` is in {} too", name(first), other.display()),
        false => format!(
            "tensors `{}` and `{}` are both `{}` without the names of wrappers",
            name(first),
            name(second),
            first.name(shards)
        ),
    };
    Error::damaged(file, what)
}

/// A shape as messages show it: `[6, 32]`.
pub(crate) fn shown(shape: &[usize]) -> String {
    format!("{shape:?}")
}
