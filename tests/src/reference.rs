//! Every op once more: in f64, one number at a time, nothing shared with the devices.

use offramp_kernels::{Activation, Grid, Pool, Score, Token, Window};

/// `act(x)`.
pub fn activate(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::None => x,
        Activation::GeluErf => 0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2)),
        Activation::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
            0.5 * x * (1.0 + inner.tanh())
        }
        Activation::Relu => x.max(0.0),
        Activation::Tanh => x.tanh(),
        Activation::Silu => x / (1.0 + (-x).exp()),
    }
}

/// The error function by the series whose terms are all positive, so that nothing cancels:
/// `2x/√π e^{-x²} Σ (2x²)^n / (2n+1)!!`.
pub fn erf(x: f64) -> f64 {
    if x.abs() > 6.0 {
        return x.signum();
    }
    let (mut term, mut sum, mut n) = (x, x, 0.0);
    while term.abs() > 1e-18 * sum.abs() {
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
        sum += term;
    }
    sum * (-x * x).exp() * std::f64::consts::FRAC_2_SQRT_PI
}

/// Layer norm of each `scale.len()` elements of `x`.
pub fn norm(x: &[f64], scale: &[f32], shift: &[f32], eps: f32) -> Vec<f64> {
    let width = scale.len();
    x.chunks(width).flat_map(|token| norm_token(token, scale, shift, eps)).collect()
}

fn norm_token(x: &[f64], scale: &[f32], shift: &[f32], eps: f32) -> Vec<f64> {
    let count = x.len() as f64;
    let mean = x.iter().sum::<f64>() / count;
    let variance = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / count;
    let inverse = 1.0 / (variance + f64::from(eps)).sqrt();
    let parameters = scale.iter().zip(shift);
    x.iter()
        .zip(parameters)
        .map(|(v, (&scale, &shift))| (v - mean) * inverse * f64::from(scale) + f64::from(shift))
        .collect()
}

/// Sums of table rows, before their norm.
pub fn embed(
    tokens: &[Token],
    width: usize,
    word: &[f32],
    position: &[f32],
    kind: Option<&[f32]>,
) -> Vec<f64> {
    let at = |table: &[f32], row: usize, i: usize| f64::from(table[row * width + i]);
    let element = |token: &Token, i: usize| {
        let kind = kind.map_or(0.0, |kind| at(kind, token.kind.into(), i));
        at(word, token.id as usize, i) + at(position, token.position.into(), i) + kind
    };
    tokens.iter().flat_map(|token| (0..width).map(move |i| element(token, i))).collect()
}

/// `act(x · Wᵀ + bias)`, with `W` of `bias.len()` rows of `k`.
pub fn linear(
    x: &[f64],
    weight: &[f32],
    bias: &[f32],
    k: usize,
    activation: Activation,
) -> Vec<f64> {
    let output = |x: &[f64], (row, &bias): (&[f32], &f32)| {
        let dot: f64 = x.iter().zip(row).map(|(x, &w)| x * f64::from(w)).sum();
        activate(activation, dot + f64::from(bias))
    };
    x.chunks(k).flat_map(|x| weight.chunks(k).zip(bias).map(move |pair| output(x, pair))).collect()
}

