//! What a scene was like, for the file beside the stream.

use std::collections::BTreeMap;

use serde::Serialize;

use super::album::Album;
use super::scenes::Scene;
use super::video::Frame;

/// One line of the file.
#[derive(Serialize, Debug)]
pub(super) struct Record {
    scene: usize,
    first_frame: u32,
    frames: u32,
    /// Whether the scene begins with the cut.
    cut: bool,
    shots: u32,
    /// Shares that classes were drawn by at the first frame, by the name of the class.
    mix: BTreeMap<String, f64>,
    /// Frames of each class.
    shown: BTreeMap<String, u32>,
    /// Means over the frames.
    brightness: f64,
    contrast: f64,
    noise: f64,
}

/// Counts what the frames of a stream show.
pub(super) struct Recorder(Vec<Tally>);

/// Sums over the frames of a scene.
struct Tally {
    shots: u32,
    shown: Vec<u32>,
    brightness: f64,
    contrast: f64,
    noise: f64,
}

impl Recorder {
    pub(super) fn new(scenes: usize, classes: usize) -> Self {
        let tally = || Tally {
            shots: 0,
            shown: vec![0; classes],
            brightness: 0.0,
            contrast: 0.0,
            noise: 0.0,
        };
        Self((0..scenes).map(|_| tally()).collect())
    }

    pub(super) fn add(&mut self, frame: &Frame) {
        let tally = &mut self.0[frame.scene];
        tally.shots += u32::from(frame.is_first_of_shot);
        tally.shown[frame.class] += 1;
        tally.brightness += f64::from(frame.light.brightness);
        tally.contrast += f64::from(frame.light.contrast);
        tally.noise += f64::from(frame.light.noise);
    }

    pub(super) fn shots(&self) -> u32 {
        self.0.iter().map(|tally| tally.shots).sum()
    }

    /// One record a scene.
    pub(super) fn records(&self, scenes: &[Scene], album: &Album) -> Vec<Record> {
        let both = scenes.iter().zip(&self.0).enumerate();
        both.map(|(index, (scene, tally))| tally.record(index, scene, album)).collect()
    }
}

impl Tally {
    fn record(&self, index: usize, scene: &Scene, album: &Album) -> Record {
        let frames = scene.frames.end - scene.frames.start;
        let mean = |sum: f64| rounded(sum / f64::from(frames));
        let shares = scene.from.shares().iter().map(|&share| rounded(f64::from(share)));
        Record {
            scene: index,
            first_frame: scene.frames.start,
            frames,
            cut: scene.is_cut,
            shots: self.shots,
            mix: by_name(album, shares),
            shown: by_name(album, self.shown.iter().copied()),
            brightness: mean(self.brightness),
            contrast: mean(self.contrast),
            noise: mean(self.noise),
        }
    }
}

fn by_name<T>(album: &Album, values: impl Iterator<Item = T>) -> BTreeMap<String, T> {
    album.classes.iter().map(|class| class.name.clone()).zip(values).collect()
}

/// To four decimals.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;
    use crate::stream::light::Light;
    use crate::stream::{album, scenes};

    #[test]
    fn a_record_tells_what_was_shown() {
        let album = album::noise(2, 1, [1, 1]);
        let scenes = scenes::scenes(5, 2, Some(2), 2, &mut Rng::with_seed(1));
        let mut recorder = Recorder::new(2, 2);
        for (scene, class, brightness) in [(0, 1, 0.5), (0, 1, 1.0), (1, 0, 2.0)] {
            let light = Light { brightness, contrast: 1.0, noise: 4.0 };
            let is_first_of_shot = brightness != 1.0;
            recorder.add(&Frame { pixels: vec![0], class, scene, is_first_of_shot, light });
        }
        let records = recorder.records(&scenes, &album);
        let (first, second) = (&records[0], &records[1]);
        assert_eq!((first.first_frame, first.frames, first.cut, first.shots), (0, 2, false, 1));
        assert_eq!((first.brightness, first.contrast, first.noise), (0.75, 1.0, 4.0));
        assert_eq!((first.shown["class 0"], first.shown["class 1"]), (0, 2));
        assert_eq!((second.first_frame, second.frames, second.cut), (2, 3, true));
        assert!((second.mix.values().sum::<f64>() - 1.0).abs() < 1e-3);
        assert_eq!(recorder.shots(), 2);
    }
}
