//! Where each pixel comes from: flips, crops, affine maps and elastic bending, with one bilinear interpolation for all.

use super::{Augmentation, Picture, filter};
use crate::random::Random;
use serde::{Deserialize, Serialize};

/// What is seen beyond the edge of an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Border {
    /// Level 0.
    #[default]
    Black,
    /// The pixel at the edge, over and over.
    Edge,
    /// The image in a mirror along its edge; the pixel at the edge is not repeated.
    Mirror,
}

/// Elastic deformation: every pixel comes from a place that is displaced by a smooth random field (P. Simard, D.
/// Steinkraus and J. Platt, *Best Practices for Convolutional Neural Networks Applied to Visual Document Analysis*,
/// 2003). The field is uniform noise, smoothed by a Gaussian.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Elastic {
    /// Standard deviation of the displacement in each direction, in pixels, of an image with the greatest one; each
    /// image draws its own up to this.
    pub displacement: f32,
    /// Standard deviation of the Gaussian, in pixels: small ones crumple, large ones bend.
    pub smoothness: f32,
    /// Probability that an image is bent.
    #[serde(default = "always")]
    pub probability: f32,
}

pub(super) fn always() -> f32 {
    1.0
}

/// A drawn map from the pixels of a new image to places in the old one.
#[derive(Debug)]
pub(super) struct Warp<'a> {
    /// Rows: of `y`, then of `x`; columns: what a pixel down and a pixel to the right adds.
    matrix: [[f32; 2]; 2],
    shift: [f32; 2],
    flip: [bool; 2],
    crop: [f32; 2],
    border: Border,
    /// Displacements: all of `y`, then all of `x`; empty for none.
    field: &'a [f32],
}

impl<'a> Warp<'a> {
    /// Draws a map; `None` if nothing geometric is asked for. The field is made in `scratch`.
    pub fn draw(
        limits: &Augmentation,
        picture: &Picture,
        scratch: &'a mut Vec<f32>,
        random: &mut Random,
    ) -> Option<Self> {
        let affine = [limits.rotation, limits.scaling, limits.shear, limits.shift].iter().any(|&limit| limit != 0.0);
        let flips = limits.horizontal_flip > 0.0 || limits.vertical_flip > 0.0;
        if !affine && !flips && limits.crop == 0 && limits.elastic.is_none() {
            return None;
        }
        let mut warp = Self {
            matrix: [[1.0, 0.0], [0.0, 1.0]],
            shift: [0.0; 2],
            flip: [false; 2],
            crop: [0.0; 2],
            border: limits.border,
            field: &[],
        };
        if affine {
            let mut draw = |limit: f32| random.between(-limit, limit);
            let angle = draw(limits.rotation);
            let scale = [1.0 + draw(limits.scaling), 1.0 + draw(limits.scaling)];
            warp.matrix = affine_matrix(angle, scale, draw(limits.shear));
            warp.shift = [draw(limits.shift), draw(limits.shift)];
        }
        if flips {
            warp.flip = [random.chance(limits.vertical_flip), random.chance(limits.horizontal_flip)];
        }
        if limits.crop > 0 {
            warp.crop = [(); 2].map(|()| random.below(2 * limits.crop + 1) as f32 - limits.crop as f32);
        }
        if let Some(elastic) = &limits.elastic
            && random.chance(elastic.probability)
        {
            fill_field(scratch, picture, elastic, random);
            warp.field = scratch;
        }
        Some(warp)
    }

    /// Writes the image that `source` becomes into `target`.
    pub fn apply(&self, source: &Picture, target: &mut Picture) {
        let (height, width, channels) = (source.height, source.width, source.channels);
        let (centre_y, centre_x) = ((height - 1) as f32 / 2.0, (width - 1) as f32 / 2.0);
        let [[yy, yx], [xy, xx]] = self.matrix;
        let inside = [(height - 1) as i32, (width - 1) as i32];
        let mut pixels = target.values.chunks_exact_mut(channels).enumerate();
        for row in 0..height {
            let dy = row as f32 - centre_y - self.shift[0];
            for column in 0..width {
                let dx = column as f32 - centre_x - self.shift[1];
                let mut y = yy * dy + yx * dx + centre_y;
                let mut x = xy * dy + xx * dx + centre_x;
                let (index, pixel) = pixels.next().expect("as many pixels as the source");
                if !self.field.is_empty() {
                    y += self.field[index];
                    x += self.field[height * width + index];
                }
                // Exact for whole numbers.
                y = self.crop[0] + if self.flip[0] { (height - 1) as f32 - y } else { y };
                x = self.crop[1] + if self.flip[1] { (width - 1) as f32 - x } else { x };
                let (top, left) = (floor(y), floor(x));
                let (fy, fx) = (y - top as f32, x - left as f32);
                if top >= 0 && left >= 0 && top < inside[0] && left < inside[1] {
                    let first = (top as usize * width + left as usize) * channels;
                    let above = &source.values[first..][..2 * channels];
                    let below = &source.values[first + width * channels..][..2 * channels];
                    for (channel, value) in pixel.iter_mut().enumerate() {
                        let above = above[channel] * (1.0 - fx) + above[channels + channel] * fx;
                        let below = below[channel] * (1.0 - fx) + below[channels + channel] * fx;
                        *value = above * (1.0 - fy) + below * fy;
                    }
                } else {
                    let at = |y: i32, x: i32| self.place(source, y, x);
                    let places = [at(top, left), at(top, left + 1), at(top + 1, left), at(top + 1, left + 1)];
                    for (channel, value) in pixel.iter_mut().enumerate() {
                        let [a, b, c, d] =
                            places.map(|place| place.map_or(0.0, |place| source.values[place + channel]));
                        *value = (a * (1.0 - fx) + b * fx) * (1.0 - fy) + (c * (1.0 - fx) + d * fx) * fy;
                    }
                }
            }
        }
    }

