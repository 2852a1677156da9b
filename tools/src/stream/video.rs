//! The stream itself, frame by frame. All randomness comes from one seed, and arithmetic is that
//! of IEEE 754 without its transcendental functions: the same bytes on every machine.

use fastrand::Rng;

use super::album::Album;
use super::light::{Light, Lighting, Reach};
use super::paint::{View, paint};
use super::scenes::{Scene, scenes};
use super::shot::{Shot, is_over};

/// What a stream is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) seed: u64,
    pub(crate) frames: u32,
    /// At most; with a cut at least two.
    pub(crate) scenes: u32,
    /// The first frame of the second part; neither the first nor beyond the last.
    pub(crate) cut: Option<u32>,
    /// Mean length of a shot.
    pub(crate) shot_frames: u32,
    /// Furthest that a picture moves, pixels.
    pub(crate) jitter: i32,
    /// Whether pictures are mirrored from the cut on.
    pub(crate) mirrors: bool,
    pub(crate) reach: Reach,
}

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Frame {
    /// Bytes `[height, width]`.
    pub(crate) pixels: Vec<u8>,
    /// Index of its class in the album.
    pub(crate) class: usize,
    /// Index of its scene.
    pub(crate) scene: usize,
    /// Whether a shot begins.
    pub(crate) is_first_of_shot: bool,
    pub(crate) light: Light,
}

/// The frames of a stream, in order.
pub(crate) struct Video<'a> {
    album: &'a Album,
    settings: Settings,
    scenes: Vec<Scene>,
    /// Index of the next frame and of its scene.
    frame: u32,
    scene: usize,
    shot: Option<Shot>,
    lighting: Lighting,
    dice: Dice,
}

/// One for each matter: another noise leaves the shots as they are.
struct Dice {
    shots: Rng,
    light: Rng,
    noise: Rng,
}

impl<'a> Video<'a> {
    /// A stream of pictures of an album that has some.
    pub(crate) fn new(album: &'a Album, settings: Settings) -> Self {
        let mut rng = Rng::with_seed(settings.seed);
        let dice = Dice { shots: rng.fork(), light: rng.fork(), noise: rng.fork() };
        let Settings { frames, scenes: count, cut, reach, .. } = settings;
        let scenes = scenes(frames, count, cut, album.classes.len(), &mut rng);
        let lighting = Lighting::new(reach);
        Self { album, settings, scenes, frame: 0, scene: 0, shot: None, lighting, dice }
    }

    pub(crate) fn scenes(&self) -> &[Scene] {
        &self.scenes
    }

    /// Goes on to the scene of the next frame; the cut ends the shot and changes the light.
    fn enter_scene(&mut self) {
        if self.frame == self.scenes[self.scene].frames.end {
            self.scene += 1;
        }
        if self.settings.cut == Some(self.frame) {
            self.shot = None;
            self.lighting.cut(&mut self.dice.light);
        }
    }

    /// The shot that goes on, swayed, or a new one.
    fn next_shot(&mut self) -> Shot {
        match self.shot.take() {
            Some(mut shot) => {
                shot.sway(self.settings.jitter, &mut self.dice.shots);
                shot
            }
            None => {
                let mix = self.scenes[self.scene].mix_at(self.frame);
                Shot::start(self.album, &mix, &mut self.dice.shots)
            }
        }
    }

    fn painted(&mut self, shot: &Shot, light: &Light) -> Vec<u8> {
        let is_after_cut = self.settings.cut.is_some_and(|cut| self.frame >= cut);
        let view = View { shift: shot.shift, is_mirrored: self.settings.mirrors && is_after_cut };
        let picture = &self.album.classes[shot.class].pictures[shot.picture];
        paint(picture, self.album.sides, view, light, &mut self.dice.noise)
    }
}

