//! What the benches share.
#![forbid(unsafe_code)]

use offramp::Model;
use offramp_tests::models::{bundle, random_dense};
use offramp_weights::{Pool, Ramp, RampBundle};

/// A mean-pooled linear ramp with small seeded weights on every site of `model`.
pub fn random_ramps(model: &Model) -> RampBundle {
    let classes = model.spec().classes();
    let mut rng = fastrand::Rng::with_seed(3);
    let ramp = |site| {
        let width = model.spec().site_width(site);
        let head = random_dense(classes, width, 0.05, &mut rng);
        Ramp { site, pool: Pool::Mean, hidden: None, head }
    };
    bundle(model, (0..model.spec().sites() - 1).map(ramp).collect())
}
