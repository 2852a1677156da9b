//! One frame of a picture: moved, mirrored, lit, and noisy.

use fastrand::Rng;

use super::light::Light;

/// Where the camera is.
#[derive(Clone, Copy, Debug)]
pub(super) struct View {
    /// How far the picture is moved down and to the right, pixels.
    pub(super) shift: [i32; 2],
    /// Whether left is right.
    pub(super) is_mirrored: bool,
}

/// Pixels of a frame of `picture`, both `[height, width]`. Brightness, then contrast about the
/// mean, as torchvision's `ColorJitter` does, then triangular noise.
pub(super) fn paint(
    picture: &[u8],
    sides: [usize; 2],
    view: View,
    light: &Light,
    rng: &mut Rng,
) -> Vec<u8> {
    let sum: u64 = picture.iter().copied().map(u64::from).sum();
    let mean = light.brightness * (sum as f32 / picture.len() as f32);
    let slope = light.brightness * light.contrast;
    let level = mean - light.contrast * mean;
    let lit = |index: usize| f32::from(picture[index]) * slope + level;
    let noisy = |value: f32| value + light.noise * triangular(rng);
    // A cast to bytes stays within them.
    sources(sides, view).map(lit).map(noisy).map(|value| (value + 0.5) as u8).collect()
}

/// Indexes of the picture's pixels in the order of the frame's; the picture's border goes on.
fn sources([height, width]: [usize; 2], view: View) -> impl Iterator<Item = usize> {
    let [down, right] = view.shift;
    (0..height * width).map(move |index| {
        let (y, x) = (index / width, index % width);
        let x = moved(x, right, width);
        let x = if view.is_mirrored { width - 1 - x } else { x };
        moved(y, down, height) * width + x
    })
}

/// The place that moves by `shift` to come to `to`.
fn moved(to: usize, shift: i32, side: usize) -> usize {
    (to as i64 - i64::from(shift)).clamp(0, side as i64 - 1) as usize
}

/// Above -1 and below 1, most often near 0.
fn triangular(rng: &mut Rng) -> f32 {
    let bits = rng.u32(..);
    let (high, low) = ((bits >> 16) as f32, (bits & 0xffff) as f32);
    (high - low) / 65_536.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVEN: Light = Light { brightness: 1.0, contrast: 1.0, noise: 0.0 };
    const PICTURE: [u8; 6] = [10, 20, 30, 40, 50, 60];

    fn painted(shift: [i32; 2], is_mirrored: bool, light: Light) -> Vec<u8> {
        let view = View { shift, is_mirrored };
        paint(&PICTURE, [2, 3], view, &light, &mut Rng::with_seed(1))
    }

    #[test]
    fn pictures_move_and_their_border_goes_on() {
        assert_eq!(painted([0, 0], false, EVEN), PICTURE);
        assert_eq!(painted([0, 1], false, EVEN), [10, 10, 20, 40, 40, 50]);
        assert_eq!(painted([-1, 0], false, EVEN), [40, 50, 60, 40, 50, 60]);
        assert_eq!(painted([9, -9], false, EVEN), [30; 6]);
        assert_eq!(painted([0, 0], true, EVEN), [30, 20, 10, 60, 50, 40]);
        assert_eq!(painted([0, 1], true, EVEN), [30, 30, 20, 60, 60, 50]);
    }

    #[test]
    fn light_scales_and_bytes_saturate() {
        let lit = |brightness, contrast| {
            painted([0, 0], false, Light { brightness, contrast, noise: 0.0 })
        };
        assert_eq!(lit(0.5, 1.0), [5, 10, 15, 20, 25, 30]);
        assert_eq!(lit(1.0, 0.0), [35; 6]);
        assert_eq!(lit(1.0, 2.0), [0, 5, 25, 45, 65, 85]);
        assert_eq!(lit(9.0, 1.0), [90, 180, 255, 255, 255, 255]);
    }

    #[test]
    fn noise_is_as_large_as_said() {
        let grey = vec![100; 10_000];
        let (light, view) =
            (Light { noise: 8.0, ..EVEN }, View { shift: [0; 2], is_mirrored: false });
        let noisy = paint(&grey, [100, 100], view, &light, &mut Rng::with_seed(1));
        let (least, most) = (noisy.iter().min().unwrap(), noisy.iter().max().unwrap());
        assert!((92..=94).contains(least) && (106..=108).contains(most), "{least} {most}");
        let mean = noisy.iter().copied().map(f64::from).sum::<f64>() / 1e4;
        assert!((mean - 100.0).abs() < 0.2, "{mean}");
    }
}
