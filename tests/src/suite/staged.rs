//! Images that are handed over before their pass begins.

use offramp_kernels::{Error, Grid, Pixels, RowInput, Span, WeightForm, WeightId};

use super::{Stage, Start, Suite};

/// More bytes than a device takes at a time, and no whole number of such parts.
const IMAGE: Grid = Grid { height: 521, width: 419 };
const CHANNELS: usize = 3;
const BYTES: usize = IMAGE.height * IMAGE.width * CHANNELS;
const ROWS: usize = 2;

/// A device that makes numbers of bytes: each is its half.
struct Halves {
    stage: Stage,
    op: Pixels,
}

impl Halves {
    fn new(suite: &Suite) -> Self {
        let mut start = Start::new(&[1; ROWS]);
        start.layout.row_pixels = BYTES;
        let mut vector = |value: f32| -> WeightId {
            start.weight(WeightForm::Vector { len: CHANNELS }, vec![value; CHANNELS])
        };
        let (scale, shift) = (vector(0.5), vector(0.0));
        let out = start.span(BYTES);
        let op = Pixels { grid: IMAGE, channels: CHANNELS, scale, shift, fold: None, out };
        Self { stage: start.device(suite), op }
    }

    /// Hands over one more part; false where all of it is there.
    fn part(&mut self, images: &[u8], had: &mut usize) -> bool {
        let before = *had;
        *had = self.stage.device.stage(images, before).expect("the next part");
        assert!(*had > before && *had <= images.len(), "{had} after {before}");
        *had < images.len()
    }

    /// Runs the pass that has begun; what it makes of its images must be that of `images`.
    fn check(&mut self, what: &str, images: &[u8]) {
        let out: Span = self.op.out;
        self.stage.issue(self.op.clone());
        let found = self.stage.read(out, images.len());
        let wrong = (0..images.len()).find(|&at| found[at] != f32::from(images[at]) * 0.5);
        assert_eq!(wrong, None, "{what}");
    }
}

/// Different images for every seed; small numbers, which all storage formats hold.
fn images(seed: u64, rows: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    (0..rows * BYTES).map(|_| random.u8(..128)).collect()
}

/// Parts are handed over while a pass runs, and are what the next pass is over.
pub fn next_pass(suite: &Suite) {
    let mut device = Halves::new(suite);
    let [first, second, third] = [1, 2, 3].map(|seed| images(seed, ROWS));
    device.stage.begin_rows(RowInput::Images(&first), ROWS).expect("a pass");
    if device.stage.device.stage(&second, 0).expect("a first part") == 0 {
        let refused =
            device.stage.begin_rows(RowInput::Staged, ROWS).expect_err("nothing can be staged");
        assert!(matches!(refused, Error::Mismatch { .. }), "{refused}");
        return;
    }
    let mut had = 0;
    while device.part(&second, &mut had) {}
    device.check("the pass meanwhile", &first);
    device.stage.begin_rows(RowInput::Staged, ROWS).expect("a pass");
    device.stage.issue(device.op.clone());
    had = 0;
    device.part(&third, &mut had);
    device.check("what was staged", &second);
    while device.part(&third, &mut had) {}
    device.stage.begin_rows(RowInput::Staged, ROWS).expect("a pass");
    device.check("staged in two passes", &third);
}

/// A pass over other images is over those; what was staged is gone.
pub fn other_pass(suite: &Suite) {
    let mut device = Halves::new(suite);
    let [first, second] = [4, 5].map(|seed| images(seed, ROWS));
    if device.stage.device.stage(&second, 0).expect("a first part") == 0 {
        return;
    }
    let mut had = 0;
    while device.part(&second, &mut had) {}
    device.stage.begin_rows(RowInput::Images(&first), ROWS).expect("a pass");
    device.check("other images", &first);
    device.stage.begin_rows(RowInput::Staged, ROWS).expect_err("nothing is staged");
    had = 0;
    device.part(&first, &mut had);
    let one = images(6, 1);
    had = 0;
    while device.part(&one, &mut had) {}
    device.stage.begin_rows(RowInput::Staged, ROWS).expect_err("one image of two");
    device.stage.begin_rows(RowInput::Staged, 1).expect("a pass");
    device.check("begun anew", &one);
}

/// Parts that do not follow each other, and more images than a pass has.
pub fn malformed(suite: &Suite) {
    let mut device = Halves::new(suite);
    let own = images(7, ROWS);
    if device.stage.device.stage(&own, 0).expect("a first part") == 0 {
        return;
    }
    device.stage.device.stage(&own, 7).expect_err("not the next byte");
    device.stage.device.stage(&own, own.len()).expect_err("beyond the next byte");
    let many = vec![0; device.stage.layout().rows_max * BYTES + 1];
    let error = device.stage.device.stage(&many, 0).expect_err("too many images");
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    device.stage.begin_rows(RowInput::Staged, ROWS).expect_err("not all of it is there");
}
