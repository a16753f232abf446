//! Histograms of weights and activations.

use super::svg::{Picture, at, label, number, short};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Number of intervals.
const BINS: usize = 48;
const WIDTH: f64 = 210.0;
const HEIGHT: f64 = 118.0;

/// How often values occur in intervals of equal width.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// What the values are of.
    pub name: String,
    /// The least and the greatest value.
    pub range: [f32; 2],
    /// Values in each interval of the range; the last one has the greatest value, too.
    pub counts: Vec<u64>,
    /// The least and the greatest value that integers can stand for, if the network is quantized.
    pub limits: Option<[f32; 2]>,
}

impl Histogram {
    /// Counts finite values.
    #[must_use]
    pub fn new(name: &str, values: &[f32]) -> Self {
        let finite = || values.iter().copied().filter(|value| value.is_finite());
        let range =
            finite().fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], value| [low.min(value), high.max(value)]);
        let mut counts = vec![0; BINS];
        let (low, width) = (f64::from(range[0]), f64::from(range[1]) - f64::from(range[0]));
        for value in finite() {
            let place = if width > 0.0 { (f64::from(value) - low) / width * BINS as f64 } else { 0.0 };
            counts[(place as usize).min(BINS - 1)] += 1;
        }
        let range = if range[0] <= range[1] { range } else { [0.0; 2] };
        Self { name: name.to_owned(), range, counts, limits: None }
    }

    /// The number of values.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }
}

/// The bars, as high as the logarithm of their count: how the rare, large values lie decides about quantization.
pub(super) fn picture(histogram: &Histogram) -> Picture {
    let mut content = String::new();
    panel(&mut content, histogram, 0.0, 0.0);
    Picture { width: WIDTH, height: HEIGHT, title: format!("Histogram of {}", histogram.name), content }
}

/// All histograms side by side.
pub(super) fn sheet(histograms: &[Histogram]) -> Picture {
    const COLUMNS: usize = 4;
    let mut content = String::new();
    for (place, histogram) in histograms.iter().enumerate() {
        let (column, row) = (place % COLUMNS, place / COLUMNS);
        panel(&mut content, histogram, 10.0 + column as f64 * (WIDTH + 14.0), 10.0 + row as f64 * (HEIGHT + 14.0));
    }
    let columns = histograms.len().clamp(1, COLUMNS) as f64;
    let rows = histograms.len().div_ceil(COLUMNS).max(1) as f64;
    let (width, height) = (6.0 + columns * (WIDTH + 14.0), 6.0 + rows * (HEIGHT + 14.0));
    Picture { width, height, title: format!("{} histograms", histograms.len()), content }
}

fn panel(content: &mut String, histogram: &Histogram, x: f64, y: f64) {
    let (top, bottom) = (y + 22.0, y + HEIGHT - 18.0);
    label(content, x + 1.0, y + 12.0, "ink", &short(&histogram.name, 26));
    // The axis holds the limits, too.
    let [mut low, mut high] = histogram.range.map(f64::from);
    for limit in histogram.limits.iter().flatten() {
        (low, high) = (low.min(f64::from(*limit)), high.max(f64::from(*limit)));
    }
    let place = |value: f64| x + 2.0 + (WIDTH - 4.0) * if high > low { (value - low) / (high - low) } else { 0.5 };
    let greatest = histogram.counts.iter().copied().max().unwrap_or_default().max(1) as f64;
    let [from, to] = histogram.range.map(|value| place(f64::from(value)));
    let width = ((to - from) / histogram.counts.len().max(1) as f64).max(1.0);
    for (bin, &count) in histogram.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let height = (bottom - top) * (1.0 + count as f64).ln() / (1.0 + greatest).ln();
        let _ = writeln!(
            content,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" class=\"bar\"/>",
            at(from + bin as f64 * width),
            at(bottom - height),
            at((width - 0.5).max(0.6)),
            at(height.max(0.5))
        );
    }
    let _ = writeln!(content, "<line x1=\"{x}\" x2=\"{}\" y1=\"{bottom}\" y2=\"{bottom}\" class=\"axis\"/>", x + WIDTH);
    for limit in histogram.limits.iter().flatten() {
        let x = at(place(f64::from(*limit)));
        let _ = writeln!(content, "<line x1=\"{x}\" x2=\"{x}\" y1=\"{top}\" y2=\"{bottom}\" class=\"limit\"/>");
    }
    label(content, x + 1.0, bottom + 14.0, "small", &number(low));
    label(content, x + WIDTH - 1.0, bottom + 14.0, "small end", &number(high));
}
