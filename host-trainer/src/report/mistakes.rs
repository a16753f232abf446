//! The worst mistakes.

use super::Mistake;
use super::svg::{Picture, at, escape, label, png_uri, short};
use std::fmt::Write;

/// The name of a class; its number if it has none.
pub(super) fn class(classes: &[String], class: usize) -> String {
    classes.get(class).cloned().unwrap_or_else(|| class.to_string())
}

/// A mistake as an element of a page.
pub(super) fn figure(mistake: &Mistake, classes: &[String]) -> String {
    let picture = match png_uri(mistake.shape, &mistake.pixels) {
        Ok(uri) => format!("<img src=\"{uri}\" alt=\"test image {}\" width=\"72\">", mistake.index),
        Err(_) => "<span class=\"none\">no picture</span>".to_owned(),
    };
    format!(
        "<figure>{picture}<figcaption><b>{}</b><span>is {}</span><span>{:.0} % sure</span><span>no. {}</span></figcaption></figure>\n",
        escape(&class(classes, mistake.predicted)),
        escape(&class(classes, mistake.label)),
        100.0 * mistake.confidence,
        mistake.index
    )
}

/// All of them as one picture.
pub(super) fn sheet(mistakes: &[Mistake], classes: &[String]) -> Picture {
    const COLUMNS: usize = 8;
    const CELL: (f64, f64) = (96.0, 118.0);
    let mut content = String::new();
    for (place, mistake) in mistakes.iter().enumerate() {
        let x = 10.0 + (place % COLUMNS) as f64 * CELL.0;
        let y = 10.0 + (place / COLUMNS) as f64 * CELL.1;
        if let Ok(uri) = png_uri(mistake.shape, &mistake.pixels) {
            let _ = writeln!(
                content,
                "<image href=\"{uri}\" x=\"{}\" y=\"{}\" width=\"72\" height=\"72\" preserveAspectRatio=\"xMidYMid\"/>",
                at(x + 6.0),
                at(y)
            );
        }
        label(&mut content, x + 42.0, y + 88.0, "strong middle", &short(&class(classes, mistake.predicted), 13));
        let label_text = format!("is {}", short(&class(classes, mistake.label), 11));
        label(&mut content, x + 42.0, y + 102.0, "small middle", &label_text);
    }
    let (columns, rows) = (mistakes.len().clamp(1, COLUMNS), mistakes.len().div_ceil(COLUMNS).max(1));
    Picture {
        width: 8.0 + columns as f64 * CELL.0,
        height: 8.0 + rows as f64 * CELL.1,
        title: format!("{} mistakes, worst first", mistakes.len()),
        content,
    }
}
