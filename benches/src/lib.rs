//! What the benches share.
#![forbid(unsafe_code)]

use offramp::Model;
use offramp_weights::{Dense, Pool, Ramp, RampBundle, TrainingNotes};

/// A mean-pooled linear ramp with small seeded weights on every site of `model`.
pub fn random_ramps(model: &Model) -> RampBundle {
    let (width, classes) = (model.spec().hidden, model.spec().classes);
    let mut rng = fastrand::Rng::with_seed(3);
    let mut values = |len: usize| (0..len).map(|_| 0.1 * (rng.f32() - 0.5)).collect::<Vec<f32>>();
    let mut ramp = |site| {
        let (weight, bias) = (values(classes * width), values(classes));
        let head = Dense { outputs: classes, inputs: width, weight, bias };
        Ramp { site, pool: Pool::Mean, hidden: None, head }
    };
    let ramps = (0..model.spec().layers - 1).map(&mut ramp).collect();
    let trained = TrainingNotes { inputs: 0, held_out: 0, sites: vec![] };
    RampBundle { model: model.hash(), classes, width, ramps, trained }
}
