//! Bugs put into the PTX that ships, one at a time: each must be found.
//!
//! Every kernel solves small problems with ragged edges, right as it ships. Then its text is
//! changed, and the change must end in a fault or a wrong result. What cannot be found is listed
//! with the reason, and must stay so: a test fails when it is found after all.

mod attention;
mod bug;
mod bugs_attention;
mod bugs_early;
mod bugs_images;
mod bugs_linear;
mod bugs_rows;
mod conv2d;
mod images;
mod linear;
mod maps;
mod moments;
mod norm;
mod ramp;
mod text;
mod world;

use bug::Subject;

const fn subject(file: &'static str, kernel: &'static str, run: world::Run) -> Subject {
    Subject { file, kernel, run }
}

const BROAD: Subject = subject("linear", "linear_broad", linear::broad);
const WIDE: Subject = subject("linear", "linear_wide", linear::wide);
const FEW: Subject = subject("linear", "linear_few", linear::few);
const ANY: Subject = subject("linear", "linear_any", linear::any);
const ATTENTION_32: Subject = subject("attention", "attention_32", attention::of_32);
const ATTENTION_64: Subject = subject("attention", "attention_64", attention::of_64);
const ATTENTION_128: Subject = subject("attention", "attention_128", attention::of_128);
const ATTENTION_ANY: Subject = subject("attention", "attention_any", attention::any);
const NORM: Subject = subject("norm", "layer_norm", norm::norm);
const EMBED: Subject = subject("embed", "embed", norm::embed);
const RAMP: Subject = subject("ramp", "ramp", ramp::ramp);
const COMPACT: Subject = subject("compact", "compact", maps::compact);
const NARROW: Subject = subject("narrow", "narrow", maps::narrow);
const CONV_WIDE: Subject = subject("conv2d", "conv2d_wide", conv2d::wide);
const CONV_FEW: Subject = subject("conv2d", "conv2d_few", conv2d::few);
const CONV_THIN: Subject = subject("conv2d", "conv2d_thin", conv2d::thin);
const CONV_ANY: Subject = subject("conv2d", "conv2d_any", conv2d::any);
const PIXELS: Subject = subject("pixels", "pixels", images::pixels);
const POOL: Subject = subject("pool2d", "pool2d", images::pool);

/// All of them.
const SUBJECTS: [Subject; 19] = [
    BROAD,
    WIDE,
    FEW,
    ANY,
    ATTENTION_32,
    ATTENTION_64,
    ATTENTION_128,
    ATTENTION_ANY,
    NORM,
    EMBED,
    RAMP,
    COMPACT,
    NARROW,
    CONV_WIDE,
    CONV_FEW,
    CONV_THIN,
    CONV_ANY,
    PIXELS,
    POOL,
];

#[test]
fn kernels_are_right_as_they_ship() {
    SUBJECTS.iter().for_each(Subject::is_right);
}
