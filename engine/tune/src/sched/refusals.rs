//! When predictions of passes are to be doubted.

/// So often requests are refused, and for so long, with no pass between, before that is a doubt.
const TIMES: u32 = 8;
const PERIOD_US: u64 = 100_000;

/// Times at which requests were refused as too late since a pass ran.
///
/// Only passes correct predictions: where too slow ones keep all passes away, that never ends. One
/// refusal after a long silence says nothing of the kind, nor do many at one time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refusals {
    times: u32,
    first_us: u64,
}

impl Refusals {
    /// A pass runs, and will show how long it takes.
    pub fn pass(&mut self) {
        *self = Self::default();
    }

    /// Some are refused now. Whether what predicted that is to be doubted; then it counts anew.
    pub fn refuse(&mut self, now_us: u64) -> bool {
        if self.times == 0 {
            self.first_us = now_us;
        }
        self.times += 1;
        let is_doubtful = self.times >= TIMES && now_us - self.first_us >= PERIOD_US;
        if is_doubtful {
            *self = Self::default();
        }
        is_doubtful
    }
}
