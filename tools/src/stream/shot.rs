//! A shot: one picture for some frames, held by an unsteady hand.

use fastrand::Rng;

use super::album::Album;
use super::mix::Mix;

/// The picture that is shown.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shot {
    /// Index of its class in the album.
    pub(super) class: usize,
    /// Index of the picture in its class.
    pub(super) picture: usize,
    /// How far it is moved down and to the right, pixels.
    pub(super) shift: [i32; 2],
}

impl Shot {
    /// A picture of a class that `mix` draws.
    pub(super) fn start(album: &Album, mix: &Mix, rng: &mut Rng) -> Self {
        let class = mix.draw(rng);
        let count = album.classes[class].pictures.len() as u64;
        Self { class, picture: rng.u64(0..count) as usize, shift: [0; 2] }
    }

    /// Moves by at most a pixel each way, and never further than `jitter` from the middle.
    pub(super) fn sway(&mut self, jitter: i32, rng: &mut Rng) {
        for side in &mut self.shift {
            let step = [-1, 1, 0, 0][rng.u8(0..4) as usize];
            *side = (*side + step).clamp(-jitter, jitter);
        }
    }
}

/// Whether a shot ends after a frame: lengths are geometric with this mean.
pub(super) fn is_over(frames_mean: u32, rng: &mut Rng) -> bool {
    rng.u32(0..frames_mean) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::album;

    #[test]
    fn shots_are_as_long_as_asked_on_average() {
        let mut rng = Rng::with_seed(4);
        for mean in [1, 3, 12] {
            let ends = (0..60_000).filter(|_| is_over(mean, &mut rng)).count();
            let found = 60_000.0 / ends as f64;
            assert!((found / f64::from(mean) - 1.0).abs() < 0.05, "{mean}: {found}");
        }
    }

    #[test]
    fn a_hand_sways_by_pixels_and_within_bounds() {
        let (album, mut rng) = (album::noise(2, 3, [2, 2]), Rng::with_seed(4));
        let mut shot = Shot::start(&album, &Mix::random(2, &mut rng), &mut rng);
        let (mut last, mut furthest) = (shot.shift, 0);
        for _ in 0..500 {
            shot.sway(2, &mut rng);
            for (now, last) in shot.shift.iter().zip(last) {
                assert!(now.abs() <= 2 && (now - last).abs() <= 1);
                furthest = furthest.max(now.abs());
            }
            last = shot.shift;
        }
        assert_eq!(furthest, 2);
        shot.sway(0, &mut rng);
        assert_eq!(shot.shift, [0, 0]);
    }
}
