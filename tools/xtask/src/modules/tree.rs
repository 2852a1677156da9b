//! The modules of a target, and where a path leads.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::cycle::{Arrows, cycle};
use super::design::Design;
use super::found::{Found, Names};

/// Most re-exports that a name is followed through.
const STEPS_MAX: usize = 16;

/// A module by its names from the root; the root has none.
type Place = Names;

/// What each module says.
#[derive(Debug, Default)]
pub(super) struct Tree(BTreeMap<Place, Found>);

impl Tree {
    /// The modules of the target that begins with `source`.
    pub(super) fn read(source: &Path) -> Self {
        let mut tree = Self::default();
        let folder = source.parent().unwrap_or(Path::new(""));
        tree.read_file(Place::new(), source, folder);
        tree
    }

    fn read_file(&mut self, place: Place, file: &Path, folder: &Path) {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        self.insert(place, Found::of(&text), folder);
    }

    fn insert(&mut self, place: Place, mut found: Found, folder: &Path) {
        for (name, inner) in std::mem::take(&mut found.inline) {
            self.insert(below(&place, &name), inner, &folder.join(name));
        }
        for name in &found.files {
            if let Some(file) = file_of(folder, name) {
                self.read_file(below(&place, name), &file, &folder.join(name));
            }
        }
        self.0.insert(place, found);
    }

    /// A cycle among the modules of each folder that has one, by their names.
    pub(super) fn cycles(&self, design: &Design) -> Vec<Vec<String>> {
        self.folders(design).values().filter_map(cycle).collect()
    }

    /// By the place of a folder: which of its modules use which.
    fn folders(&self, design: &Design) -> BTreeMap<Place, Arrows> {
        let mut folders: BTreeMap<Place, Arrows> = BTreeMap::new();
        // What a module declares is in front of it.
        let arrows = self.arrows().into_iter().filter(|(from, to)| !to.starts_with(from));
        for (from, to) in arrows.map(|(from, to)| (design.home(&from), design.home(&to))) {
            let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            let is_layer = shared == 1 && design.is_layer(&from[0]);
            if from.len() > shared && to.len() > shared && !is_layer {
                let arrows = folders.entry(from[..shared].to_vec()).or_default();
                let name = |place: &Place| place[..=shared].join("::");
                arrows.entry(name(&from)).or_default().insert(name(&to));
            }
        }
        folders
    }

    fn arrows(&self) -> BTreeSet<(Place, Place)> {
        let mut arrows = BTreeSet::new();
        for (place, found) in &self.0 {
            let imports = found.imports.iter().map(|(_, path)| path);
            for path in imports.chain(&found.globs).chain(&found.paths) {
                if let Some(target) = self.resolve(place, path, STEPS_MAX) {
                    arrows.insert((place.clone(), target));
                }
            }
        }
        arrows
    }

    /// The module that defines what a path names, seen from `place`; none outside the target.
    fn resolve(&self, place: &Place, path: &[String], steps: usize) -> Option<Place> {
        let (first, rest) = path.split_first()?;
        let steps = steps.checked_sub(1)?;
        match first.as_str() {
            "crate" => self.descend(Place::new(), rest, steps),
            "self" => self.descend(place.clone(), rest, steps),
            "super" => {
                let (_, parent) = place.split_last()?;
                self.above(parent.to_vec(), rest, steps)
            }
            _ => self.named(place, first, rest, steps),
        }
    }

    fn above(&self, parent: Place, rest: &[String], steps: usize) -> Option<Place> {
        match rest.first() {
            Some(next) if next == "super" => self.resolve(&parent, rest, steps),
            _ => self.descend(parent, rest, steps),
        }
    }

    /// Follows names down from a module; what is no module and not imported is defined there.
    fn descend(&self, place: Place, names: &[String], steps: usize) -> Option<Place> {
        let Some((first, rest)) = names.split_first() else { return Some(place) };
        self.named(&place, first, rest, steps).or(Some(place))
    }

    /// A name that a module declares or imports; none where it does neither.
    fn named(&self, place: &Place, name: &str, rest: &[String], steps: usize) -> Option<Place> {
        let child = below(place, name);
        if self.0.contains_key(&child) {
            return self.descend(child, rest, steps);
        }
        let found = self.0.get(place)?;
        if let Some((_, path)) = found.imports.iter().find(|(known, _)| known == name) {
            let whole = [path, rest].concat();
            // An import of the name itself is of another crate.
            return (path[0] != name).then(|| self.resolve(place, &whole, steps)).flatten();
        }
        found.globs.iter().find_map(|glob| self.through(place, glob, name, rest, steps))
    }

    /// The same, of what a module imports as a whole.
    fn through(
        &self,
        place: &Place,
        glob: &[String],
        name: &str,
        rest: &[String],
        steps: usize,
    ) -> Option<Place> {
        let module = self.resolve(place, glob, steps).filter(|module| module != place)?;
        let steps = steps.checked_sub(1)?;
        self.named(&module, name, rest, steps).or(Some(module))
    }
}

fn below(place: &[String], name: &str) -> Place {
    [place, &[name.to_owned()]].concat()
}

/// Where the module `name` of a folder lies.
fn file_of(folder: &Path, name: &str) -> Option<PathBuf> {
    let files = [folder.join(format!("{name}.rs")), folder.join(name).join("mod.rs")];
    files.into_iter().find(|file| file.is_file())
}
