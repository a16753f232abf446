mod aware;
mod graphs;
mod locally_connected;
mod post_training;

use super::*;
use crate::random::Random;
use crate::train::InputScaling;

#[test]
fn grids_hold_zero_and_the_range() {
    let mut random = Random::new(1, 0);
    for _ in 0..1000 {
        let (a, b) = (random.between(-9.0, 9.0), random.between(-9.0, 9.0));
        let (low, high) = (a.min(b), a.max(b));
        let grid = Quantization::from_range(low, high);
        assert_eq!(grid.dequantize(grid.zero_point), 0.0);
        // Nudging the zero point moves the ends by at most half a step.
        let half = 0.501 * grid.scale;
        assert!((grid.dequantize(-128) - low.min(0.0)).abs() <= half, "{low} {high}");
        assert!((grid.dequantize(127) - high.max(0.0)).abs() <= half, "{low} {high}");
    }
    assert_eq!(Quantization::from_range(0.0, 4.0).zero_point, -128);
    assert_eq!(Quantization::from_range(-4.0, 0.0).zero_point, 127);
    assert!(Quantization::from_range(0.0, 0.0).scale > 0.0);
}

/// Levels of pixels, scaled to 0 to 1 for training, are their integers again.
#[test]
fn pixels_are_exact() {
    let levels: Vec<f32> = (0..=255_u8).map(f32::from).collect();
    let mut reals = vec![0.0; 256];
    InputScaling::unit(1).apply(levels.iter().copied(), &mut reals);
    let integers = to_element(Element::Int8(PIXEL), &Numbers::F32(reals.clone()));
    assert_eq!(integers, Numbers::Int8((-128..=127).collect()));
    assert_eq!(to_reals(Element::Int8(PIXEL), &integers), reals);
}
