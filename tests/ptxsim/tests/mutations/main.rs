//! Bugs put into the PTX that ships, one at a time: each must be found.
//!
//! Every kernel solves small problems with ragged edges, right as it ships. Then its text is
//! changed, and the change must end in a fault or a wrong result. What cannot be found is listed
//! with the reason, and must stay so: a test fails when it is found after all.

mod attention;
mod bug;
mod linear;
mod maps;
mod norm;
mod ramp;
mod text;
mod world;

use bug::Subject;

const fn subject(file: &'static str, kernel: &'static str, run: world::Run) -> Subject {
    Subject { file, kernel, run }
}

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

#[test]
fn kernels_are_right_as_they_ship() {
    for subject in [
        WIDE, FEW, ANY, ATTENTION_32, ATTENTION_64, ATTENTION_128, ATTENTION_ANY, NORM, EMBED,
        RAMP, COMPACT, NARROW,
    ] {
        let t = std::time::Instant::now();
        subject.is_right();
        println!("{} {:?}", subject.kernel, t.elapsed());
    }
}

#[test]
#[ignore]
fn explore() {
    use text::{Change, Site, Text};
    use world::Elem;
    let want = std::env::var("WHAT").unwrap_or_default();
    for subject in [
        WIDE, FEW, ANY, ATTENTION_32, ATTENTION_64, ATTENTION_128, ATTENTION_ANY, NORM, EMBED,
        RAMP, COMPACT, NARROW,
    ] {
        if !want.is_empty() && want != subject.kernel { continue; }
        let text = Text::read(subject.file, Elem::F16, subject.kernel);
        for (op, change) in [
            ("bar.sync", Change::Remove), ("bar.warp.sync", Change::Remove), ("cp.async.wait", Change::Remove), ("cp.async.commit", Change::Remove),
            ("cp.async.wait_group", Change::Swap("_group 0", "_group 1")),
            ("cp.async.wait_group", Change::Swap("_group 2", "_group 3")),
            ("cp.async.wait_group", Change::Swap("_group 1", "_group 2")),
            ("ldmatrix.sync.aligned.m8n8.x4.trans", Change::Swap(".trans", "")),
            ("setp.ge.u32", Change::Swap(".ge", ".gt")),
            ("setp.le.u32", Change::Swap(".le", ".lt")),
            ("setp.lt.u32", Change::Swap(".lt", ".le")),
            ("setp.gt.u32", Change::Swap(".gt", ".ge")),
            ("st.global", Change::Remove), ("st.shared", Change::Remove),
            ("shfl.sync", Change::Swap(".bfly", ".down")), ("membar", Change::Remove), ("st.release.sys", Change::Swap("release.sys.", "")),
            ("atom", Change::Swap("atom.global.add.u32", "ld.global.u32")),
            ("bra", Change::Remove),
            ("mma.sync", Change::Remove),
        ] {
            if matches!(op, "bra" | "mma.sync") && want.is_empty() { continue; }
            for &line in &text.find(Site { op, from: "" }) {
                let t = std::panic::catch_unwind(|| text.changed(&[line], change));
                let Ok(t) = t else { continue };
                let module = t.module();
                let r = (subject.run)(module.kernel(subject.kernel).unwrap(), Elem::F16);
                println!("{} {change:?} {}: {}", subject.kernel, text.show(line).replace('\t', " "), match r { Ok(()) => "SURVIVES".into(), Err(e) => format!("{e:.90}") });
            }
        }
    }
}
