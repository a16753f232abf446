use super::*;
use crate::data::DataSet;
use crate::random::Random;

/// A record with something of everything.
fn record() -> RunRecord {
    let data = DataSet::embedded();
    let mut random = Random::new(1, 0);
    let pairs = data.test.labels.iter().map(|&label| {
        let label = usize::from(label);
        (label, if random.below(40) == 0 { random.below(10) } else { label })
    });
    let pairs: Vec<(usize, usize)> = pairs.collect();
    let confusion = Confusion::new(10, pairs.iter().copied());
    let wrong = pairs.iter().enumerate().filter(|(_, (label, predicted))| label != predicted);
    let mistakes = wrong
        .take(20)
        .map(|(index, &(label, predicted))| Mistake {
            index,
            label,
            predicted,
            confidence: 0.9 - 0.02 * index as f64 / 100.0,
            shape: data.test.shape(),
            pixels: data.test.image(index).to_vec(),
        })
        .collect();
    let mut normal =
        |scale: f32| -> Vec<f32> { (0..3000).map(|_| (0..6).map(|_| random.between(-scale, scale)).sum()).collect() };
    let weights = ["conv1", "conv2", "dense1", "dense2", "dense3"]
        .iter()
        .map(|name| Histogram { limits: Some([-0.9, 0.9]), ..Histogram::new(name, &normal(0.2)) })
        .collect();
    let activations = ["images", "relu1", "relu2"]
        .iter()
        .map(|name| {
            let values: Vec<f32> = normal(1.0).iter().map(|value| value.max(0.0)).collect();
            Histogram { limits: Some([0.0, 2.5]), ..Histogram::new(name, &values) }
        })
        .collect();
    RunRecord {
        name: "LeNet-5 <on digits>".to_owned(),
        data: data.name.clone(),
        classes: data.classes.clone(),
        training_images: data.train.len(),
        validation_images: 0,
        test_images: data.test.len(),
        seed: 7,
        seconds: 45.3,
        facts: vec![("flash: weights".to_owned(), "64.7 KB".to_owned())],
        layers: vec![LayerRecord {
            name: "conv1".to_owned(),
            kind: "conv2d".to_owned(),
            output: [28, 28, 6],
            parameters: 156,
            macs: 117_600,
        }],
        epochs: (0..20)
            .map(|epoch| EpochRecord {
                quantization_aware: epoch >= 16,
                learning_rate: 0.1,
                training_loss: 1.5 / (1.0 + f64::from(epoch)),
                training_accuracy: 1.0 - 0.5 / (1.0 + f64::from(epoch)),
                test_loss: 0.9 / (1.0 + f64::from(epoch)),
                test_accuracy: 1.0 - 0.2 / (1.0 + f64::from(epoch)),
                images_per_second: 9000.0,
            })
            .collect(),
        results: vec![
            ResultRecord { name: "f32".to_owned(), accuracy: 0.9895, confusion: confusion.clone() },
            ResultRecord { name: "int8".to_owned(), accuracy: confusion.accuracy(), confusion },
        ],
        mistakes,
        weights,
        activations,
        description: "[network]\nlayers = [] # <none>".to_owned(),
    }
}

#[test]
fn confusion_counts() {
    // Two of class 0 (one taken for 2), three of class 2.
    let confusion = Confusion::new(3, [(0, 0), (0, 2), (2, 2), (2, 2), (2, 2)]);
    assert_eq!(confusion.0, [[1, 0, 1], [0, 0, 0], [0, 0, 3]]);
    assert_eq!((confusion.total(), confusion.right(), confusion.accuracy()), (5, 4, 0.8));
    assert_eq!([0, 1, 2].map(|class| confusion.recall(class)), [Some(0.5), None, Some(1.0)]);
    assert_eq!([0, 1, 2].map(|class| confusion.precision(class)), [Some(1.0), None, Some(0.75)]);
}

#[test]
fn histograms_count_every_finite_value() {
    let values = [0.0, 4.8, 2.4, 2.45, 0.05, f32::NAN, f32::INFINITY];
    let histogram = Histogram::new("x", &values);
    assert_eq!((histogram.range, histogram.total(), histogram.counts.len()), ([0.0, 4.8], 5, 48));
    assert_eq!((histogram.counts[0], histogram.counts[24], histogram.counts[47]), (2, 2, 1));
    assert_eq!(Histogram::new("x", &[3.0; 9]).counts[0], 9);
    assert_eq!(Histogram::new("x", &[]).range, [0.0; 2]);
}

#[test]
fn ticks() {
    assert_eq!(chart::epoch_ticks(5), [1, 2, 3, 4, 5]);
    assert_eq!(chart::epoch_ticks(40), [5, 10, 15, 20, 25, 30, 35, 40]);
    let near = |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| (a / b - 1.0).abs() < 1e-9);
    assert!(near(&chart::logarithmic_ticks(0.02, 30.0), &[0.1, 1.0, 10.0]));
    assert!(near(&chart::logarithmic_ticks(0.02, 0.6), &[0.03, 0.1, 0.3]));
    assert!(
        near(&chart::logarithmic_ticks(0.9, 3.2), &[1.0, 2.0, 3.0].map(|x| x))
            || chart::logarithmic_ticks(0.9, 3.2).len() >= 2
    );
    assert_eq!([0.0, 0.05, 12.0, 123.4, 0.001_234].map(svg::number), ["0", "0.05", "12", "123", "0.00123"]);
    assert_eq!([0, 999, 1000, 1_234_567].map(svg::grouped), ["0", "999", "1,000", "1,234,567"]);
}

/// Nothing is fetched, no script runs, and every element that is opened is closed: the page is a tree.
#[test]
fn the_page_stands_alone() {
    let page = html(&record());
    if let Ok(file) = std::env::var("BARECONV_REPORT") {
        std::fs::write(file, &page).unwrap();
    }
    for word in ["http:", "https:", "//", "<script", "url(", "@import", "<link", "NaN"] {
        let text = page.replace("data:image/png;base64,", "");
        // Slashes are digits of base64, too.
        let text: String =
            text.split("src=\"").map(|part| part.split_once('"').map_or(part, |(_, rest)| rest)).collect();
        assert!(!text.contains(word), "{word}");
    }
    assert!(page.contains("LeNet-5 &lt;on digits&gt;") && page.contains("# &lt;none&gt;"));
    assert_eq!(page.matches("data:image/png;base64,").count(), 20);
    check_tree(&page);
    check_tree(&html(&RunRecord::default()));
}

/// The files are pictures with a name space of their own.
#[test]
fn pictures_are_trees() {
    let files = pictures(&record());
    assert_eq!(files.len(), 6);
    for (name, text) in files {
        assert!(text.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""), "{name}");
        assert!(!text.contains("NaN"), "{name}");
        check_tree(&text);
    }
}

fn check_tree(page: &str) {
    const EMPTY: [&str; 4] = ["meta", "img", "!DOCTYPE", "br"];
    let mut open = Vec::new();
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        let name = tag.trim_start_matches('/').split([' ', '\n', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{name}>");
        } else if !tag.ends_with('/') && !EMPTY.contains(&name) {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}
