//! What the folders of a target do not show: which modules belong together by design.

use std::path::Path;

/// Of one target.
#[derive(Debug)]
pub(super) struct Design {
    /// The file it begins with.
    target: &'static str,
    /// Groups of modules that know each other, and are read as one.
    layers: &'static [&'static [&'static str]],
    /// A folder of which each module has parts that belong elsewhere, and the names of these parts
    /// and of the modules they belong to.
    parts: Option<(&'static str, &'static [&'static str])>,
}

static DESIGNS: [Design; 3] = [
    // How a device runs an op is part of that device, and lies with the op: whoever changes an op
    // finds all of it in one folder.
    Design { target: "kernels/src/lib.rs", layers: &[], parts: Some(("ops", &["cpu", "cuda"])) },
    // As in a driver: a context owns and ends all that is made in it, and all of that names it.
    Design { target: "tests/libcuda/src/lib.rs", layers: &[&DRIVER], parts: None },
    // A statement is decoded as soon as it is read: what it names is known only then. A warp runs
    // instructions, and each of them changes the warp. What is
    // compiled for the vectors of a machine is also what all others run.
    Design {
        target: "tests/ptxsim/src/lib.rs",
        layers: &[&["decode", "kernel", "parse"], &["exec", "warp"], &["simd", "tensor"]],
        parts: None,
    },
];

/// What lives in a context of the simulated driver.
static DRIVER: [&str; 12] = [
    "capture", "context", "copy", "device", "event", "function", "graph", "launch", "module",
    "stream", "work", "worker",
];

static PLAIN: Design = Design { target: "", layers: &[], parts: None };

impl Design {
    /// Of the target that begins with a file.
    pub(super) fn of(source: &Path) -> &'static Self {
        DESIGNS.iter().find(|design| source == Path::new(design.target)).unwrap_or(&PLAIN)
    }

    /// Where a module belongs, by its names from the root.
    pub(super) fn home(&self, place: &[String]) -> Vec<String> {
        if let (Some((folder, parts)), [first, module, part, ..]) = (self.parts, place)
            && first == folder
            && parts.contains(&part.as_str())
        {
            let inner = [part.clone(), folder.to_owned(), module.clone()];
            return [&inner, &place[3..]].concat();
        }
        let Some(first) = place.first() else { return Vec::new() };
        match self.layers.iter().find(|layer| layer.contains(&first.as_str())) {
            Some(layer) => [&[layer.join("+")], place].concat(),
            None => place.to_vec(),
        }
    }

    /// Whether this is the name of a layer.
    pub(super) fn is_layer(&self, name: &str) -> bool {
        self.layers.iter().any(|layer| layer.join("+") == name)
    }
}
