//! What is around and in front of the object: surroundings, clutter, covered squares.

use super::Picture;
use super::geometric::always;
use crate::random::Random;
use serde::{Deserialize, Serialize};

/// How the object is told from its background.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Foreground {
    /// The object is in the middle, as in most photographs: inside of the ellipse of 60 % of the image's height and
    /// width it is certain, beyond that of 90 % it ends, and it fades in between.
    Centre,
    /// The background is plain: its level is the median along the image's edge, and what differs from it by 64 or more
    /// in some channel is the object, with softer edges below. Good for digits and products.
    Plain,
}

/// Puts the object into the surroundings of another image (in the sense of D. Dwibedi et al., *Cut, Paste and Learn*,
/// 2017): what is not the object is the other image's. Where the background is plain, the other image is moved by half
/// its size around its edges, so that its own object is torn apart and lies outside.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Context {
    /// Probability that an image is put elsewhere.
    pub probability: f32,
    /// What the object is.
    pub foreground: Foreground,
}

/// Puts square pieces of other images, each of another one and from anywhere in it, behind the object at random places,
/// as in cluttered MNIST (V. Mnih et al., *Recurrent Models of Visual Attention*, 2014).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clutter {
    /// Probability that an image gets clutter.
    #[serde(default = "always")]
    pub probability: f32,
    /// Number of pieces.
    pub pieces: usize,
    /// Height and width of a piece in pixels.
    pub size: usize,
    /// What the object is.
    pub foreground: Foreground,
}

/// Covers a square of the image's mean colour, whose centre is anywhere in the image (T. DeVries and G. Taylor,
/// *Improved Regularization of Convolutional Neural Networks with Cutout*, 2017).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cutout {
    /// Probability that an image is covered.
    #[serde(default = "always")]
    pub probability: f32,
    /// Height and width of the square in pixels.
    pub size: usize,
}

/// How much each pixel belongs to the object, 0 to 1.
fn mask(picture: &Picture, foreground: Foreground, mask: &mut Vec<f32>) {
    mask.clear();
    match foreground {
        Foreground::Centre => {
            let along = |place: usize, length: usize| (2 * place + 1) as f32 / length as f32 - 1.0;
            for y in 0..picture.height {
                for x in 0..picture.width {
                    let (dy, dx) = (along(y, picture.height), along(x, picture.width));
                    let fade = ((0.9 - libm::sqrtf(dy * dy + dx * dx)) / 0.3).clamp(0.0, 1.0);
                    // Smooth at both ends.
                    mask.push(fade * fade * (3.0 - 2.0 * fade));
                }
            }
        }
        Foreground::Plain => {
            let background: Vec<f32> = (0..picture.channels).map(|channel| edge_level(picture, channel)).collect();
            for pixel in picture.values.chunks_exact(picture.channels) {
                let difference = pixel.iter().zip(&background).fold(0.0_f32, |most, (a, b)| most.max((a - b).abs()));
                mask.push((difference / 64.0).min(1.0));
            }
        }
    }
}

/// The median of a channel along the edge of the image.
fn edge_level(picture: &Picture, channel: usize) -> f32 {
    let (height, width) = (picture.height, picture.width);
    let mut levels: Vec<f32> = (0..height * width)
        .filter(|place| [0, height - 1].contains(&(place / width)) || [0, width - 1].contains(&(place % width)))
        .map(|place| picture.values[place * picture.channels + channel])
        .collect();
    let middle = levels.len() / 2;
    *levels.select_nth_unstable_by(middle, f32::total_cmp).1
}

/// Keeps the object of `picture`; the rest becomes `behind`.
pub(super) fn put_behind(picture: &mut Picture, behind: &Picture, foreground: Foreground, scratch: &mut Vec<f32>) {
    mask(picture, foreground, scratch);
    let channels = picture.channels;
    let pixels = picture.values.chunks_exact_mut(channels).zip(behind.values.chunks_exact(channels));
    for ((pixel, behind), &share) in pixels.zip(scratch.iter()) {
        for (value, behind) in pixel.iter_mut().zip(behind) {
            *value = share * *value + (1.0 - share) * behind;
        }
    }
}

/// Puts the object of `picture` into the surroundings of `other`.
pub(super) fn change_context(picture: &mut Picture, other: &Picture, foreground: Foreground, scratch: &mut Vec<f32>) {
    match foreground {
        Foreground::Centre => put_behind(picture, other, foreground, scratch),
        Foreground::Plain => put_behind(picture, &moved_by_half(other), foreground, scratch),
    }
}

/// The image moved down and right by half its size; what leaves it comes in at the other side.
fn moved_by_half(picture: &Picture) -> Picture {
    let mut moved = picture.clone();
    let (row, half) = (picture.row_len(), picture.width / 2 * picture.channels);
    for (y, target) in moved.values.chunks_exact_mut(row).enumerate() {
        let from = (y + picture.height - picture.height / 2) % picture.height;
        let source = &picture.values[from * row..][..row];
        target[half..].copy_from_slice(&source[..row - half]);
        target[..half].copy_from_slice(&source[row - half..]);
    }
    moved
}