    /// Where the values of a pixel lie, or nowhere for black.
    fn place(&self, source: &Picture, y: i32, x: i32) -> Option<usize> {
        let along = |place: i32, length: usize| -> Option<usize> {
            let last = length as i32 - 1;
            Some(match self.border {
                Border::Black if !(0..=last).contains(&place) => return None,
                Border::Black | Border::Edge => place.clamp(0, last),
                Border::Mirror if last == 0 => 0,
                Border::Mirror => {
                    let folded = place.rem_euclid(2 * last);
                    folded.min(2 * last - folded)
                }
            } as usize)
        };
        Some((along(y, source.height)? * source.width + along(x, source.width)?) * source.channels)
    }
}

/// From a pixel of the result to its place in the image, around the centre: the inverse of scaling (of height and
/// width), then shearing, then turning by `angle` degrees.
fn affine_matrix(angle: f32, [scale_y, scale_x]: [f32; 2], shear: f32) -> [[f32; 2]; 2] {
    let radians = angle.to_radians();
    // Quarter turns are exact.
    let (sin, cos) = match angle {
        90.0 => (1.0, 0.0),
        -90.0 => (-1.0, 0.0),
        180.0 | -180.0 => (0.0, -1.0),
        _ => (libm::sinf(radians), libm::cosf(radians)),
    };
    [[cos / scale_y, -sin / scale_y], [(sin + shear * cos) / scale_x, (cos - shear * sin) / scale_x]]
}

/// A smooth random field of displacements.
fn fill_field(field: &mut Vec<f32>, picture: &Picture, elastic: &Elastic, random: &mut Random) {
    let (height, width) = (picture.height, picture.width);
    let displacement = random.between(0.0, elastic.displacement);
    let kernel = filter::gaussian(elastic.smoothness);
    // What the variance 1/3 of the noise becomes: the sum of squares of the filter's weights, down and across.
    let squares: f32 = kernel.iter().map(|weight| weight * weight).sum();
    let scale = displacement / (libm::sqrtf(1.0 / 3.0) * squares);
    // Noise beyond the image as well, so that the field is as strong at the edge.
    let margin = kernel.len() / 2;
    let (high, wide) = (height + 2 * margin, width + 2 * margin);
    let mut noise = vec![0.0; high * wide];
    let mut scratch = Vec::new();
    field.clear();
    for _ in 0..2 {
        noise.iter_mut().for_each(|value| *value = random.between(-scale, scale));
        filter::separable(&mut noise, [high, wide, 1], &kernel, &mut scratch);
        for row in noise.chunks_exact(wide).skip(margin).take(height) {
            field.extend_from_slice(&row[margin..][..width]);
        }
    }
}

