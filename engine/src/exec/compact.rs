//! Whether packing the rows pays.

use offramp_kernels::{LiveBound, Op};

use crate::plan::{Plan, Site};

/// What each segment costs for a token, and what packing costs, in microseconds.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SegmentCosts {
    /// By segment: marginal time of a token.
    pub(super) token_us: Vec<f64>,
    /// By segment: time to move a token while packing behind it. Early maps of images are big.
    pub(super) move_us: Vec<f64>,
    /// Time of a compaction, whatever it moves.
    pub(super) fixed_us: f64,
}

impl SegmentCosts {
    /// Rates assumed until the device has been measured: 50 GFLOP/s, 5 GB/s.
    const FLOPS_PER_US: f64 = 5e4;
    const BYTES_PER_US: f64 = 5e3;

    /// From the plan's own counts.
    pub(super) fn counted(plan: &Plan) -> Self {
        let live = LiveBound { rows: 1, tokens: 1 };
        let token_us = plan.segments.iter().map(|s| s.cost(live).flops / Self::FLOPS_PER_US);
        let move_us = moved_bytes(plan).into_iter().map(|bytes| bytes / Self::BYTES_PER_US);
        Self { token_us: token_us.collect(), move_us: move_us.collect(), fixed_us: 1.0 }
    }

    /// Takes over two measurements of every segment, each with its number of tokens: what a token
    /// more costs, whatever launches and waits cost.
    pub(super) fn marginal(&mut self, few: (usize, &[f64]), many: (usize, &[f64])) {
        let more = many.0.saturating_sub(few.0).max(1) as f64;
        let pairs = few.1.iter().zip(many.1);
        self.token_us = pairs.map(|(few, many)| (many - few).max(0.0) / more).collect();
    }

    /// Takes over a measurement: moving a token behind segment `site` took `move_us`. Other
    /// sites cost as their bytes.
    pub(super) fn moves(&mut self, plan: &Plan, site: usize, move_us: f64) {
        let bytes = moved_bytes(plan);
        let us_per_byte = move_us / bytes[site].max(1.0);
        self.move_us = bytes.into_iter().map(|bytes| bytes * us_per_byte).collect();
        self.fixed_us = 0.0;
    }

    /// Takes over a measurement: a compaction takes `fixed_us` wherever it stands, as it moves
    /// nothing but a map.
    pub(super) fn fixed(&mut self, fixed_us: f64) {
        self.move_us.fill(0.0);
        self.fixed_us = fixed_us;
    }

    /// Whether packing behind segment `site` saves more than it costs, when `leaving` tokens of
    /// the rows alive are no longer needed and `staying` are.
    pub(super) fn pays(&self, site: usize, leaving: usize, staying: usize) -> bool {
        let saved_us = self.token_us[site + 1..].iter().sum::<f64>() * leaving as f64;
        let cost_us = self.fixed_us + self.move_us[site] * staying as f64;
        leaving > 0 && (staying == 0 || saved_us > cost_us)
    }
}

/// By segment: bytes moved for one token when rows are packed behind it.
fn moved_bytes(plan: &Plan) -> Vec<f64> {
    let live = LiveBound { rows: 1, tokens: 1 };
    let bytes = |site: &Site| Op::Compact(site.compact.clone()).cost(live).bytes;
    plan.segments.iter().map(|segment| segment.site.as_ref().map_or(0.0, bytes)).collect()
}

/// By ramp: the share of the tokens reaching it that left there lately. Stands in for records
/// that have not landed when the decision is due.
#[derive(Clone, Debug)]
pub(super) struct LeaveRates(Vec<f64>);

impl LeaveRates {
    /// How much the last pass counts.
    const NEWS: f64 = 0.1;

    /// Everything leaves, until passes have shown otherwise.
    pub(super) fn new(ramps: usize) -> Self {
        Self(vec![1.0; ramps])
    }

    /// How many of `tokens` can be expected to leave at `ramp`.
    pub(super) fn expected(&self, ramp: usize, tokens: usize) -> usize {
        (self.0[ramp] * tokens as f64).ceil() as usize
    }

    /// Takes in a pass: `left` of the `reaching` tokens left at `ramp`.
    pub(super) fn learn(&mut self, ramp: usize, left: usize, reaching: usize) {
        if reaching > 0 {
            let share = left as f64 / reaching as f64;
            self.0[ramp] += Self::NEWS * (share - self.0[ramp]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_follow_what_passes_show() {
        let mut rates = LeaveRates::new(2);
        assert_eq!(rates.expected(0, 100), 100);
        for _ in 0..200 {
            rates.learn(0, 25, 100);
            rates.learn(1, 0, 0);
        }
        assert_eq!((rates.expected(0, 100), rates.expected(1, 100)), (26, 100));
    }

    /// 60 us a segment for 64 tokens are launches: a token more costs 0.03 us.
    #[test]
    fn launches_are_not_taken_for_the_cost_of_tokens() {
        let mut costs =
            SegmentCosts { token_us: vec![0.0; 3], move_us: vec![9.0; 3], fixed_us: 0.0 };
        costs.marginal((64, &[60.0, 60.0, 60.0]), (2112, &[121.44, 121.44, 50.0]));
        costs.fixed(4.0);
        assert!(costs.token_us[..2].iter().all(|us| (us - 0.03).abs() < 1e-9), "{costs:?}");
        assert_eq!(costs.token_us[2], 0.0, "noise is no gain");
        assert!(!costs.pays(0, 128, 4096), "3.84 us saved, 4 us spent");
        assert!(costs.pays(0, 256, 4096), "7.68 us saved");
    }

    #[test]
    fn packing_pays_where_enough_is_left_to_run() {
        let costs = SegmentCosts { token_us: vec![1.0; 4], move_us: vec![0.1; 4], fixed_us: 2.0 };
        assert!(costs.pays(0, 10, 100));
        assert!(!costs.pays(2, 10, 100), "one segment left: 10 us saved, 12 us spent");
        assert!(!costs.pays(0, 0, 100), "nobody leaves");
        assert!(costs.pays(2, 1, 0), "everybody leaves");
    }
}
