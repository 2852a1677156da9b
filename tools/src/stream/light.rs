//! Light and noise of a stream over time.

use fastrand::Rng;

use super::walk::Walk;

/// How a frame is lit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Light {
    /// Factor of all pixels.
    pub(crate) brightness: f32,
    /// Factor of the differences from the picture's mean.
    pub(crate) contrast: f32,
    /// Largest noise of a pixel, in levels of 255.
    pub(crate) noise: f32,
}

/// How far light may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reach {
    /// Most distance of the brightness from 1.
    pub(crate) brightness: f32,
    /// Most distance of the contrast from 1.
    pub(crate) contrast: f32,
    /// Most noise, in levels of 255.
    pub(crate) noise: f32,
}

/// Light as it changes, frame by frame.
pub(super) struct Lighting {
    reach: Reach,
    /// 0 up to the cut, -1 or 1 after it.
    side: f32,
    brightness: Walk,
    contrast: Walk,
    noise: Walk,
}

impl Lighting {
    pub(super) fn new(reach: Reach) -> Self {
        let [brightness, contrast, noise] = [Walk::default(); 3];
        Self { reach, side: 0.0, brightness, contrast, noise }
    }

    /// Darker or brighter at once, and for good.
    pub(super) fn cut(&mut self, rng: &mut Rng) {
        self.side = if rng.bool() { 1.0 } else { -1.0 };
    }

    /// The light of the next frame. The walk takes half of the brightness's reach, the cut the
    /// other half.
    pub(super) fn next(&mut self, rng: &mut Rng) -> Light {
        let Reach { brightness, contrast, noise } = self.reach;
        Light {
            brightness: 1.0 + brightness * (self.side + self.brightness.step(rng)) / 2.0,
            contrast: 1.0 + contrast * self.contrast.step(rng),
            noise: noise * (1.0 + self.noise.step(rng)) / 2.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REACH: Reach = Reach { brightness: 0.4, contrast: 0.2, noise: 8.0 };

    #[test]
    fn light_stays_in_bounds() {
        for seed in 0..20 {
            let (mut lighting, mut rng) = (Lighting::new(REACH), Rng::with_seed(seed));
            for frame in 0..4000 {
                if frame == 2000 {
                    lighting.cut(&mut rng);
                }
                let light = lighting.next(&mut rng);
                assert!((light.brightness - 1.0).abs() <= 0.4 + 1e-6, "{light:?}");
                assert!((light.contrast - 1.0).abs() <= 0.2 + 1e-6, "{light:?}");
                assert!((0.0..=8.0).contains(&light.noise), "{light:?}");
            }
        }
    }

    #[test]
    fn the_cut_makes_it_darker_or_brighter_at_once() {
        let mut signs = Vec::new();
        for seed in 0..20 {
            let (mut lighting, mut rng) = (Lighting::new(REACH), Rng::with_seed(seed));
            let before = lighting.next(&mut rng).brightness;
            lighting.cut(&mut rng);
            let change = lighting.next(&mut rng).brightness - before;
            assert!((change.abs() - 0.2).abs() < 0.01, "{change}");
            signs.push(change > 0.0);
        }
        assert!(signs.contains(&true) && signs.contains(&false));
    }
}