/// Rounds down, except that a negative whole number may lose 1, which interpolation does not
/// notice. (`f32::floor` is a function call on plain x86-64.)
fn floor(value: f32) -> i32 {
    value as i32 - i32::from(value < 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(height: usize, width: usize, channels: usize) -> Picture {
        let mut random = Random::new(9, 0);
        let values = (0..height * width * channels).map(|_| random.below(256) as f32).collect();
        Picture { height, width, channels, values }
    }

    fn warped(source: &Picture, change: impl FnOnce(&mut Warp)) -> Picture {
        let mut warp = Warp {
            matrix: [[1.0, 0.0], [0.0, 1.0]],
            shift: [0.0; 2],
            flip: [false; 2],
            crop: [0.0; 2],
            border: Border::Black,
            field: &[],
        };
        change(&mut warp);
        let mut target = Picture::black([source.height, source.width, source.channels]);
        warp.apply(source, &mut target);
        target
    }

    /// The pixel at `(y, x)`.
    fn pixel(picture: &Picture, y: usize, x: usize) -> &[f32] {
        &picture.values[(y * picture.width + x) * picture.channels..][..picture.channels]
    }

    #[test]
    fn flips_are_exact_and_their_own_inverse() {
        let source = picture(5, 8, 3);
        for flip in [[false, true], [true, false], [true, true]] {
            let once = warped(&source, |warp| warp.flip = flip);
            for y in 0..5 {
                for x in 0..8 {
                    let from = (if flip[0] { 4 - y } else { y }, if flip[1] { 7 - x } else { x });
                    assert_eq!(pixel(&once, y, x), pixel(&source, from.0, from.1));
                }
            }
            assert_eq!(warped(&once, |warp| warp.flip = flip).values, source.values);
        }
    }

    #[test]
    fn quarter_turns_are_permutations() {
        for size in [6, 7] {
            let source = picture(size, size, 2);
            let turn = |angle: f32| warped(&source, |warp| warp.matrix = affine_matrix(angle, [1.0; 2], 0.0));
            let (left, right, half) = (turn(90.0), turn(-90.0), turn(180.0));
            let last = size - 1;
            for y in 0..size {
                for x in 0..size {
                    assert_eq!(pixel(&left, y, x), pixel(&source, last - x, y));
                    assert_eq!(pixel(&right, y, x), pixel(&source, x, last - y));
                    assert_eq!(pixel(&half, y, x), pixel(&source, last - y, last - x));
                }
            }
        }
    }

    #[test]
    fn crops_move_by_whole_pixels_into_the_border() {
        let source = picture(6, 9, 3);
        for border in [Border::Black, Border::Edge, Border::Mirror] {
            let moved = warped(&source, |warp| (warp.crop, warp.border) = ([-3.0, 2.0], border));
            for y in 0..6_i32 {
                for x in 0..9_i32 {
                    let (from_y, from_x) = (y - 3, x + 2);
                    let expected = match border {
                        Border::Black if from_y < 0 || from_x > 8 => &[0.0; 3],
                        Border::Mirror => pixel(
                            &source,
                            from_y.unsigned_abs() as usize,
                            if from_x > 8 { 16 - from_x } else { from_x } as usize,
                        ),
                        _ => pixel(&source, from_y.max(0) as usize, from_x.min(8) as usize),
                    };
                    assert_eq!(pixel(&moved, y as usize, x as usize), expected, "{border:?} {y} {x}");
                }
            }
        }
    }

    #[test]
    fn places_far_outside_are_folded_back() {
        let source = picture(4, 3, 1);
        for shift in [-50.0, 17.0, 1000.0] {
            let moved = warped(&source, |warp| (warp.crop, warp.border) = ([shift, shift], Border::Mirror));
            for y in 0..4_i32 {
                for x in 0..3_i32 {
                    // A mirrored image repeats after twice its length less 2.
                    let fold = |place: i32, last: i32| {
                        let place = place.rem_euclid(2 * last);
                        if place > last { 2 * last - place } else { place }
                    };
                    let (from_y, from_x) = (fold(y + shift as i32, 3), fold(x + shift as i32, 2));
                    let got = pixel(&moved, y as usize, x as usize);
                    assert_eq!(got, pixel(&source, from_y as usize, from_x as usize));
                }
            }
        }
    }

    #[test]
    fn constant_images_stay_constant_inside() {
        // Weights of the interpolation sum to 1.
        let mut source = picture(12, 12, 1);
        source.values.fill(200.0);
        let turned =
            warped(&source, |warp| (warp.matrix, warp.border) = (affine_matrix(17.0, [0.9, 1.2], 0.2), Border::Edge));
        assert!(turned.values.iter().all(|value| (value - 200.0).abs() < 1e-3));
    }

    #[test]
    fn fields_are_as_strong_and_smooth_as_asked() {
        let source = picture(48, 40, 1);
        let (mut squares, mut steps, mut draws) = (0.0, 0.0, 0.0_f64);
        for seed in 0..60 {
            let mut random = Random::new(seed, 0);
            let displacement = random.clone().between(0.0, 2.0);
            let mut field = Vec::new();
            let elastic = Elastic { displacement: 2.0, smoothness: 4.0, probability: 1.0 };
            fill_field(&mut field, &source, &elastic, &mut random);
            assert_eq!(field.len(), 2 * 48 * 40);
            if displacement < 0.2 {
                continue;
            }
            let relative = |value: f32| f64::from(value / displacement);
            squares += field.iter().map(|&value| relative(value).powi(2)).sum::<f64>() / field.len() as f64;
            steps += field.chunks(40).map(|row| relative(row[21] - row[20]).powi(2)).sum::<f64>() / 96.0;
            draws += 1.0;
        }
        assert!(draws > 40.0);
        let deviation = (squares / draws).sqrt();
        assert!((deviation - 1.0).abs() < 0.1, "{deviation}");
        // Noise smoothed by a Gaussian has the correlation exp(-d^2 / 4s^2) at distance d: between neighbours the
        // variance of the difference is 2 * (1 - exp(-1 / 64)).
        let expected = 2.0 * (1.0 - (-1.0_f64 / 64.0).exp());
        assert!((steps / draws / expected - 1.0).abs() < 0.2, "{} {expected}", steps / draws);
    }
}
