//! Small random rotations, scalings, shears and shifts.

use crate::random::Random;

/// The largest changes of an image; each image gets uniform random ones up to these.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Augmentation {
    /// Rotation in degrees, both ways.
    pub rotation: f32,
    /// Relative change of height and of width, independent of each other: 0.1 is 0.9 to 1.1.
    pub scaling: f32,
    /// Horizontal shear: pixels sideways per pixel down, both ways.
    pub shear: f32,
    /// Shift in pixels, in each direction.
    pub shift: f32,
}

impl Augmentation {
    /// No change at all.
    pub const NONE: Self = Self { rotation: 0.0, scaling: 0.0, shear: 0.0, shift: 0.0 };
}

/// Draws a random affine map and hands each pixel of the changed image to `put`, in row order, as
/// a whole grey level from 0 to 255. Interpolation is bilinear; outside of the image is black.
///
/// # Panics
/// When `image` does not have `height * width` pixels.
pub fn augment(
    image: &[u8],
    [height, width]: [usize; 2],
    limits: &Augmentation,
    random: &mut Random,
    mut put: impl FnMut(usize, f32),
) {
    assert_eq!(image.len(), height * width);
    if *limits == Augmentation::NONE {
        for (index, &pixel) in image.iter().enumerate() {
            put(index, f32::from(pixel));
        }
        return;
    }
    let mut draw = |limit: f32| random.between(-limit, limit);
    let angle = draw(limits.rotation).to_radians();
    let (sin, cos) = (libm::sinf(angle), libm::cosf(angle));
    let (scale_y, scale_x) = (1.0 + draw(limits.scaling), 1.0 + draw(limits.scaling));
    let shear = draw(limits.shear);
    let (shift_y, shift_x) = (draw(limits.shift), draw(limits.shift));
    // From a pixel of the result to its place in the image, around the centre.
    let (yy, yx) = (cos / scale_y, -sin / scale_y);
    let (xy, xx) = ((sin + shear * cos) / scale_x, (cos - shear * sin) / scale_x);
    let (centre_y, centre_x) = ((height - 1) as f32 / 2.0, (width - 1) as f32 / 2.0);
    let pixel = |y: i32, x: i32| {
        if (0..height as i32).contains(&y) && (0..width as i32).contains(&x) {
            f32::from(image[y as usize * width + x as usize])
        } else {
            0.0
        }
    };
    for row in 0..height {
        let dy = row as f32 - centre_y - shift_y;
        for column in 0..width {
            let dx = column as f32 - centre_x - shift_x;
            let y = yy * dy + yx * dx + centre_y;
            let x = xy * dy + xx * dx + centre_x;
            let (top, left) = (floor(y), floor(x));
            let (fy, fx) = (y - top as f32, x - left as f32);
            let above = pixel(top, left) * (1.0 - fx) + pixel(top, left + 1) * fx;
            let below = pixel(top + 1, left) * (1.0 - fx) + pixel(top + 1, left + 1) * fx;
            let value = above * (1.0 - fy) + below * fy;
            put(row * width + column, round(value));
        }
    }
}

/// Rounds down, except that a negative whole number may lose 1, which interpolation does not
/// notice. (`f32::floor` and `f32::round` are function calls on plain x86-64.)
fn floor(value: f32) -> i32 {
    value as i32 - i32::from(value < 0.0)
}

/// The nearest whole number, ties to even, for values from 0 to 2^22: adding 1.5 * 2^23 leaves no
/// bits for a fraction.
fn round(value: f32) -> f32 {
    const WHOLE: f32 = 12_582_912.0;
    (value + WHOLE) - WHOLE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(image: &[u8], size: [usize; 2], limits: Augmentation, seed: u64) -> Vec<f32> {
        let mut result = vec![f32::NAN; image.len()];
        augment(image, size, &limits, &mut Random::new(seed, 0), |i, value| {
            result[i] = value;
        });
        result
    }

    /// Mass, and the centre of mass (y, x) of an image.
    fn centre(image: &[f32], width: usize) -> (f32, [f32; 2]) {
        let mass: f32 = image.iter().sum();
        let mut centre = [0.0; 2];
        for (i, &value) in image.iter().enumerate() {
            centre[0] += (i / width) as f32 * value / mass;
            centre[1] += (i % width) as f32 * value / mass;
        }
        (mass, centre)
    }

    /// A 21x25 image with a bright square of 5x5 whose centre is at (y, x).
    fn square(y: usize, x: usize) -> Vec<u8> {
        let mut image = vec![0; 21 * 25];
        for row in y - 2..=y + 2 {
            image[row * 25 + x - 2..][..5].fill(200);
        }
        image
    }

    #[test]
    fn nothing_changes_without_limits() {
        let image: Vec<u8> = (0..12).map(|i| i * 20).collect();
        let same = apply(&image, [3, 4], Augmentation::NONE, 1);
        assert_eq!(same, image.iter().map(|&p| f32::from(p)).collect::<Vec<_>>());
    }

    #[test]
    fn shifts_move_the_centre_up_to_the_limit() {
        let limits = Augmentation { shift: 3.0, ..Augmentation::NONE };
        let mut furthest = 0.0_f32;
        for seed in 0..50 {
            let (mass, [y, x]) = centre(&apply(&square(10, 12), [21, 25], limits, seed), 25);
            assert!((mass / 5000.0 - 1.0).abs() < 0.01, "bilinear shifts keep the mass");
            furthest = furthest.max((y - 10.0).abs()).max((x - 12.0).abs());
        }
        assert!((2.7..=3.05).contains(&furthest), "{furthest}");
    }

    #[test]
    fn rotations_turn_around_the_centre() {
        let limits = Augmentation { rotation: 20.0, ..Augmentation::NONE };
        let mut largest = 0.0_f32;
        for seed in 0..50 {
            // Seven pixels right of the centre of the image.
            let (_, [y, x]) = centre(&apply(&square(10, 19), [21, 25], limits, seed), 25);
            let (dy, dx) = (y - 10.0, x - 12.0);
            assert!((dy.hypot(dx) - 7.0).abs() < 0.1, "{dy} {dx}");
            largest = largest.max(dy.atan2(dx).abs().to_degrees());
        }
        assert!((18.0..=20.5).contains(&largest), "{largest}");
    }

    #[test]
    fn scaling_changes_the_area() {
        let limits = Augmentation { scaling: 0.2, ..Augmentation::NONE };
        let mut extremes = [f32::MAX, 0.0_f32];
        for seed in 0..80 {
            let (mass, [y, x]) = centre(&apply(&square(10, 12), [21, 25], limits, seed), 25);
            assert!((y - 10.0).abs() < 0.05 && (x - 12.0).abs() < 0.05);
            extremes = [extremes[0].min(mass / 5000.0), extremes[1].max(mass / 5000.0)];
        }
        assert!((0.62..0.75).contains(&extremes[0]), "{extremes:?}");
        assert!((1.3..1.46).contains(&extremes[1]), "{extremes:?}");
    }
}
