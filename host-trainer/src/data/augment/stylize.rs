//! Another texture on the same shape.

use super::geometric::always;
use super::{Picture, filter};
use crate::random::Random;
use serde::{Deserialize, Serialize};

/// Replaces texture and keeps shape, so that a network cannot rely on texture (the aim of R. Geirhos et al.,
/// *ImageNet-trained CNNs are biased towards texture*, 2019, who used a style transfer network).
///
/// Here each image is divided by an edge-preserving smoothing, the guided filter with the image as its own guide (K. He,
/// J. Sun and X. Tang, *Guided Image Filtering*, 2010), into its structure, which has the outlines and shades, and its
/// texture, the rest. The result is the structure of the image with the texture of another one, which is moved around
/// its edges and mirrored at random. The mean and deviation of each channel of the structure may go towards the other
/// image's (E. Reinhard et al., *Color Transfer between Images*, 2001).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stylization {
    /// Probability that an image is changed.
    pub probability: f32,
    /// The share of the texture that is replaced.
    #[serde(default = "always")]
    pub texture: f32,
    /// The share of the way that mean and deviation of each channel go to the other image's.
    #[serde(default)]
    pub colour: f32,
    /// Radius in pixels of the filter's window: details up to about this size are texture.
    #[serde(default = "two")]
    pub radius: usize,
}

fn two() -> usize {
    2
}

/// Deviation in levels within a window from which on the filter takes it for an edge.
const EDGE: f32 = 30.0;

/// Gives `picture` the texture of `style`, which is used up.
pub(super) fn replace_texture(
    picture: &mut Picture,
    style: &mut Picture,
    stylization: &Stylization,
    scratch: &mut Vec<f32>,
    random: &mut Random,
) {
    let structure = structure(picture, stylization.radius, scratch);
    let style_structure = self::structure(style, stylization.radius, scratch);
    let channels = picture.channels;
    // The structure's values times a factor and plus an offset.
    let colours: Vec<[f32; 2]> = (0..channels)
        .map(|channel| {
            let (mean, deviation) = moments(&structure, channel, channels);
            let (style_mean, style_deviation) = moments(&style_structure, channel, channels);
            let share = stylization.colour;
            let factor = 1.0 - share + share * style_deviation / deviation.max(1.0);
            [factor, mean + share * (style_mean - mean) - factor * mean]
        })
        .collect();
    let (height, width) = (picture.height, picture.width);
    let [down, right] = [random.below(height), random.below(width)];
    let [flip_y, flip_x] = [random.chance(0.5), random.chance(0.5)];
    let row = picture.row_len();
    for y in 0..height {
        let moved = (y + down) % height;
        let style_y = if flip_y { height - 1 - moved } else { moved };
        for x in 0..width {
            let moved = (x + right) % width;
            let style_x = if flip_x { width - 1 - moved } else { moved };
            for (channel, [factor, offset]) in colours.iter().enumerate() {
                let place = y * row + x * channels + channel;
                let style_place = style_y * row + style_x * channels + channel;
                let texture = picture.values[place] - structure[place];
                let style_texture = style.values[style_place] - style_structure[style_place];
                picture.values[place] =
                    factor * structure[place] + offset + texture + stylization.texture * (style_texture - texture);
            }
        }
    }
}

/// The guided filter with the image as its own guide, each channel by itself: in a window of mean `m` and variance `v`
/// a value `x` becomes `m + v / (v + EDGE^2) * (x - m)`, averaged over all windows that have it.
fn structure(picture: &Picture, radius: usize, scratch: &mut Vec<f32>) -> Vec<f32> {
    let shape = [picture.height, picture.width, picture.channels];
    let kernel = filter::flat(radius);
    let mut factor: Vec<f32> = picture.values.iter().map(|value| value * value).collect();
    let mut mean = picture.values.clone();
    filter::separable(&mut factor, shape, &kernel, scratch);
    filter::separable(&mut mean, shape, &kernel, scratch);
    for (factor, mean) in factor.iter_mut().zip(&mut mean) {
        let variance = (*factor - *mean * *mean).max(0.0);
        *factor = variance / (variance + EDGE * EDGE);
        *mean -= *factor * *mean;
    }
    filter::separable(&mut factor, shape, &kernel, scratch);
    filter::separable(&mut mean, shape, &kernel, scratch);
    factor.iter().zip(&mean).zip(&picture.values).map(|((factor, offset), value)| factor * value + offset).collect()
}

