//! Which module uses which: a folder whose modules form a cycle cannot be read from one end.
//!
//! An arrow goes from the module that names something to the module that defines it, however often
//! that is re-exported on the way. It is drawn between two modules of one folder, or two files of
//! it: whatever lies deeper counts as the module it lies in. The file of a folder itself
//! (`mod.rs`, `lib.rs`) is the front of its modules, and no module beside them. Tests are left
//! out. What is by design is in [`Design`].

mod cycle;
mod design;
mod found;
mod tree;

use std::path::Path;

use cargo_metadata::Metadata;

use design::Design;
use tree::Tree;

/// Every cycle among the modules of a target, for all targets of the workspace.
pub(crate) fn complaints(metadata: &Metadata) -> Vec<String> {
    let root = metadata.workspace_root.as_std_path();
    let targets = metadata.packages.iter().flat_map(|package| &package.targets);
    let sources = targets.map(|target| target.src_path.as_std_path());
    sources.flat_map(|source| cycles(source, root)).collect()
}

/// The cycles of the target that begins with a file.
fn cycles(source: &Path, root: &Path) -> Vec<String> {
    let source = source.strip_prefix(root).unwrap_or(source);
    let cycles = Tree::read(&root.join(source)).cycles(Design::of(source));
    let told = |names: &Vec<String>| {
        let way = names.join(" -> ");
        format!("{}: modules form a cycle: {way}", source.display())
    };
    cycles.iter().map(told).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// The cycles of a library of these files.
    fn cycles_of(files: &[(&str, &str)]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        cycles(&folder.path().join("lib.rs"), folder.path())
    }

    #[test]
    fn a_planted_cycle_is_found_behind_re_exports() {
        let files = [
            ("lib.rs", "mod a; mod b; mod c; pub use c::Deep as Shown;"),
            ("a.rs", "use crate::{b::{self, B}}; pub struct A;"),
            ("b.rs", "pub struct B(pub crate::Shown);"),
            ("c/mod.rs", "mod deep; pub use deep::*;"),
            ("c/deep.rs", "pub struct Deep; fn f() { assert!(crate::a::A == 1); }"),
        ];
        let expected = "lib.rs: modules form a cycle: a -> b -> c -> a";
        assert_eq!(cycles_of(&files), [expected]);
    }

    #[test]
    fn a_cycle_within_a_folder_is_found_and_named() {
        let files = [
            ("lib.rs", "mod a;"),
            ("a/mod.rs", "mod x; mod y; pub use x::X;"),
            ("a/x.rs", "pub struct X; impl X { fn f() { super::y::f() } }"),
            ("a/y.rs", "pub fn f() { let _ = super::X; }"),
        ];
        assert_eq!(cycles_of(&files), ["lib.rs: modules form a cycle: a::x -> a::y -> a::x"]);
    }

    #[test]
    fn tests_fronts_and_strings_make_no_arrow() {
        let files = [
            ("lib.rs", "mod a; mod b; pub struct Root;"),
            ("a.rs", "use crate::b::B; use crate::Root; /* crate::b */ pub struct A;"),
            (
                "b.rs",
                "/// Of [`crate::a::A`].\npub struct B; const S: &str = \"crate::a::A\";\n\
                 #[cfg(test)] mod tests { use crate::a::A; }\n#[cfg(test)] use crate::a::A;",
            ),
        ];
        assert!(cycles_of(&files).is_empty());
    }
}
