//! Which rows a ramp learns from and which it is judged on.

/// Two disjoint sets of row numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Rows the weights are fitted on.
    pub train: Vec<u32>,
    /// Rows that choose the epoch, the weight decay and the temperature.
    pub held_out: Vec<u32>,
}

/// The fewest rows a part needs: one row has no spread.
pub const ROWS_MIN: usize = 2;

impl Split {
    /// Shuffles `0..rows` and holds out `held_out_share` of them (0 to 1).
    ///
    /// The same arguments give the same split on every machine. Each part gets at least
    /// [`ROWS_MIN`] rows where there are enough for both. Row numbers are kept in ascending order,
    /// so that reading the rows walks forward through memory.
    pub fn shuffled(rows: u32, held_out_share: f64, seed: u64) -> Self {
        let mut order: Vec<u32> = (0..rows).collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut order);
        let mut held_out =
            order.split_off(rows as usize - held_rows(rows as usize, held_out_share));
        held_out.sort_unstable();
        order.sort_unstable();
        Self { train: order, held_out }
    }
}

fn held_rows(rows: usize, share: f64) -> usize {
    let wanted = (rows as f64 * share.clamp(0.0, 1.0)).round() as usize;
    if rows < 2 * ROWS_MIN { wanted.min(rows) } else { wanted.clamp(ROWS_MIN, rows - ROWS_MIN) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_disjoint_and_cover_every_row() {
        for rows in [0, 1, 3, 4, 5, 100, 1001] {
            for share in [0.0, 0.2, 0.5, 1.0, f64::NAN] {
                let split = Split::shuffled(rows, share, 7);
                let mut all = [split.train, split.held_out].concat();
                all.sort_unstable();
                assert_eq!(all, (0..rows).collect::<Vec<_>>(), "{rows} rows, share {share}");
            }
        }
    }

    #[test]
    fn share_and_minimum_are_kept() {
        assert_eq!(Split::shuffled(1000, 0.2, 1).held_out.len(), 200);
        assert_eq!(Split::shuffled(10, 0.0, 1).held_out.len(), ROWS_MIN);
        assert_eq!(Split::shuffled(10, 1.0, 1).train.len(), ROWS_MIN);
    }

    #[test]
    fn seed_decides() {
        assert_eq!(Split::shuffled(500, 0.3, 5), Split::shuffled(500, 0.3, 5));
        assert_ne!(Split::shuffled(500, 0.3, 5), Split::shuffled(500, 0.3, 6));
        let held_out = Split::shuffled(500, 0.3, 5).held_out;
        assert_ne!(held_out, (350..500).collect::<Vec<_>>(), "not shuffled");
    }
}
