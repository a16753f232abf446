//! `host-trainer evaluate`.

use super::Failure;
use super::description::in_threads;
use super::networks::Source;
use host_trainer::report::Confusion;
use host_trainer::workflow::evaluate;
use serde_json::json;

/// Options of the command.
#[derive(clap::Args)]
pub struct Options {
    #[command(flatten)]
    source: Source,
    /// Number of threads [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

/// Says what a network, in `f32` and in integers, makes of the test images.
pub fn run(options: &Options) -> Result<(), Failure> {
    let networks = options.source.open()?;
    let test = &networks.set.test;
    let mut results = Vec::new();
    for (name, graph) in &networks.graphs {
        let answers = in_threads(options.threads, || evaluate::evaluate(graph, test, &networks.scaling))??;
        results.push((name, answers.confusion));
    }
    if options.json {
        let all: Vec<_> = results
            .iter()
            .map(|(name, confusion)| json!({ "form": name, "accuracy": confusion.accuracy(), "confusion": confusion }))
            .collect();
        let images = test.len();
        let value =
            json!({ "data": networks.set.name, "images": images, "classes": networks.set.classes, "results": all });
        println!("{}", serde_json::to_string_pretty(&value)?);
        return Ok(());
    }
    for (name, confusion) in &results {
        println!(
            "{name}: {} of {} test images right, {:.2} %",
            confusion.right(),
            confusion.total(),
            100.0 * confusion.accuracy()
        );
        print!("{}", table(confusion, &networks.set.classes));
    }
    Ok(())
}

/// The confusion matrix, as wide as a terminal; of many classes only what was found of each.
fn table(confusion: &Confusion, classes: &[String]) -> String {
    let count = confusion.0.len();
    let name = |class: usize| -> String {
        classes.get(class).map_or_else(|| class.to_string(), |name| name.chars().take(12).collect())
    };
    let share = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{:.1} %", 100.0 * value));
    let wide = count <= 10;
    let mut text = format!("{:12}  {:>8}", "", "found");
    if wide {
        (0..count).for_each(|class| text.push_str(&format!(" {:>5}", name(class).chars().take(5).collect::<String>())));
    }
    text.push('\n');
    for (class, row) in confusion.0.iter().enumerate() {
        text.push_str(&format!("{:12}  {:>8}", name(class), share(confusion.recall(class))));
        if wide {
            row.iter().for_each(|count| text.push_str(&format!(" {count:>5}")));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_fit_a_terminal() {
        for count in [2, 10, 100] {
            let confusion = Confusion::new(count, (0..count).flat_map(|class| vec![(class, 0); 9999]));
            let names: Vec<String> = (0..count).map(|class| format!("a class with a long name {class}")).collect();
            let text = table(&confusion, &names);
            assert!(text.lines().all(|line| line.chars().count() <= 82), "{text}");
            assert_eq!(text.lines().count(), count + 1);
            assert!(text.contains("100.0 %"));
        }
    }
}
