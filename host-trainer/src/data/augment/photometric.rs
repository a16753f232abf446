//! Light, lens and sensor: changes of levels in their places.

use super::{Augmentation, Picture, filter};
use crate::random::Random;

/// Illumination, contrast, brightness, blur and noise, in this order.
pub(super) fn change(picture: &mut Picture, limits: &Augmentation, scratch: &mut Vec<f32>, random: &mut Random) {
    if limits.illumination > 0.0 {
        let angle = random.between(-std::f32::consts::PI, std::f32::consts::PI);
        illuminate(picture, angle, random.between(0.0, limits.illumination));
    }
    if limits.contrast > 0.0 {
        change_contrast(picture, 1.0 + random.between(-limits.contrast, limits.contrast));
    }
    if limits.brightness > 0.0 {
        let change = 255.0 * random.between(-limits.brightness, limits.brightness);
        picture.values.iter_mut().for_each(|value| *value += change);
    }
    if limits.blur > 0.0 {
        let deviation = random.between(0.0, limits.blur);
        // Narrower ones change nothing that can be seen: the neighbours' weights are below 1e-5.
        if deviation > 0.2 {
            picture.filter(&filter::gaussian(deviation), scratch);
        }
    }
    if limits.noise > 0.0 {
        let deviation = 255.0 * random.between(0.0, limits.noise);
        picture.values.iter_mut().for_each(|value| *value += deviation * random.bell());
    }
}

/// Light that grows along a direction, from `1 - strength` in one corner to `1 + strength` in the opposite one.
fn illuminate(picture: &mut Picture, angle: f32, strength: f32) {
    let (down, right) = (libm::sinf(angle), libm::cosf(angle));
    let along = |place: usize, length: usize| (2 * place) as f32 / (length.max(2) - 1) as f32 - 1.0;
    let scale = strength / (down.abs() + right.abs());
    let (height, width, channels, row_len) = (picture.height, picture.width, picture.channels, picture.row_len());
    for (y, row) in picture.values.chunks_exact_mut(row_len).enumerate() {
        for (x, pixel) in row.chunks_exact_mut(channels).enumerate() {
            let light = 1.0 + scale * (down * along(y, height) + right * along(x, width));
            pixel.iter_mut().for_each(|value| *value *= light);
        }
    }
}

/// Scales the differences from the mean of all values.
fn change_contrast(picture: &mut Picture, factor: f32) {
    let mean = picture.values.iter().sum::<f32>() / picture.values.len() as f32;
    picture.values.iter_mut().for_each(|value| *value = mean + factor * (*value - mean));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        let values = (0..9 * 12 * 3).map(|i| (i * 29 % 200) as f32).collect();
        Picture { height: 9, width: 12, channels: 3, values }
    }

    #[test]
    fn light_falls_off_along_its_direction() {
        let mut flat = Picture { values: vec![100.0; 9 * 12 * 3], ..picture() };
        illuminate(&mut flat, 0.0, 0.4);
        for (index, value) in flat.values.iter().enumerate() {
            let x = index / 3 % 12;
            let expected = 60.0 + 80.0 * x as f32 / 11.0;
            assert!((value - expected).abs() < 1e-3, "{value} {expected}");
        }
        for angle in [0.3, 1.2, 2.5, -2.0] {
            let mut flat = Picture { values: vec![100.0; 9 * 12 * 3], ..picture() };
            illuminate(&mut flat, angle, 0.4);
            let extremes = flat.values.iter().fold([f32::MAX, 0.0_f32], |[a, b], &v| [a.min(v), b.max(v)]);
            assert!((extremes[0] - 60.0).abs() < 1e-3 && (extremes[1] - 140.0).abs() < 1e-3, "{extremes:?}");
            let mean = flat.values.iter().sum::<f32>() / flat.values.len() as f32;
            assert!((mean - 100.0).abs() < 1e-3, "the light in all stays");
        }
    }

    #[test]
    fn contrast_keeps_the_mean_and_scales_the_deviation() {
        let moments = |picture: &Picture| {
            let count = picture.values.len() as f64;
            let mean = picture.values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
            let variance = picture.values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
            (mean, variance.sqrt())
        };
        let mut changed = picture();
        change_contrast(&mut changed, 0.25);
        let ((a, b), (c, d)) = (moments(&picture()), moments(&changed));
        assert!((a - c).abs() < 1e-3 && (d / b - 0.25).abs() < 1e-5);
    }

    #[test]
    fn noise_has_its_deviation() {
        let limits = Augmentation { noise: 0.2, ..Augmentation::NONE };
        let mut random = Random::new(4, 0);
        let deviation = 255.0 * f64::from(random.clone().between(0.0, 0.2));
        let mut noisy = Picture::black([100, 100, 1]);
        change(&mut noisy, &limits, &mut Vec::new(), &mut random);
        let count = noisy.values.len() as f64;
        let mean = noisy.values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
        let variance = noisy.values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
        assert!(deviation > 1.0);
        assert!(mean.abs() < 0.05 * deviation && (variance.sqrt() / deviation - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn blur_takes_energy_and_keeps_the_mean() {
        let limits = Augmentation { blur: 2.0, ..Augmentation::NONE };
        let mut point = Picture::black([41, 41, 2]);
        let centre = (20 * 41 + 20) * 2;
        point.values[centre..centre + 2].copy_from_slice(&[1000.0, 500.0]);
        // A draw that blurs well.
        let mut random = (0..).map(|seed| Random::new(seed, 0)).find(|r| r.clone().between(0.0, 2.0) > 0.8).unwrap();
        let deviation = f64::from(random.clone().between(0.0, 2.0));
        change(&mut point, &limits, &mut Vec::new(), &mut random);
        let sum = |channel: usize| point.values.iter().skip(channel).step_by(2).map(|&v| f64::from(v)).sum::<f64>();
        assert!((sum(0) - 1000.0).abs() < 0.01 && (sum(1) - 500.0).abs() < 0.01);
        // A Gaussian's square integrates to 1 / (4 pi s^2).
        let energy: f64 = point.values.iter().step_by(2).map(|&v| f64::from(v).powi(2)).sum();
        let expected = 1e6 / (4.0 * std::f64::consts::PI * deviation.powi(2));
        assert!((energy / expected - 1.0).abs() < 0.05, "{energy} {expected}");
    }
}