/// Mean and standard deviation of a channel.
fn moments(values: &[f32], channel: usize, channels: usize) -> (f32, f32) {
    let count = (values.len() / channels) as f32;
    let values = || values.iter().skip(channel).step_by(channels);
    let mean = values().sum::<f32>() / count;
    let variance = values().map(|value| (value - mean) * (value - mean)).sum::<f32>() / count;
    (mean, libm::sqrtf(variance))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 32;

    /// A disc of level 200 on level 60, with a fine texture drawn by `texture`.
    fn disc(mut texture: impl FnMut(usize, usize) -> f32) -> Picture {
        let mut picture = Picture::black([SIZE, SIZE, 1]);
        for y in 0..SIZE {
            for x in 0..SIZE {
                picture.values[y * SIZE + x] = if inside(y, x) { 200.0 } else { 60.0 } + texture(y, x);
            }
        }
        picture
    }

    fn inside(y: usize, x: usize) -> bool {
        (y as f32 - 15.5).hypot(x as f32 - 15.5) < 9.0
    }

    /// Mean square of the differences between horizontal neighbours on the same side of the outline.
    fn roughness(picture: &Picture) -> f64 {
        let mut squares = Vec::new();
        for y in 0..SIZE {
            for x in 1..SIZE {
                if inside(y, x) == inside(y, x - 1) {
                    let difference = picture.values[y * SIZE + x] - picture.values[y * SIZE + x - 1];
                    squares.push(f64::from(difference).powi(2));
                }
            }
        }
        squares.iter().sum::<f64>() / squares.len() as f64
    }

    const ALL: Stylization = Stylization { probability: 1.0, texture: 1.0, colour: 0.0, radius: 2 };

    fn stylized(picture: &Picture, style: &Picture, stylization: &Stylization) -> Picture {
        let mut result = picture.clone();
        replace_texture(&mut result, &mut style.clone(), stylization, &mut Vec::new(), &mut Random::new(1, 0));
        result
    }

    #[test]
    fn texture_changes_and_shape_stays() {
        let mut random = Random::new(7, 0);
        let plain = disc(|_, _| 0.0);
        // Noise of deviation 8.7 on a flat ground.
        let mut rough = Picture::black([SIZE, SIZE, 1]);
        rough.values.iter_mut().for_each(|value| *value = 128.0 + random.between(-15.0, 15.0));
        let result = stylized(&plain, &rough, &ALL);
        // The outline is where it was.
        for y in 0..SIZE {
            for x in 0..SIZE {
                let value = result.values[y * SIZE + x];
                assert_eq!(value > 130.0, inside(y, x), "{y} {x}: {value}");
            }
        }
        assert!(roughness(&plain) < 1.0);
        let (got, style) = (roughness(&result), roughness(&rough));
        assert!(got > 0.6 * style && got < 1.4 * style, "{got} {style}");
        // And the other way around: the rough one becomes smooth.
        let mut noisy = Random::new(8, 0);
        let rough_disc = disc(|_, _| noisy.between(-15.0, 15.0));
        let flat = Picture { values: vec![128.0; SIZE * SIZE], ..plain.clone() };
        let smooth = stylized(&rough_disc, &flat, &ALL);
        assert!(roughness(&smooth) < 0.3 * roughness(&rough_disc), "{}", roughness(&smooth));
        assert!((0..SIZE * SIZE).all(|i| (smooth.values[i] > 130.0) == inside(i / SIZE, i % SIZE)));
    }

    #[test]
    fn nothing_is_replaced_without_shares() {
        let mut random = Random::new(3, 0);
        let picture = disc(|_, _| random.between(-15.0, 15.0));
        let style = Picture { values: vec![9.0; SIZE * SIZE], ..picture.clone() };
        let none = Stylization { texture: 0.0, ..ALL };
        let same = stylized(&picture, &style, &none);
        assert!(same.values.iter().zip(&picture.values).all(|(a, b)| (a - b).abs() < 1e-3));
    }

    #[test]
    fn colours_take_the_other_moments() {
        let mut random = Random::new(5, 0);
        let draw = |random: &mut Random, low, high| {
            let mut picture = Picture::black([SIZE, SIZE, 3]);
            picture.values.iter_mut().for_each(|value| *value = random.between(low, high));
            let mut scratch = Vec::new();
            picture.filter(&filter::gaussian(3.0), &mut scratch);
            // Smoothing has left little of the differences.
            let middle = 0.5 * (low + high);
            picture.values.iter_mut().for_each(|value| *value = middle + 6.0 * (*value - middle));
            picture
        };
        let (picture, style) = (draw(&mut random, 0.0, 255.0), draw(&mut random, 60.0, 120.0));
        let result = stylized(&picture, &style, &Stylization { texture: 0.0, colour: 1.0, ..ALL });
        let [before, target] = [&picture, &style].map(|picture| structure(picture, 2, &mut Vec::new()));
        // The texture is the picture's own; without it the structure is left.
        let after: Vec<f32> =
            result.values.iter().zip(&picture.values).zip(&before).map(|((r, p), b)| r - (p - b)).collect();
        for channel in 0..3 {
            let ((mean, deviation), (target_mean, target_deviation)) =
                (moments(&after, channel, 3), moments(&target, channel, 3));
            assert!((mean - target_mean).abs() < 0.01, "{mean} {target_mean}");
            assert!((deviation - target_deviation).abs() < 0.01, "{deviation} {target_deviation}");
            assert!((moments(&before, channel, 3).1 - target_deviation).abs() > 5.0, "they differed");
        }
    }
}
