//! The tests that every device passes.
//!
//! Cases are data. A device joins by one line, see [`crate::op_suite`]. Inputs are random and not
//! uniform, sizes ragged, outputs poisoned with NaN before, references in f64; memory beyond the
//! live tokens must stay as it was.

pub mod attention;
pub mod bits;
pub mod compact;
pub mod errors;
pub mod images;
pub mod linear;
pub mod narrow;
pub mod norm;
pub mod parked;
pub mod pass;
pub mod patches;
pub mod ramp;
mod stage;
pub mod staged;
pub mod stems;
pub mod taken_norms;
pub mod weights;

pub use stage::{Stage, Start, lens_to_offsets, tokens};

use offramp_kernels::Device;

/// Makes a fresh device, or `None` where this machine cannot run it.
pub type Make = fn() -> Option<Box<dyn Device>>;

/// How far from the reference a number may be: `abs + rel * |reference|`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// Absolute part.
    pub abs: f64,
    /// Part relative to the reference.
    pub rel: f64,
}

impl Tolerance {
    /// For devices that compute in f32 throughout.
    pub const F32: Self = Self { abs: 2e-5, rel: 2e-5 };
    /// For devices that store f32 and multiply it in two parts of 11 significant bits.
    pub const TF32: Self = Self { abs: 1e-4, rel: 1e-4 };
    /// For devices that store activations and weights with 11 significant bits.
    pub const F16: Self = Self { abs: 4e-3, rel: 4e-3 };
    /// For devices that store activations and weights with 8 significant bits.
    pub const BF16: Self = Self { abs: 3e-2, rel: 2e-2 };

    /// Panics unless every number is close to its reference, and some reference is not tiny.
    pub fn check(&self, what: &str, found: &[f32], reference: &[f64]) {
        assert_eq!(found.len(), reference.len(), "{what}: lengths");
        let largest = reference.iter().fold(0.0_f64, |largest, v| largest.max(v.abs()));
        assert!(reference.is_empty() || largest > 1e-4, "{what}: a test of zeros");
        for (i, (&found, &reference)) in found.iter().zip(reference).enumerate() {
            let difference = (f64::from(found) - reference).abs();
            let close = difference <= self.abs + self.rel * reference.abs();
            assert!(close, "{what}: element {i} is {found}, reference {reference}");
        }
    }
}

/// A device maker and the tolerance of its numbers.
#[derive(Clone, Copy, Debug)]
pub struct Suite {
    /// Makes the device under test.
    pub make: Make,
    /// How exact it is.
    pub tolerance: Tolerance,
}

/// A check that holds for every device.
pub type Check = fn(&Suite);

impl Suite {
    /// Runs a check, unless the machine cannot run the device.
    pub fn run(&self, check: Check) {
        if (self.make)().is_some() {
            check(self);
        }
    }

    pub(crate) fn device(&self) -> Box<dyn Device> {
        (self.make)().expect("the device that `run` saw")
    }
}

/// The whole suite for one device, as a module of tests:
/// `op_suite!(cpu, || Some(Box::new(..)), Tolerance::F32);`
#[macro_export]
macro_rules! op_suite {
    ($name:ident, $make:expr, $tolerance:expr) => {
        $crate::op_suite!($name, $make, $tolerance, {
            embed: norm::embed,
            norm: norm::norm,
            norm_in_place: norm::norm_in_place,
            linear_sizes: linear::sizes,
            linear_activations: linear::activations,
            linear_residuals: linear::residuals,
            linear_loads_in_parts: linear::loads_in_parts,
            weights_of_each_representation: weights::matrices,
            malformed_weight_data: weights::malformed,
            taken_norms_chains: taken_norms::chains,
            taken_norms_flat_rows: taken_norms::flat_rows,
            taken_norms_nearly_flat_rows: taken_norms::nearly_flat_rows,
            taken_norms_malformed: taken_norms::malformed,
            attention: attention::lengths,
            attention_large_scores: attention::large_scores,
            ramp_forms: ramp::forms,
            ramp_scores: ramp::scores,
            ramp_labels: ramp::labels,
            ramp_values: ramp::values,
            ramp_patience_of_labels_and_values: ramp::patience_of_each,
            ramp_patience: ramp::patience,
            ramp_patience_skips_what_was_not_issued: ramp::patience_by_issue,
            ramp_ties: ramp::ties,
            ramp_one_class: ramp::one_class,
            ramp_not_finite: ramp::not_finite,
            ramp_thresholds: ramp::thresholds,
            ramp_windows: ramp::windows,
            ramp_answers_once: ramp::answers_once,
            ramp_headless: ramp::headless,
            compact_sequences: compact::sequences,
            compact_everything: compact::everything,
            compact_keeps_ops_right: compact::ops_after,
            narrow_first_tokens: narrow::first_tokens,
            narrow_keeps_ops_right: narrow::ops_after,
            parked_values: parked::values,
            parked_leavers: parked::leavers,
            malformed_groups: parked::malformed,
            conv2d_sizes: images::sizes,
            conv2d_large: images::large,
            conv2d_residuals: images::residuals,
            images_after_exits: images::after_exits,
            pool2d_windows: images::pools,
            pool2d_nan: images::pool_nan,
            pixels: images::pixels,
            patches: patches::tokens,
            stems_known: stems::known,
            stems_random: stems::random,
            malformed_stems: stems::malformed,
            malformed_images: images::malformed,
            staged_for_the_next_pass: staged::next_pass,
            staged_for_another_pass: staged::other_pass,
            malformed_stages: staged::malformed,
            empty_pass: pass::empty,
            passes_forget: pass::forgets,
            rows_are_independent: pass::independent,
            malformed_passes: errors::passes,
            malformed_tokens: errors::token_ids,
            malformed_ops: errors::ops,
            malformed_weights: errors::weights,
            malformed_copies: errors::copies,
        });
    };
    ($name:ident, $make:expr, $tolerance:expr, {$($test:ident: $module:ident::$check:ident,)*}) => {
        mod $name {
            #[allow(unused_imports, reason = "the maker's expression may need them")]
            use super::*;

            $(#[test]
            fn $test() {
                let suite = $crate::suite::Suite { make: $make, tolerance: $tolerance };
                suite.run($crate::suite::$module::$check);
            })*
        }
    };
}
