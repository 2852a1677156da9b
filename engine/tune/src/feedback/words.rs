//! An observation as little-endian words of 32 bits:
//!
//! | word | holds |
//! |---|---|
//! | 0 | kind (1) in the upper, number of ramps seen in the lower 16 bits |
//! | 1 | rows of the pass |
//! | 2, 3 | version of the thresholds, low word first |
//! | 4 | the exit that answered |
//! | 5 | what the full model decided; all ones where it is not known |
//! | 6 | 1 where the row is one of the sample, 0 otherwise |
//! | then, for each ramp seen | ramp, what it decided, score as f32 |

use offramp::{Observation, Seen};

use super::Feedback;

const KIND: u32 = 1;
const UNKNOWN: u32 = u32::MAX;
/// Words before the ramps, and of each ramp.
const HEAD: usize = 7;
const SEEN: usize = 3;

/// Words that `ramps` ramps seen take.
pub(super) fn len(ramps: usize) -> usize {
    HEAD + SEEN * ramps
}

/// The words of an observation, in order.
pub(super) fn encode<'a>(
    observation: &'a Observation<'_>,
    pass_rows: u32,
) -> impl Iterator<Item = u32> + 'a {
    let Observation { seen, exit, final_label, is_sample, version, .. } = observation;
    let head = [
        KIND << 16 | seen.len() as u32,
        pass_rows,
        *version as u32,
        (version >> 32) as u32,
        *exit,
        final_label.unwrap_or(UNKNOWN),
        u32::from(*is_sample),
    ];
    let each = |seen: &'a Seen| [seen.ramp, seen.label, seen.score.to_bits()];
    head.into_iter().chain(seen.iter().flat_map(each))
}

/// How many words an observation takes that begins with `word`, in a model of `ramps` ramps.
pub(super) fn len_of(word: u32, ramps: usize) -> Result<usize, String> {
    let (kind, seen) = (word >> 16, (word & 0xffff) as usize);
    if kind != KIND {
        return Err(format!("a row of kind {kind}, expected {KIND}"));
    }
    if seen > ramps {
        return Err(format!("a row that saw {seen} ramps, expected at most {ramps}"));
    }
    Ok(len(seen))
}

/// Reads the words of one observation, as many as [`len_of`] says.
pub(super) fn decode(words: &[u32], ramps: usize) -> Result<Feedback, String> {
    let (head, rest) = words.split_at(HEAD);
    let seen = rest.chunks_exact(SEEN).map(|words| decode_seen(words, ramps));
    let seen = seen.collect::<Result<Vec<_>, _>>()?;
    if !seen.is_sorted_by(|a, b| a.ramp < b.ramp) {
        return Err("ramps that are not in rising order".to_owned());
    }
    let (exit, sample) = (head[4], head[6]);
    if exit as usize > ramps {
        return Err(format!("exit {exit}, expected at most {ramps}"));
    }
    if sample > 1 {
        return Err(format!("{sample} for one of the sample, expected 0 or 1"));
    }
    Ok(Feedback {
        seen,
        exit,
        final_label: (head[5] != UNKNOWN).then_some(head[5]),
        is_sample: sample == 1,
        version: u64::from(head[3]) << 32 | u64::from(head[2]),
        pass_rows: head[1],
    })
}

fn decode_seen(words: &[u32], ramps: usize) -> Result<Seen, String> {
    let (ramp, label, score) = (words[0], words[1], f32::from_bits(words[2]));
    if ramp as usize >= ramps {
        return Err(format!("ramp {ramp}, expected one below {ramps}"));
    }
    if !(score.is_nan() || (0.0..=1.0).contains(&score)) {
        return Err(format!("score {score} at ramp {ramp}, expected one from 0 to 1"));
    }
    Ok(Seen { ramp, label, score })
}

#[cfg(test)]
mod tests {
    use offramp::RowSlot;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let seen = [0, 2].map(|ramp| Seen { ramp, label: 7 + ramp, score: 0.25 });
        for (final_label, is_sample) in [(Some(9), true), (None, false)] {
            let version = 5 << 40 | 3;
            let slot = RowSlot(1);
            let row =
                Observation { row: 0, slot, seen: &seen, exit: 2, final_label, is_sample, version };
            let words: Vec<u32> = encode(&row, 32).collect();
            assert_eq!(len_of(words[0], 3), Ok(words.len()));
            assert_eq!(decode(&words, 3), Ok(Feedback::of(&row, 32)));
            assert!(len_of(words[0], 1).is_err() && decode(&words, 2).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_words_are_a_surprise(mut words in prop::collection::vec(any::<u32>(), 16)) {
            words[0] = (KIND << 16) | (words[0] % 4);
            words[6] %= 3;
            let len = len_of(words[0], 3).unwrap();
            if let Ok(row) = decode(&words[..len], 3) {
                prop_assert!(row.exit <= 3 && row.seen.len() <= 3);
            }
        }
    }
}