/// Pastes a square of `size` from anywhere in the image `source` to anywhere in the picture.
pub(super) fn paste_piece(picture: &mut Picture, source: &[u8], size: usize, random: &mut Random) {
    let (rows, columns) = (picture.height - size + 1, picture.width - size + 1);
    let mut place = || (random.below(rows), random.below(columns));
    let ((from_y, from_x), (to_y, to_x)) = (place(), place());
    let channels = picture.channels;
    for row in 0..size {
        let at = |y: usize, x: usize| ((y + row) * picture.width + x) * channels;
        let (from, to) = (at(from_y, from_x), at(to_y, to_x));
        let length = size * channels;
        for (value, &level) in picture.values[to..][..length].iter_mut().zip(&source[from..][..length]) {
            *value = f32::from(level);
        }
    }
}

/// Covers a square with the mean of each channel.
pub(super) fn cut_out(picture: &mut Picture, size: usize, random: &mut Random) {
    let channels = picture.channels;
    let pixels = (picture.height * picture.width) as f32;
    let mut mean = vec![0.0; channels];
    for pixel in picture.values.chunks_exact(channels) {
        mean.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
    }
    mean.iter_mut().for_each(|sum| *sum /= pixels);
    let mut span = |length: usize| {
        let centre = random.below(length);
        centre.saturating_sub(size / 2)..(centre + size - size / 2).min(length)
    };
    let (rows, columns) = (span(picture.height), span(picture.width));
    for y in rows {
        for x in columns.clone() {
            picture.values[(y * picture.width + x) * channels..][..channels].copy_from_slice(&mean);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(height: usize, width: usize, channels: usize, seed: u64) -> Picture {
        let mut random = Random::new(seed, 0);
        let values = (0..height * width * channels).map(|_| random.below(256) as f32).collect();
        Picture { height, width, channels, values }
    }

    #[test]
    fn the_centre_stays_and_the_corners_change() {
        let (mine, other) = (picture(20, 30, 3, 1), picture(20, 30, 3, 2));
        let mut changed = mine.clone();
        change_context(&mut changed, &other, Foreground::Centre, &mut Vec::new());
        for (index, value) in changed.values.iter().enumerate() {
            let (y, x) = ((index / 90) as f64, (index / 3 % 30) as f64);
            let distance = (((y + 0.5) / 10.0 - 1.0).powi(2) + ((x + 0.5) / 15.0 - 1.0).powi(2)).sqrt();
            let (mine, other) = (mine.values[index], other.values[index]);
            if distance < 0.599 {
                assert_eq!(*value, mine);
            } else if distance > 0.901 {
                assert_eq!(*value, other);
            } else {
                assert!((mine.min(other)..=mine.max(other)).contains(value), "between the two");
            }
        }
    }

    #[test]
    fn objects_on_plain_ground_stay_whole() {
        // A bright square on ground of level 30, and a dark one.
        let mut mine = Picture::black([12, 12, 2]);
        mine.values.fill(30.0);
        for y in 4..8 {
            for x in 5..9 {
                mine.values[(y * 12 + x) * 2] = 230.0;
            }
        }
        let other = picture(12, 12, 2, 3);
        let mut changed = mine.clone();
        change_context(&mut changed, &other, Foreground::Plain, &mut Vec::new());
        for y in 0..12 {
            for x in 0..12 {
                let from = if (4..8).contains(&y) && (5..9).contains(&x) {
                    &mine.values[(y * 12 + x) * 2..][..2]
                } else {
                    &other.values[((y + 6) % 12 * 12 + (x + 6) % 12) * 2..][..2]
                };
                assert_eq!(changed.values[(y * 12 + x) * 2..][..2], *from, "{y} {x}");
            }
        }
    }

    #[test]
    fn pieces_are_of_the_source() {
        let source: Vec<u8> = (0..9 * 8).map(|i| 100 + i as u8).collect();
        for seed in 0..50 {
            let mut cluttered = Picture::black([9, 8, 1]);
            paste_piece(&mut cluttered, &source, 3, &mut Random::new(seed, 0));
            let pasted: Vec<(usize, f32)> =
                cluttered.values.iter().copied().enumerate().filter(|(_, value)| *value > 0.0).collect();
            assert_eq!(pasted.len(), 9);
            let (first, from) = (pasted[0].0, pasted[0].1 as usize - 100);
            for (index, (place, value)) in pasted.iter().enumerate() {
                let offset = index / 3 * 8 + index % 3;
                assert_eq!((*place, *value), (first + offset, (100 + from + offset) as f32));
            }
        }
    }

    #[test]
    fn cutouts_are_squares_of_the_mean() {
        let original = picture(10, 14, 3, 5);
        let mean: Vec<f32> = (0..3).map(|c| original.values.iter().skip(c).step_by(3).sum::<f32>() / 140.0).collect();
        let mut covered = [usize::MAX, 0];
        for seed in 0..2000 {
            let mut cut = original.clone();
            cut_out(&mut cut, 4, &mut Random::new(seed, 0));
            let mut places = Vec::new();
            for (place, (new, old)) in cut.values.chunks(3).zip(original.values.chunks(3)).enumerate() {
                if new != old {
                    assert!(new.iter().zip(&mean).all(|(a, b)| (a - b).abs() < 1e-3));
                    places.push((place / 14, place % 14));
                }
            }
            let (top, bottom) = (places[0].0, places[places.len() - 1].0);
            let (left, right) = (places[0].1, places[places.len() - 1].1);
            assert_eq!(places.len(), (bottom - top + 1) * (right - left + 1), "a rectangle");
            covered = [covered[0].min(places.len()), covered[1].max(places.len())];
        }
        assert_eq!(covered, [4, 16], "whole inside, a quarter in a corner");
    }
}
