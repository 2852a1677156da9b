//! Convolutions as they are read: order, norms folded in, and what is refused.

use offramp_weights::network::{Conv, Filter};
use offramp_weights::{Checkpoint, Elem, Result};

use crate::common::Put;
use crate::{folder, text};

const OUTPUTS: usize = 3;
const INPUTS: usize = 2;
const KERNEL: usize = 3;

fn conv(bias: bool, norm: bool) -> Conv {
    Conv {
        filter: Filter::Trained {
            weight: "conv.weight".into(),
            bias: bias.then(|| "conv.bias".into()),
            norm: norm.then(|| "bn".into()),
        },
        inputs: INPUTS,
        outputs: OUTPUTS,
        kernel: KERNEL,
        stride: 1,
        padding: 1,
        relu: true,
    }
}

/// `[output, input, ky, kx]`, each value its place.
fn weights() -> Vec<f32> {
    (0..OUTPUTS * INPUTS * KERNEL * KERNEL).map(|index| index as f32 - 20.0).collect()
}

const BIAS: [f32; OUTPUTS] = [0.5, -1.0, 2.0];
const GAMMA: [f32; OUTPUTS] = [1.5, -0.25, 3.0];
const BETA: [f32; OUTPUTS] = [0.1, 0.2, -0.3];
const MEAN: [f32; OUTPUTS] = [4.0, -2.0, 0.75];
const VARIANCE: [f32; OUTPUTS] = [0.04, 2.0, 0.0];

fn puts(elem: Elem) -> Vec<Put> {
    let vector = |name, values: &[f32]| Put::floats(name, elem, &[OUTPUTS], values);
    let shape = [OUTPUTS, INPUTS, KERNEL, KERNEL];
    vec![
        Put::floats("conv.weight", elem, &shape, &weights()),
        vector("conv.bias", &BIAS),
        vector("bn.weight", &GAMMA),
        vector("bn.bias", &BETA),
        vector("bn.running_mean", &MEAN),
        vector("bn.running_var", &VARIANCE),
    ]
}

fn open(puts: &[Put]) -> (tempfile::TempDir, Checkpoint) {
    let dir = folder("{}", puts);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    (dir, checkpoint)
}

/// Weights and biases of all outputs.
fn read(conv: &Conv, checkpoint: &Checkpoint) -> Result<(Vec<f32>, Vec<f32>)> {
    Ok((conv.weights(checkpoint, 0..conv.outputs)?, conv.biases(checkpoint)?))
}

/// The error of reading all outputs after one tensor's values were replaced.
fn refused(name: &str, values: &[f32]) -> String {
    let mut puts = puts(Elem::F32);
    let put = puts.iter_mut().find(|put| put.name == name).unwrap();
    *put = Put::floats(name, Elem::F32, &put.shape, values);
    let (dir, checkpoint) = open(&puts);
    text(read(&conv(true, true), &checkpoint), dir.path())
}

#[test]
fn inputs_come_last() {
    let (_dir, checkpoint) = open(&puts(Elem::F32));
    let (found, biases) = read(&conv(false, false), &checkpoint).unwrap();
    let stored = weights();
    for output in 0..OUTPUTS {
        for (ky, kx) in (0..9).map(|at| (at / KERNEL, at % KERNEL)) {
            for input in 0..INPUTS {
                let to = ((output * KERNEL + ky) * KERNEL + kx) * INPUTS + input;
                let from = ((output * INPUTS + input) * KERNEL + ky) * KERNEL + kx;
                assert_eq!(found[to], stored[from]);
            }
        }
    }
    assert_eq!(biases, [0.0; OUTPUTS]);
    assert_eq!(read(&conv(true, false), &checkpoint).unwrap(), (found, BIAS.to_vec()));
}

#[test]
fn a_norm_is_folded_in() {
    for elem in [Elem::F32, Elem::F16, Elem::BF16] {
        let (_dir, checkpoint) = open(&puts(elem));
        let values = |name: &str| checkpoint.tensor(name).unwrap().to_vec().unwrap();
        let [gamma, beta] = [values("bn.weight"), values("bn.bias")];
        let [mean, variance] = [values("bn.running_mean"), values("bn.running_var")];
        for has_bias in [true, false] {
            let plain = read(&conv(has_bias, false), &checkpoint).unwrap();
            let (weights, biases) = read(&conv(has_bias, true), &checkpoint).unwrap();
            for output in 0..OUTPUTS {
                let deviation = (f64::from(variance[output]) + 1e-5).sqrt();
                let scale = f64::from(gamma[output]) / deviation;
                let moved = f64::from(plain.1[output]) - f64::from(mean[output]);
                let bias = moved * scale + f64::from(beta[output]);
                assert_eq!(biases[output], bias as f32, "{elem}");
                let row = output * 18..(output + 1) * 18;
                let fold = |weight: &f32| (f64::from(*weight) * scale) as f32;
                let expected: Vec<_> = plain.0[row.clone()].iter().map(fold).collect();
                assert_eq!(weights[row], expected, "{elem}");
            }
        }
    }
}

#[test]
fn outputs_can_be_read_in_pieces() {
    let (_dir, checkpoint) = open(&puts(Elem::F16));
    let conv = conv(true, true);
    let weights = conv.weights(&checkpoint, 0..OUTPUTS).unwrap();
    for first in 0..OUTPUTS {
        let piece = conv.weights(&checkpoint, first..first + 1).unwrap();
        assert_eq!(piece, weights[first * 18..(first + 1) * 18]);
    }
    assert!(conv.weights(&checkpoint, 2..2).unwrap().is_empty());
    let error = conv.weights(&checkpoint, 2..4).unwrap_err().to_string();
    assert!(error.contains("expected the elements 2..4, found 3 elements"), "{error}");
}

#[test]
fn values_that_cannot_be_meant_are_refused() {
    let error = refused("bn.running_var", &[0.1, -1e-3, 1.0]);
    let expected = "model.safetensors: tensor `bn.running_var`: expected variances of 0 or more, \
                    found -0.001 at element 1";
    assert_eq!(error, expected);
    for name in ["conv.bias", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var"] {
        let error = refused(name, &[1.0, 1.0, f32::NAN]);
        let expected = format!("tensor `{name}`: expected finite values, found NaN at element 2");
        assert!(error.ends_with(&expected), "{error}");
    }
    let mut values = weights();
    values[40] = f32::INFINITY;
    let error = refused("conv.weight", &values);
    assert!(error.ends_with("expected finite values, found inf at element 40"), "{error}");
    let error = refused("conv.weight", &vec![1e38; weights().len()]);
    assert!(
        error.ends_with("expected finite values with the norm folded in, found a value beyond F32")
    );
}

#[test]
fn an_option_a_shortcut_copies_the_channels_to_the_middle() {
    let (_dir, checkpoint) = open(&puts(Elem::F32));
    let copy = |inputs, outputs| Conv {
        filter: Filter::Copy,
        kernel: 1,
        stride: 2,
        padding: 0,
        relu: false,
        ..Conv { inputs, outputs, ..conv(false, false) }
    };
    let (weights, biases) = read(&copy(2, 5), &checkpoint).unwrap();
    let expected = [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0], [0.0, 0.0]];
    assert_eq!(weights, expected.concat());
    assert_eq!(biases, [0.0; 5]);
    let piece = copy(2, 5).weights(&checkpoint, 2..3).unwrap();
    assert_eq!(piece, [0.0, 1.0]);
}
