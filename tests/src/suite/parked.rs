//! Groups that are parked at a site and gathered, against plain vectors of rows.

use offramp_kernels::{
    Admission, ArenaLayout, Compact, Decision, Device, Error, ExitId, ExitRecord, ExitWindow,
    GroupId, LiveBound, Narrow, Norm, Op, Pool, Ramp, RampHead, Result, Room, RowInput, RowSlot,
    RowTokens, Score, Span, Token, WeightData, WeightForm, WeightId,
};

use super::Suite;
use super::stage::{lens_to_offsets, uneven};
use crate::reference;

const WIDTH: usize = 24;
const ROWS: usize = 6;
const TOKENS: usize = 16;
const GROUPS: usize = 3;
const X: Span = Span { at: 64, len: TOKENS * WIDTH };
const OTHER: Span = Span { at: 64 + TOKENS * WIDTH, len: TOKENS * WIDTH };
const SITE: Compact = Compact { x: X, tokens: RowTokens::Own, width: WIDTH };
const BOUND: LiveBound = LiveBound { rows: ROWS, tokens: TOKENS };
/// Where all rows leave that no window holds back.
const EXIT: u32 = 1;

/// A device with a resident value, a norm and a ramp.
struct Site {
    device: Box<dyn Device>,
    random: fastrand::Rng,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

fn layout(groups_max: usize) -> ArenaLayout {
    ArenaLayout {
        rows_max: ROWS,
        tokens_max: TOKENS,
        groups_max,
        row_tokens_max: TOKENS,
        activations: OTHER.end(),
        resident: vec![X],
        exits: 3,
        logits_max: 2,
        features_max: WIDTH,
        weights: vec![
            WeightForm::Vector { len: WIDTH },
            WeightForm::Vector { len: WIDTH },
            WeightForm::Matrix { n: 2, k: WIDTH },
            WeightForm::Vector { len: 2 },
        ],
        ..ArenaLayout::default()
    }
}

impl Site {
    fn new(suite: &Suite, groups_max: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(3);
        let mut device = suite.device();
        device.reserve(&layout(groups_max)).expect("room");
        let mut vector = |len| uneven(&mut random, len);
        let scale = vector(WIDTH);
        let shift = vector(WIDTH);
        let values = [scale.clone(), shift.clone(), vector(2 * WIDTH), vector(2)];
        for (id, values) in values.iter().enumerate() {
            device.load(WeightId(id), 0, WeightData::F32(values)).expect("a weight");
        }
        Self { device, random, scale, shift }
    }

    /// Rows that leave at [`EXIT`] iff `leaves`; gives their values, which are written.
    fn admit(&mut self, lens: &[usize], leaves: bool) -> (GroupId, Vec<RowSlot>, Vec<f32>) {
        let mut slots = Vec::new();
        let group = self.try_admit(lens, leaves, &mut slots).expect("room");
        assert_eq!(slots.len(), lens.len());
        let values = uneven(&mut self.random, lens.iter().sum::<usize>() * WIDTH);
        self.device.write(X, &values).expect("a value");
        (group, slots, values)
    }

    fn try_admit(
        &mut self,
        lens: &[usize],
        leaves: bool,
        slots: &mut Vec<RowSlot>,
    ) -> Result<GroupId> {
        let tokens = vec![Token { id: 0, position: 0, kind: 0 }; lens.iter().sum()];
        let last = if leaves { EXIT } else { u32::MAX };
        let rows = Admission {
            input: RowInput::Text { tokens: &tokens, offsets: &lens_to_offsets(lens) },
            stays: &vec![false; lens.len()],
            windows: &vec![ExitWindow { first: 0, last }; lens.len()],
            score: Score::Confidence,
            thresholds: &[2.0, 2.0, 0.0],
        };
        self.device.admit(&rows, slots)
    }

    fn issue(&mut self, op: impl Into<Op>) {
        self.device.issue(&op.into(), BOUND).expect("an op");
    }

    fn norm(&mut self, out: Span) {
        let (scale, shift) = (WeightId(0), WeightId(1));
        self.issue(Norm { x: X, scale, shift, eps: 1e-5, out, width: WIDTH });
    }

    /// What that makes of rows.
    fn normed(&self, values: &[f32]) -> Vec<f64> {
        let values: Vec<f64> = values.iter().copied().map(f64::from).collect();
        reference::norm(&values, &self.scale, &self.shift, 1e-5)
    }

    fn ramp(&mut self) -> Vec<ExitRecord> {
        let head = RampHead {
            weight: WeightId(2),
            bias: WeightId(3),
            classes: 2,
            decision: Decision::Class,
        };
        self.issue(Ramp {
            exit: ExitId(EXIT),
            x: X,
            tokens: RowTokens::Own,
            width: WIDTH,
            norm: None,
            pool: Pool::First,
            hidden: None,
            head: Some(head),
        });
        let mut records = Vec::new();
        self.device.finish().expect("a device");
        self.device.exits(&mut records).expect("records");
        records
    }

