//! Values that lie before their layer norm, with moments of every 64 columns.

const COLUMNS: usize = 64;
pub(crate) const EPS: f32 = 1e-5;

/// Mean and sum of squared distances of each block of columns, row by row.
pub(crate) fn moments(rows: impl Iterator<Item = Vec<f64>>) -> Vec<f32> {
    let of_block = |block: &[f64]| {
        let mean = block.iter().sum::<f64>() / block.len() as f64;
        let squares: f64 = block.iter().map(|x| (x - mean).powi(2)).sum();
        [mean as f32, squares as f32]
    };
    rows.flat_map(|row| row.chunks(COLUMNS).flat_map(of_block).collect::<Vec<_>>()).collect()
}

/// `(x - mean) / sqrt(var + eps)`
pub(crate) fn standard(row: &[f64], eps: f32) -> Vec<f64> {
    let count = row.len() as f64;
    let mean = row.iter().sum::<f64>() / count;
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
    let inverse = 1.0 / (variance + f64::from(eps)).sqrt();
    row.iter().map(|x| (x - mean) * inverse).collect()
}

/// The same with scale and shift.
pub(crate) fn normalised(row: &[f64], scale: &[f32], shift: &[f32], eps: f32) -> Vec<f64> {
    let standard = standard(row, eps).into_iter();
    let pairs = standard.zip(scale.iter().zip(shift));
    pairs.map(|(x, (&scale, &shift))| x * f64::from(scale) + f64::from(shift)).collect()
}
