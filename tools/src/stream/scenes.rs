//! Scenes: stretches of a stream, each on its way from one mix of classes to another.

use std::ops::Range;

use fastrand::Rng;

use super::mix::Mix;

/// A stretch of frames.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scene {
    /// Its frames, from 0 at the start of the stream; not empty.
    pub(crate) frames: Range<u32>,
    /// The mix at its first frame.
    pub(crate) from: Mix,
    /// The mix that the next scene begins with, unless it begins with the cut.
    pub(crate) to: Mix,
    /// Whether it begins with the cut.
    pub(crate) is_cut: bool,
}

impl Scene {
    /// The mix at one of its frames.
    pub(super) fn mix_at(&self, frame: u32) -> Mix {
        let (done, of) = (frame - self.frames.start, self.frames.end - self.frames.start);
        self.from.towards(&self.to, done as f32 / of as f32)
    }
}

/// The frame at `share` of the stream; none where nothing would lie on one side of it.
pub(crate) fn cut_frame(frames: u32, share: f64) -> Option<u32> {
    let frame = (f64::from(frames) * share) as u32;
    (1..frames).contains(&frame).then_some(frame)
}

/// At most `count` scenes over `frames`, about as long as each other; one begins with the cut.
/// With a cut there are at least two of both.
pub(super) fn scenes(
    frames: u32,
    count: u32,
    cut: Option<u32>,
    classes: usize,
    rng: &mut Rng,
) -> Vec<Scene> {
    let count = count.min(frames);
    let Some(cut) = cut else {
        return drift(0..frames, count, Mix::random(classes, rng), rng);
    };
    let before = (u64::from(count) * u64::from(cut) / u64::from(frames)).max(1) as u32;
    let mut scenes = drift(0..cut, before, Mix::random(classes, rng), rng);
    let start = scenes[scenes.len() - 1].to.upended();
    let mut after = drift(cut..frames, count - before, start, rng);
    after[0].is_cut = true;
    scenes.append(&mut after);
    scenes
}

/// Scenes over `frames` in which the mix moves on from `from` without a jump.
fn drift(frames: Range<u32>, count: u32, mut from: Mix, rng: &mut Rng) -> Vec<Scene> {
    let length = u64::from(frames.end - frames.start);
    let border = |index: u32| frames.start + (length * u64::from(index) / u64::from(count)) as u32;
    let scene = |index: u32| {
        let to = Mix::random(from.shares().len(), rng);
        let from = std::mem::replace(&mut from, to.clone());
        Scene { frames: border(index)..border(index + 1), from, to, is_cut: false }
    };
    (0..count).map(scene).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(frames: u32, count: u32, cut: Option<u32>) -> Vec<Scene> {
        scenes(frames, count, cut, 4, &mut Rng::with_seed(3))
    }

    #[test]
    fn scenes_cover_the_stream_and_the_cut_is_a_border() {
        let cases = [
            (100, 8, Some(50)),
            (9, 8, Some(1)),
            (9, 8, Some(8)),
            (2, 8, Some(1)),
            (1000, 2, Some(999)),
            (7, 3, None),
            (1, 8, None),
        ];
        for (frames, count, cut) in cases {
            let scenes = made(frames, count, cut);
            assert_eq!(scenes.len() as u32, count.min(frames));
            assert_eq!((scenes[0].frames.start, scenes[scenes.len() - 1].frames.end), (0, frames));
            assert!(scenes.iter().all(|scene| !scene.frames.is_empty()), "{frames} {count}");
            assert!(scenes.windows(2).all(|two| two[0].frames.end == two[1].frames.start));
            let first_after = scenes.iter().find(|scene| scene.is_cut);
            assert_eq!(first_after.map(|scene| scene.frames.start), cut);
        }
    }

    #[test]
    fn the_mix_moves_on_without_a_jump_but_at_the_cut() {
        let scenes = made(1000, 8, Some(500));
        for two in scenes.windows(2) {
            assert_eq!(two[1].from == two[0].to, !two[1].is_cut);
            assert_eq!(two[1].mix_at(two[1].frames.start), two[1].from);
        }
        let near =
            |a: &Mix, b: &Mix| a.shares().iter().zip(b.shares()).all(|(a, b)| (a - b).abs() < 0.02);
        let mix = |frame: u32| scenes[frame as usize / 125].mix_at(frame);
        assert!((0..999).all(|frame| near(&mix(frame), &mix(frame + 1)) || frame == 499));
    }

    #[test]
    fn a_cut_has_frames_on_both_sides() {
        assert_eq!(cut_frame(300, 0.5), Some(150));
        assert_eq!([cut_frame(300, 0.0), cut_frame(300, 1.0), cut_frame(1, 0.5)], [None; 3]);
    }
}