impl Iterator for Video<'_> {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        if self.frame == self.settings.frames {
            return None;
        }
        self.enter_scene();
        let is_first_of_shot = self.shot.is_none();
        let shot = self.next_shot();
        let light = self.lighting.next(&mut self.dice.light);
        let pixels = self.painted(&shot, &light);
        let (class, scene) = (shot.class, self.scene);
        self.shot = (!is_over(self.settings.shot_frames, &mut self.dice.shots)).then_some(shot);
        self.frame += 1;
        Some(Frame { pixels, class, scene, is_first_of_shot, light })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::album;

    const SETTINGS: Settings = Settings {
        seed: 7,
        frames: 2000,
        scenes: 8,
        cut: Some(1000),
        shot_frames: 12,
        jitter: 1,
        mirrors: false,
        reach: Reach { brightness: 0.4, contrast: 0.2, noise: 8.0 },
    };

    fn frames(album: &Album, settings: Settings) -> Vec<Frame> {
        Video::new(album, settings).collect()
    }

    /// Pictures that a shift of a pixel changes little.
    fn smooth(classes: u8) -> Album {
        let mut album = album::noise(classes, 6, [8, 8]);
        for picture in album.classes.iter_mut().flat_map(|class| &mut class.pictures) {
            let (down, right) = (i32::from(picture[0] % 21) - 10, i32::from(picture[1] % 21) - 10);
            for (index, pixel) in picture.iter_mut().enumerate() {
                let (y, x) = (index as i32 / 8 - 4, index as i32 % 8 - 4);
                *pixel = (128 + down * y + right * x) as u8;
            }
        }
        album
    }

    fn distance(a: &Frame, b: &Frame) -> f64 {
        let levels = a.pixels.iter().zip(&b.pixels).map(|(a, b)| f64::from(a.abs_diff(*b)));
        levels.sum::<f64>() / a.pixels.len() as f64
    }

    #[test]
    fn a_seed_decides_every_byte() {
        let album = album::noise(3, 4, [5, 6]);
        let made = frames(&album, SETTINGS);
        assert_eq!(made.len(), 2000);
        assert_eq!(made, frames(&album, SETTINGS));
        let other = frames(&album, Settings { seed: 8, ..SETTINGS });
        assert!(made.iter().zip(&other).filter(|(a, b)| a.pixels == b.pixels).count() < 10);
    }

    #[test]
    fn labels_follow_the_frames() {
        let album = album::noise(3, 4, [5, 6]);
        let reach = Reach { brightness: 0.0, contrast: 0.0, noise: 0.0 };
        let plain = Settings { jitter: 0, reach, ..SETTINGS };
        for frame in frames(&album, plain) {
            assert!(album.classes[frame.class].pictures.contains(&frame.pixels));
        }
    }

    #[test]
    fn frames_of_a_shot_are_closer_than_those_of_two() {
        let made = frames(&smooth(4), SETTINGS);
        let (across, within): (Vec<_>, Vec<_>) =
            made.windows(2).partition(|two| two[1].is_first_of_shot);
        let mean = |pairs: &[&[Frame]]| {
            pairs.iter().map(|two| distance(&two[0], &two[1])).sum::<f64>() / pairs.len() as f64
        };
        assert!(within.len() > 8 * across.len() && !across.is_empty());
        assert!(mean(&within) * 2.0 < mean(&across), "{} {}", mean(&within), mean(&across));
        assert!(within.iter().all(|two| two[0].class == two[1].class));
    }

    #[test]
    fn the_cut_changes_classes_light_and_side_at_once() {
        let album = album::noise(6, 9, [5, 6]);
        let made = frames(&album, SETTINGS);
        assert!(made[1000].is_first_of_shot);
        let jump = (made[1000].light.brightness - made[999].light.brightness).abs();
        assert!(jump > 0.15, "{jump}");
        let shares = |part: &[Frame]| {
            let count = |class| part.iter().filter(|frame| frame.class == class).count();
            (0..6).map(|class| count(class) as f64 / part.len() as f64).collect::<Vec<_>>()
        };
        let (before, after) = (shares(&made[750..1000]), shares(&made[1000..1250]));
        let moved: f64 = before.iter().zip(&after).map(|(a, b)| (a - b).abs()).sum();
        assert!(moved > 0.5, "{before:?} {after:?}");
        let mirrored = frames(&album, Settings { mirrors: true, ..SETTINGS });
        assert_eq!(made[..1000], mirrored[..1000]);
        assert!(made[1000..].iter().zip(&mirrored[1000..]).all(|(a, b)| a.pixels != b.pixels));
    }

    #[test]
    fn without_a_cut_nothing_jumps() {
        let album = album::noise(6, 9, [5, 6]);
        let made = frames(&album, Settings { cut: None, mirrors: true, ..SETTINGS });
        let mut steps =
            made.windows(2).map(|two| two[1].light.brightness - two[0].light.brightness);
        assert!(steps.all(|step| step.abs() < 0.01));
    }

    #[test]
    fn other_noise_leaves_the_shots_as_they_are() {
        let album = album::noise(3, 4, [5, 6]);
        let quiet = Reach { noise: 0.0, ..SETTINGS.reach };
        let (loud, quiet) =
            (frames(&album, SETTINGS), frames(&album, Settings { reach: quiet, ..SETTINGS }));
        let same = |(a, b): (&Frame, &Frame)| {
            (a.class, a.is_first_of_shot) == (b.class, b.is_first_of_shot)
        };
        assert!(loud.iter().zip(&quiet).all(same));
    }
}
