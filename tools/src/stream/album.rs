//! What a stream draws on: grey pictures of one size, by class.

/// Pictures of one size.
pub(crate) struct Album {
    /// Height and width, pixels.
    pub(crate) sides: [usize; 2],
    /// None of them empty.
    pub(crate) classes: Vec<Class>,
}

/// Pictures that bear one label.
pub(crate) struct Class {
    /// As the labels or the folder say it.
    pub(crate) name: String,
    /// What a file of labels says for it.
    pub(crate) number: u8,
    /// Bytes `[height, width]` each.
    pub(crate) pictures: Vec<Vec<u8>>,
}

impl Album {
    /// Pictures of all classes.
    pub(crate) fn len(&self) -> usize {
        self.classes.iter().map(|class| class.pictures.len()).sum()
    }
}

/// Classes of random pictures, for tests.
#[cfg(test)]
pub(super) fn noise(classes: u8, each: usize, sides: [usize; 2]) -> Album {
    let mut rng = fastrand::Rng::with_seed(5);
    let mut picture = || (0..sides[0] * sides[1]).map(|_| rng.u8(..)).collect();
    let mut class = |number: u8| Class {
        name: format!("class {number}"),
        number,
        pictures: (0..each).map(|_| picture()).collect(),
    };
    Album { sides, classes: (0..classes).map(&mut class).collect() }
}