    fn read(&mut self, span: Span, len: usize) -> Vec<f32> {
        let mut values = vec![0.0; len];
        self.device.read(span, &mut values).expect("a value");
        values
    }

    fn park(&mut self) {
        self.device.park(Some(&SITE)).expect("a site");
    }

    fn gather(&mut self, groups: &[GroupId]) {
        self.device.gather(groups, &SITE).expect("parked groups");
    }
}

/// Parked values stay what they are, whatever other rows run, and come together in any order.
pub fn values(suite: &Suite) {
    let mut site = Site::new(suite, GROUPS);
    let (first, _, of_first) = site.admit(&[3, 1, 2], false);
    site.park();
    let (second, _, of_second) = site.admit(&[2, 4], false);
    assert_eq!(site.read(X, of_second.len()), of_second);
    site.norm(OTHER);
    let expected = site.normed(&of_second);
    suite.tolerance.check("a value that dies", &site.read(OTHER, of_second.len()), &expected);
    site.norm(X);
    suite.tolerance.check("in place", &site.read(X, of_second.len()), &expected);
    site.park();
    let (third, _, of_third) = site.admit(&[1], false);
    site.park();
    site.gather(&[second, first]);
    let found = site.read(X, of_second.len() + of_first.len());
    suite.tolerance.check("two groups", &found[..of_second.len()], &expected);
    assert_eq!(found[of_second.len()..], of_first);
    site.park();
    site.gather(&[third, second]);
    let found = site.read(X, of_third.len() + found.len());
    assert_eq!(found[..of_third.len()], of_third);
    assert_eq!(found[of_third.len() + of_second.len()..], of_first);
}

/// Rows that have left are dropped when groups come together; their slots and places serve again.
pub fn leavers(suite: &Suite) {
    let mut site = Site::new(suite, GROUPS);
    let (stays, _, of_stays) = site.admit(&[2, 3], false);
    site.park();
    let (leaves, leaving, _) = site.admit(&[4, 1, 2], true);
    let records = site.ramp();
    assert!(records.len() == 3 && records.iter().all(ExitRecord::answers));
    let said = |slot: &RowSlot| site.device.logits(ExitId(EXIT), *slot).len() == 2;
    assert!(leaving.iter().all(said));
    site.park();
    site.gather(&[leaves, stays]);
    assert_eq!(site.read(X, of_stays.len()), of_stays);
    site.device.retire(&leaving).expect("rows");
    assert_eq!(site.device.room(), Room { rows: 4, places: 11, groups: 2 });
    site.park();
    let (others, _, of_others) = site.admit(&[6, 2], false);
    assert_eq!(site.read(X, of_others.len()), of_others, "places in two runs");
    site.park();
    site.gather(&[leaves, others]);
    let records = site.ramp();
    assert_eq!(records.len(), 4, "rows without a record of those before them");
    assert!(!records.iter().any(ExitRecord::answers), "the window of those that left is gone");
    assert_eq!(site.read(X, 13 * WIDTH), [of_stays, of_others].concat());
    site.device.clear();
    assert_eq!(site.device.room(), Room { rows: ROWS, places: TOKENS, groups: GROUPS });
}

/// What cannot be is refused, and changes nothing.
pub fn malformed(suite: &Suite) {
    let mut one = Site::new(suite, 0);
    one.admit(&[2], false);
    assert!(one.device.park(Some(&SITE)).is_err(), "no other group could run");
    assert!(one.try_admit(&[1], false, &mut Vec::new()).is_err(), "one runs");

    let mut site = Site::new(suite, GROUPS);
    let (first, slots, of_first) = site.admit(&[3, 1], false);
    let elsewhere = Compact { x: OTHER, ..SITE };
    assert!(site.device.gather(&[first], &SITE).is_err(), "it runs");
    assert!(site.device.park(Some(&elsewhere)).is_err(), "not resident");
    site.park();
    for groups in [&[][..], &[first, first], &[GroupId(1)], &[GroupId(77)]] {
        assert!(site.device.gather(groups, &SITE).is_err(), "{groups:?}");
    }
    for lens in [&[13][..], &[1, 1, 1, 1, 1]] {
        let refused = site.try_admit(lens, false, &mut Vec::new());
        assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
    }
    assert!(
        site.device.retire(&[RowSlot(5)]).is_err() && site.device.retire(&[RowSlot(9)]).is_err()
    );
    site.gather(&[first]);
    assert_eq!(site.read(X, of_first.len()), of_first);
    site.issue(Narrow { values: [X, OTHER], width: WIDTH });
    assert!(site.device.park(Some(&SITE)).is_err(), "tokens are gone");
    site.device.retire(&slots).expect("rows");
    assert_eq!(site.device.room().groups, GROUPS);
    let alone = site.device.issue(&SITE.into(), BOUND);
    assert!(matches!(alone, Err(Error::Mismatch { .. })), "nobody runs: {alone:?}");
    site.admit(&[2, 1], false);
    site.park();
}