/// Attention within rows of the given lengths.
pub fn attention(qkv: &[f64], lens: &[usize], heads: usize, head_dim: usize) -> Vec<f64> {
    let width = heads * head_dim;
    let mut out = vec![0.0; qkv.len() / 3];
    let mut start = 0;
    for &len in lens {
        for (query, head) in (0..len).flat_map(|q| (0..heads).map(move |h| (q, h))) {
            let at = |token: usize, part: usize| {
                let from = (start + token) * 3 * width + part * width + head * head_dim;
                &qkv[from..from + head_dim]
            };
            let scores: Vec<f64> = (0..len)
                .map(|key| dot(at(query, 0), at(key, 1)) / (head_dim as f64).sqrt())
                .collect();
            let to = (start + query) * width + head * head_dim;
            for (key, p) in softmax(&scores).into_iter().enumerate() {
                for (out, v) in out[to..to + head_dim].iter_mut().zip(at(key, 2)) {
                    *out += p * v;
                }
            }
        }
        start += len;
    }
    out
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Probabilities of logits.
pub fn softmax(logits: &[f64]) -> Vec<f64> {
    let max = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exps: Vec<f64> = logits.iter().map(|logit| (logit - max).exp()).collect();
    let sum: f64 = exps.iter().sum();
    exps.into_iter().map(|e| e / sum).collect()
}

/// One vector a row.
pub fn pool(x: &[f64], lens: &[usize], width: usize, pool: Pool) -> Vec<f64> {
    let mut start = 0;
    let mut pooled = Vec::new();
    for &len in lens {
        let tokens = match pool {
            Pool::First => start..start + 1,
            Pool::Mean => start..start + len,
            Pool::Last => start + len - 1..start + len,
        };
        let count = tokens.len() as f64;
        let tokens = &x[tokens.start * width..tokens.end * width];
        let mean = |i: usize| tokens.iter().skip(i).step_by(width).sum::<f64>() / count;
        pooled.extend((0..width).map(mean));
        start += len;
    }
    pooled
}

/// The most probable class, the lowest on a tie.
pub fn label(logits: &[f64]) -> u32 {
    let best = (1..logits.len()).fold(0, |b, i| if logits[i] > logits[b] { i } else { b });
    best as u32
}

/// The score of one row; `streak` counts the ramps in a row that named this label.
pub fn score(logits: &[f64], score: Score, streak: u32) -> f64 {
    if let Score::Patience { k } = score {
        return f64::from(streak.min(k)) / f64::from(k);
    }
    let mut p = softmax(logits);
    if p.len() == 1 {
        return 1.0;
    }
    p.sort_by(f64::total_cmp);
    let entropy: f64 = p.iter().filter(|&&p| p > 0.0).map(|p| -p * p.ln()).sum();
    match score {
        Score::Confidence => p[p.len() - 1],
        Score::Margin => p[p.len() - 1] - p[p.len() - 2],
        _ => 1.0 - entropy / (p.len() as f64).ln(),
    }
}

/// The score of one row whose labels have a sigmoid each, over all sets of them.
pub fn score_each(logits: &[f64], score: Score, streak: u32) -> f64 {
    if let Score::Patience { k } = score {
        return f64::from(streak.min(k)) / f64::from(k);
    }
    let p: Vec<f64> = logits.iter().map(|logit| 1.0 / (1.0 + (-logit.abs()).exp())).collect();
    let first: f64 = p.iter().product();
    match score {
        Score::Confidence => first,
        // The second set turns the label that is least sure.
        Score::Margin => first - p.iter().map(|p| first / p * (1.0 - p)).fold(0.0, f64::max),
        _ => {
            let entropy = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
            let all: f64 = p.iter().map(|&p| entropy(p) + entropy(1.0 - p)).sum();
            1.0 - all / (p.len() as f64 * std::f64::consts::LN_2)
        }
    }
}

/// The shape of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct Convolution {
    /// The map read.
    pub from: Grid,
    /// The map written.
    pub to: Grid,
    /// Channels read.
    pub inputs: usize,
    /// Pixels of a side of the window.
    pub kernel: usize,
    /// Pixels between windows.
    pub stride: usize,
    /// Zeros on each side.
    pub padding: usize,
}

/// One image `x`, weights `[outputs, ky, kx, input]`.
pub fn conv2d(shape: Convolution, x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f64> {
    let Convolution { from, to, inputs, kernel, stride, padding } = shape;
    let pixel = |y: usize, x: usize| {
        let (y, x) = (y.checked_sub(padding)?, x.checked_sub(padding)?);
        (y < from.height && x < from.width).then_some((y * from.width + x) * inputs)
    };
    let mut out = Vec::new();
    for (y, column) in (0..to.height).flat_map(|y| (0..to.width).map(move |x| (y, x))) {
        for (weights, bias) in weight.chunks_exact(kernel * kernel * inputs).zip(bias) {
            let mut sum = f64::from(*bias);
            for (tap, weights) in weights.chunks_exact(inputs).enumerate() {
                let at = pixel(y * stride + tap / kernel, column * stride + tap % kernel);
                let Some(at) = at else { continue };
                for (weight, x) in weights.iter().zip(&x[at..]) {
                    sum += f64::from(*weight) * f64::from(*x);
                }
            }
            out.push(sum);
        }
    }
    out
}

/// One image `x`; a pixel belongs to a window when its rows and columns do.
pub fn pool2d(from: Grid, to: Grid, window: Window, width: usize, x: &[f32]) -> Vec<f64> {
    let belongs = |index: usize, at: usize, n: usize, to: usize| match window {
        Window::Max { kernel, stride, padding } => {
            let first = index * stride;
            at + padding >= first && at + padding < first + kernel
        }
        Window::MeanTo(_) => at * to < (index + 1) * n && (at + 1) * to > index * n,
    };
    let mut out = Vec::new();
    for (y, column) in (0..to.height).flat_map(|y| (0..to.width).map(move |x| (y, x))) {
        for channel in 0..width {
            let inside = (0..from.pixels()).filter(|pixel| {
                belongs(y, pixel / from.width, from.height, to.height)
                    && belongs(column, pixel % from.width, from.width, to.width)
            });
            let values: Vec<f64> =
                inside.map(|pixel| f64::from(x[pixel * width + channel])).collect();
            out.push(match window {
                Window::Max { .. } => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
                Window::MeanTo(_) => values.iter().sum::<f64>() / values.len() as f64,
            });
        }
    }
    out
}
