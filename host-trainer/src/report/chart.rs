//! Curves over the epochs.

use super::EpochRecord;
use super::svg::{Picture, at, label, number};
use std::fmt::Write;

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 270.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 38.0;

/// The loss of training images and of those called `held_out`, on a logarithmic axis.
pub(super) fn loss(epochs: &[EpochRecord], held_out: &str) -> Picture {
    curves("Loss", held_out, epochs, |e| (e.training_loss, e.test_loss), number)
}

/// The share of images classified wrong, on a logarithmic axis, in percent.
pub(super) fn error(epochs: &[EpochRecord], held_out: &str) -> Picture {
    let percent = |accuracy: f64| 100.0 * (1.0 - accuracy);
    curves(
        "Error rate",
        held_out,
        epochs,
        move |e| (percent(e.training_accuracy), percent(e.test_accuracy)),
        |value| format!("{} %", number(value)),
    )
}

fn curves(
    title: &str,
    held_out: &str,
    epochs: &[EpochRecord],
    values: impl Fn(&EpochRecord) -> (f64, f64),
    format: impl Fn(f64) -> String,
) -> Picture {
    let mut content = String::new();
    label(&mut content, 2.0, 16.0, "strong", title);
    // The legend, from the right.
    for (x, class, name) in [(WIDTH - 174.0, "train", "training"), (WIDTH - 88.0, "test", held_out)] {
        let _ = writeln!(content, "<circle cx=\"{x}\" cy=\"12\" r=\"4.5\" class=\"dot {class}\"/>");
        label(&mut content, x + 9.0, 16.0, "", name);
    }
    let points: Vec<(f64, f64)> = epochs.iter().map(&values).collect();
    let usable = |value: &f64| *value > 0.0 && value.is_finite();
    let all: Vec<f64> = points.iter().flat_map(|&(train, test)| [train, test]).filter(usable).collect();
    // A picture needs some height; there is no logarithm of 0, which is drawn at the bottom.
    let low = all.iter().copied().fold(f64::INFINITY, f64::min);
    let high = all.iter().copied().fold(0.0, f64::max);
    let (low, high) = if low <= high { (low / 1.2, high * 1.2) } else { (0.1, 1.0) };
    let count = epochs.len().max(1) as f64;
    let x = |epoch: f64| LEFT + (WIDTH - LEFT - RIGHT) * if count > 1.0 { (epoch - 1.0) / (count - 1.0) } else { 0.5 };
    let y = |value: f64| {
        let share = if value > low { (value / low).ln() / (high / low).ln() } else { 0.0 };
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share.min(1.0)
    };

    let float = epochs.iter().take_while(|epoch| !epoch.quantization_aware).count();
    if float < epochs.len() {
        let start = if float == 0 { LEFT } else { x(float as f64 + 0.5) };
        let _ = writeln!(
            content,
            "<rect x=\"{}\" y=\"{TOP}\" width=\"{}\" height=\"{}\" class=\"shade\"/>",
            at(start),
            at(WIDTH - RIGHT - start),
            HEIGHT - TOP - BOTTOM
        );
        label(&mut content, WIDTH - RIGHT - 4.0, TOP + 14.0, "small end", "quantization-aware");
    }
    for tick in logarithmic_ticks(low, high) {
        let y = at(y(tick));
        let _ =
            writeln!(content, "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" class=\"grid\"/>", WIDTH - RIGHT);
        label(&mut content, LEFT - 6.0, y + 4.0, "end", &format(tick));
    }
    let bottom = HEIGHT - BOTTOM;
    let _ = writeln!(
        content,
        "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{bottom}\" y2=\"{bottom}\" class=\"axis\"/>",
        WIDTH - RIGHT
    );
    for epoch in epoch_ticks(epochs.len()) {
        label(&mut content, x(epoch as f64), bottom + 16.0, "middle", &epoch.to_string());
    }
    label(&mut content, LEFT + (WIDTH - LEFT - RIGHT) / 2.0, HEIGHT - 4.0, "middle", "epoch");

    // A line for each phase: they are different networks.
    for (class, pick) in [("train", 0), ("test", 1)] {
        for phase in [false, true] {
            let places: Vec<String> = (1..)
                .zip(epochs.iter().zip(&points))
                .filter(|(_, (epoch, (train, test)))| {
                    epoch.quantization_aware == phase && if pick == 0 { train } else { test }.is_finite()
                })
                .map(|(epoch, (_, &(train, test)))| {
                    format!("{},{}", at(x(f64::from(epoch))), at(y(if pick == 0 { train } else { test })))
                })
                .collect();
            match &places[..] {
                [] => {}
                [one] => {
                    let (x, y) = one.split_once(',').unwrap_or_default();
                    let _ = writeln!(content, "<circle cx=\"{x}\" cy=\"{y}\" r=\"3.5\" class=\"dot {class}\"/>");
                }
                more => {
                    let _ = writeln!(content, "<polyline points=\"{}\" class=\"line {class}\"/>", more.join(" "));
                }
            }
        }
    }
    Picture { width: WIDTH, height: HEIGHT, title: format!("{title} over {} epochs", epochs.len()), content }
}

/// Whole epochs, about eight of them.
pub(super) fn epoch_ticks(epochs: usize) -> Vec<usize> {
    let steps = (0..6).flat_map(|power| [1, 2, 5].map(|digit| digit * 10_usize.pow(power)));
    let step = steps.into_iter().find(|step| epochs <= 8 * step).unwrap_or(epochs.max(1));
    let first = if step == 1 { 1 } else { step };
    (first..=epochs).step_by(step).collect()
}

/// Round numbers of a logarithmic axis, three to eight of them where the range allows.
pub(super) fn logarithmic_ticks(low: f64, high: f64) -> Vec<f64> {
    let powers = low.log10().floor() as i32..=high.log10().ceil() as i32;
    let ticks = |digits: &[f64]| -> Vec<f64> {
        let all = powers.clone().flat_map(|power| digits.iter().map(move |digit| digit * 10_f64.powi(power)));
        all.filter(|tick| (low..=high).contains(tick)).collect()
    };
    let sets: [&[f64]; 4] = [&[1.0], &[1.0, 3.0], &[1.0, 2.0, 5.0], &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0]];
    sets.iter().map(|digits| ticks(digits)).find(|ticks| ticks.len() >= 3).unwrap_or_else(|| ticks(sets[3]))
}
