//! The confusion matrix: what was taken for what.

use super::svg::{Picture, at, label, short};
use serde::{Deserialize, Serialize};
use std::fmt::Write;

const CELL: f64 = 34.0;

/// How many images of each class (row) were taken for each class (column).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion(pub Vec<Vec<usize>>);

impl Confusion {
    /// Counts pairs of class and prediction.
    ///
    /// # Panics
    /// When one of them is not below `classes`.
    #[must_use]
    pub fn new(classes: usize, pairs: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut counts = vec![vec![0; classes]; classes];
        for (label, predicted) in pairs {
            counts[label][predicted] += 1;
        }
        Self(counts)
    }

    /// All images.
    #[must_use]
    pub fn total(&self) -> usize {
        self.0.iter().flatten().sum()
    }

    /// Images classified right.
    #[must_use]
    pub fn right(&self) -> usize {
        self.0.iter().enumerate().map(|(class, row)| row[class]).sum()
    }

    /// Share of the images classified right; 0 if there are none.
    #[must_use]
    pub fn accuracy(&self) -> f64 {
        self.right() as f64 / self.total().max(1) as f64
    }

    /// Share of the images of a class that were found; none if there are no such images.
    #[must_use]
    pub fn recall(&self, class: usize) -> Option<f64> {
        let all: usize = self.0[class].iter().sum();
        (all > 0).then(|| self.0[class][class] as f64 / all as f64)
    }

    /// Share of the images taken for a class that are of it; none if none was.
    #[must_use]
    pub fn precision(&self, class: usize) -> Option<f64> {
        let all: usize = self.0.iter().map(|row| row[class]).sum();
        (all > 0).then(|| self.0[class][class] as f64 / all as f64)
    }
}

/// The matrix: right ones in one colour, wrong ones in another, darker the larger their share of the class.
pub(super) fn picture(confusion: &Confusion, classes: &[String]) -> Picture {
    let count = confusion.0.len();
    let name = |class: usize| classes.get(class).map_or_else(|| class.to_string(), |name| short(name, 12));
    let longest = (0..count).map(|class| name(class).chars().count()).max().unwrap_or(1) as f64;
    let (left, top) = (26.0 + 7.0 * longest, 30.0 + if longest > 3.0 { 5.2 * longest } else { 10.0 });
    // Many classes have no room for numbers.
    let cell = if count > 24 { 12.0 } else { CELL };
    let mut content = String::new();
    for (row, counts) in confusion.0.iter().enumerate() {
        let all = counts.iter().sum::<usize>().max(1) as f64;
        let y = top + row as f64 * cell;
        label(&mut content, left - 6.0, y + cell / 2.0 + 4.0, "end", &name(row));
        for (column, &count) in counts.iter().enumerate() {
            let x = left + column as f64 * cell;
            let share = count as f64 / all;
            let _ = write!(
                content,
                "<g><title>{} taken for {}: {count}</title><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" class=\"cell\"/>",
                super::svg::escape(&name(row)),
                super::svg::escape(&name(column)),
                at(x + 0.5),
                at(y + 0.5),
                cell - 1.0,
                cell - 1.0
            );
            if count > 0 {
                // Few mistakes are to be seen, too.
                let (class, opacity) = if row == column {
                    ("heat", 0.15 + 0.85 * share * share)
                } else {
                    ("error", (0.12 + 1.4 * share.sqrt()).min(1.0))
                };
                let _ = write!(
                    content,
                    "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" class=\"{class}\" fill-opacity=\"{opacity:.2}\"/>",
                    at(x + 0.5),
                    at(y + 0.5),
                    cell - 1.0,
                    cell - 1.0
                );
                if cell == CELL {
                    let over = if opacity > 0.55 { "over" } else { "ink" };
                    let class = format!("small middle {over}");
                    label(&mut content, x + cell / 2.0, y + cell / 2.0 + 4.0, &class, &count.to_string());
                }
            }
            content.push_str("</g>\n");
        }
    }
    for column in 0..count {
        let x = left + (column as f64 + 0.5) * cell;
        if longest > 3.0 {
            let _ = write!(content, "<g transform=\"translate({} {}) rotate(-45)\">", at(x + 2.0), top - 6.0);
            label(&mut content, 0.0, 0.0, "", &name(column));
            content.push_str("</g>\n");
        } else {
            label(&mut content, x, top - 6.0, "middle", &name(column));
        }
    }
    let side = count as f64 * cell;
    label(&mut content, left, 12.0, "small", "columns: the network's answer");
    let _ = write!(content, "<g transform=\"translate(12 {}) rotate(-90)\">", at(top + side / 2.0));
    label(&mut content, 0.0, 0.0, "small middle", "rows: the true class");
    content.push_str("</g>\n");
    let slant = if longest > 3.0 { 5.0 * longest } else { 4.0 };
    // Few classes are narrower than the heading.
    const HEADING: f64 = 180.0;
    Picture {
        width: left + (side + slant).max(HEADING),
        height: top + side + 4.0,
        title: format!("Confusion matrix of {count} classes"),
        content,
    }
}
