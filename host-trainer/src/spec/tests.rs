use super::*;
use bareconv::{BlurPadding, Coordinates};

/// A description with these layers and more fields of the training table.
fn text(layers: &str, training: &str) -> String {
    format!(
        "[data]\nformat = \"mnist_subset\"\n\n[network]\nlayers = [\n{layers}\n]\n\n[training]\nepochs = 2\nbatch = 16\n\
         {}schedule = {{ kind = \"constant\", peak = 0.1 }}\n{training}",
        if training.contains("optimizer") { "" } else { "optimizer = { kind = \"sgd\", momentum = 0.9 }\n" }
    )
}

fn read(text: &str) -> Result<Description, SpecError> {
    Description::from_toml(text, Path::new("digits.toml"))
}

/// The error of a description for images of 28x28x1 in 10 classes.
fn error(text: &str) -> SpecError {
    let description = match read(text) {
        Err(error) => return error,
        Ok(description) => description,
    };
    let problem = description.build([28, 28, 1], 10).expect_err("it is wrong");
    Description::at(text, Path::new("digits.toml"), problem)
}

/// The marked part of the line, the line's number, and the whole message.
fn marked(error: &SpecError) -> (String, usize, String) {
    let message = error.to_string();
    let lines: Vec<&str> = message.lines().collect();
    let mark = lines.iter().position(|line| line.ends_with('^')).expect("a mark");
    let start = lines[mark].find('^').unwrap();
    let length = lines[mark].len() - start;
    (lines[mark - 1].chars().skip(start).take(length).collect(), error.line, message)
}

const DENSE: &str = "{ kind = \"dense\", outputs = 10 },";

#[test]
fn sequential_networks() {
    let layers = "{ kind = \"conv2d\", filters = 6, filter = 5, padding = \"same\" },
        { kind = \"relu\" },
        { kind = \"max_pool\", window = 2 },
        { kind = \"conv2d\", filters = 8, filter = [3, 5], stride = 2, padding = [1, 0], bias = false },
        { kind = \"batch_norm\" },
        { kind = \"dense\", outputs = 10, name = \"logits\" },";
    let description = read(&text(layers, "")).unwrap();
    assert_eq!(description.name, "digits");
    let network = description.build([28, 28, 1], 10).unwrap();
    let shapes: Vec<Shape> = network.nodes().iter().map(|node| node.output).collect();
    // By hand: (14 + 2 - 3) / 2 + 1 = 7 and (14 - 5) / 2 + 1 = 5.
    assert_eq!(shapes, [[28, 28, 6], [28, 28, 6], [14, 14, 6], [7, 5, 8], [7, 5, 8], [1, 1, 10]]);
    let names: Vec<&str> = network.nodes().iter().map(|node| &node.name[..]).collect();
    assert_eq!(names, ["conv1", "relu1", "max_pool1", "conv2", "batch_norm1", "logits"]);
    assert_eq!(network.nodes()[0].inputs, [network.input()]);
    assert_eq!(network.nodes()[3].inputs, [network.value(2)]);
    let Operator::Conv2d { padding, .. } = description.network.layers[3].operator else { unreachable!() };
    assert_eq!(padding, Padding::Sides([1, 0, 1, 0]));
}

#[test]
fn branches() {
    let layers = "{ kind = \"conv2d\", filters = 4, filter = 3, padding = \"same\", name = \"start\" },
        { kind = \"conv2d\", filters = 8, filter = 3, padding = \"same\", stride = 2 },
        { kind = \"relu\", name = \"main\" },
        { kind = \"conv2d\", filters = 8, filter = 1, stride = 2, from = \"start\" },
        { kind = \"add\", from = \"main\" },
        { kind = \"concatenate\", from = [\"main\", \"add1\"] },
        { kind = \"global_average_pool\" },"
        .to_owned();
    let description = read(&text(&format!("{layers}{DENSE}"), "")).unwrap();
    let network = description.build([28, 28, 1], 10).unwrap();
    let nodes = network.nodes();
    assert_eq!(nodes[3].inputs, [network.value(0)]);
    assert_eq!(nodes[4].inputs, [network.value(3), network.value(2)]);
    assert_eq!((nodes[4].output, nodes[5].output, nodes[6].output), ([14, 14, 8], [14, 14, 16], [1, 1, 16]));
}

/// By hand: what moves values, differences, and what lies beside borders.
#[test]
fn resizing_padding_and_slices() {
    let layers = "{ kind = \"slice\", rows = [4, -4], columns = [0, 28, 3] },
        { kind = \"average_pool\", window = 3, stride = 2, padding = 1, including_padding = true, name = \"start\" },
        { kind = \"upsample\", factor = [2, 3] },
        { kind = \"upsample\", size = [10, 5], coordinates = \"align_corners\" },
        { kind = \"subtract\", from = \"start\" },
        { kind = \"pad\", padding = [1, 0], channels = [0, 2] },
        { kind = \"slice\", channels = [-1, -9, -2] },
        { kind = \"blur_pool2d\", taps = 3, stride = 2, padding = \"zero\" },";
    let description = read(&text(&format!("{layers}{DENSE}"), "")).unwrap();
    let network = description.build([28, 28, 1], 10).unwrap();
    let nodes = network.nodes();
    let shapes: Vec<Shape> = nodes.iter().map(|node| node.output).collect();
    let expected = [[20, 10, 1], [10, 5, 1], [20, 15, 1], [10, 5, 1], [10, 5, 1], [12, 5, 3], [12, 5, 2], [6, 3, 2]];
    assert_eq!(shapes[..8], expected);
    assert!(matches!(nodes[1].layer, nn::Layer::AveragePool2d { including_padding: true, .. }));
    assert_eq!(nodes[3].layer, nn::Layer::Upsample { size: [10, 5], coordinates: Coordinates::AlignCorners });
    // The layer before less the one that is named.
    assert_eq!(nodes[4].inputs, [network.value(3), network.value(1)]);
    assert!(matches!(nodes[7].layer, nn::Layer::BlurPool2d { padding: BlurPadding::Zero, .. }));
    let again = Description::from_toml(&description.to_toml().unwrap(), Path::new("other.toml")).unwrap();
    assert_eq!(again.network, description.network);
}

/// A transposed convolution's `"same"`: the input times the stride, where the filter is not smaller than that.
#[test]
fn transposed_same_padding() {
    for (filter, stride, output_padding, expected) in
        [(3, 2, 0, 14), (4, 2, 0, 14), (5, 1, 0, 7), (2, 3, 0, 20), (2, 3, 1, 21)]
    {
        let layers = format!(
            "{{ kind = \"transposed_conv2d\", filters = 1, filter = {filter}, stride = {stride}, padding = \"same\", \
             output_padding = {output_padding} }}"
        );
        let network = read(&text(&layers, "")).unwrap().network.build([7, 7, 1]).unwrap();
        assert_eq!(network.output_shape(), [expected, expected, 1], "{filter} {stride}");
    }
}

/// TensorFlow's padding: for 3x3 and a stride of 2 over an even size, nothing at the top and left, one at the other sides.
#[test]
fn same_padding_is_tensorflows() {
    for (size, filter, stride, expected) in
        [(32, 3, 2, 16), (33, 3, 2, 17), (7, 2, 1, 7), (49, 10, 2, 25), (5, 1, 2, 3)]
    {
        let layers =
            format!("{{ kind = \"conv2d\", filters = 1, filter = {filter}, stride = {stride}, padding = \"same\" }}");
        let network = read(&text(&layers, "")).unwrap().network.build([size, size, 1]).unwrap();
        assert_eq!(network.output_shape(), [expected, expected, 1], "{size} {filter} {stride}");
        let nn::Layer::Conv2d(conv) = &network.nodes()[0].layer else { unreachable!() };
        if (size, filter, stride) == (32, 3, 2) {
            assert_eq!(conv.padding, [0, 0, 1, 1]);
        }
    }
}

#[test]
fn unknown_fields_are_refused_where_they_are() {
    for (layers, training, word) in [
        ("{ kind = \"conv2d\", filters = 6, filter = 5, paddin = 2 },", "", "paddin"),
        ("{ kind = \"relu\", slope = 2 },", "", "slope"),
        ("{ kind = \"convolution\", filters = 6 },", "", "\"convolution\""),
        ("", "bach = 3", "bach"),
        ("", "optimizer = { kind = \"sgd\", momentum = 0.9, beta1 = 0.1 }", "beta1"),
        ("", "optimizer = { kind = \"sdg\" }", "\"sdg\""),
        ("", "[quantization]\nbits = 8", "bits"),
        ("", "[target]\nmodul = \"x\"", "modul"),
        ("", "[tarket]\nmodule = \"x\"", "tarket"),
    ] {
        let text = text(&format!("{layers}{DENSE}"), training);
        let (mark, line, message) = marked(&error(&text));
        assert_eq!(mark, word, "{message}");
        assert_eq!(line, text[..text.find(word).unwrap()].matches('\n').count() + 1, "{message}");
        assert!(message.contains("expected"), "{message}");
    }
    // Fields that other parts of the program read are among those that are expected.
    for (layers, training, expected) in [
        ("", "seed = 3", "`seeds`, `validation_share`, `pruning`"),
        ("", "[quantization]\nmethods = 8", "`method`, `calibration_images`, `aware`"),
        ("{ kind = \"relu\", form = \"images\" },", "", "expected one of `kind`, `name`, `from`"),
        ("{ kind = \"max_pool\", window = 2, form = \"images\" },", "", "`padding`, `kind`, `name`, `from`"),
        ("{ kind = \"relu\", form = \"images\", bias = 2 },", "", "expected one of `kind`, `name`, `from`"),
    ] {
        let message = error(&text(&format!("{layers}{DENSE}"), training)).to_string();
        assert!(message.contains(expected) && message.contains("host-trainer schema"), "{message}");
    }
    // No words of Rust's.
    for (layers, training, expected) in [
        ("{ kind = \"max_pool\", window = 2, stride = -1 },", "", "number"),
        ("", "clip_norm = \"much\"", "expected a number"),
        ("", "seeds = 3", "expected"),
        ("4,", "", "expected a table"),
        ("{ kind = \"slice\", rows = [\"a\", 3] },", "", "expected a whole number"),
    ] {
        let message = error(&text(&format!("{layers}{DENSE}"), training)).to_string();
        assert!(message.contains(expected), "{message}");
        assert!(!["usize", "struct", "enum", "i128", "f32"].iter().any(|word| message.contains(word)), "{message}");
    }
    let (mark, line, message) = marked(&error("[data]\nformat = \"idx\"\npath = \"x\"\npaths = 3\n"));
    assert_eq!((&mark[..], line), ("paths", 4), "{message}");
}

#[test]
fn missing_and_mistyped_fields() {
    let (_, line, message) = marked(&error(&text("{ kind = \"relu\" },\n{ kind = \"conv2d\", filter = 5 },", "")));
    assert!(line == 7 && message.contains("missing field `filters`"), "{message}");
    let (mark, _, message) = marked(&error(&text("{ kind = \"conv2d\", filters = 6, filter = \"5\" },", "")));
    assert!(mark == "\"5\"" && message.contains("[vertical, horizontal]"), "{message}");
    let (mark, _, message) = marked(&error(&text("{ kind = \"conv2d\", filters = 6, filter = [5, 5, 5] },", "")));
    assert!(mark == "[5, 5, 5]" && message.contains("[vertical, horizontal]"), "{message}");
    let (_, line, message) = marked(&error(&text("{ filters = 6, filter = 5 },", "")));
    assert!(line == 6 && message.contains("kind"), "{message}");
    let (_, line, message) = marked(&error("[data]\nformat = \"idx\"\n\nx = ["));
    assert!(line == 4, "{message}");
}

#[test]
fn layers_that_do_not_fit_say_what_would() {
    let pool = "{ kind = \"max_pool\", window = 2 },\n";
    for (layers, line, word, says) in [
        (format!("{pool}{pool}{{ kind = \"conv2d\", filters = 4, filter = 9 }},"), 8, "9", ["input of 7x7x1", "at most 7x7"]),
        (format!("{pool}{{ kind = \"max_pool\", window = [2, 15] }},"), 7, "window", ["14x14x1", "at most 14x14"]),
        (
            "{ kind = \"conv2d\", filters = 6, filter = 1 },\n{ kind = \"conv2d\", filters = 4, filter = 1, groups = 3 },".into(),
            7,
            "3",
            ["28x28x6", "one of 1, 2"],
        ),
        (
            "{ kind = \"conv2d\", filters = 6, filter = 3, padding = 3 },".into(),
            6,
            "3",
            ["28x28x1", "padding = \"same\""],
        ),
        ("{ kind = \"conv2d\", filters = 0, filter = 3 },".into(), 6, "{ kind", ["28x28x1", "at least 1"]),
        ("{ kind = \"max_pool\", window = 2, stride = 0 },".into(), 6, "{ kind", ["strides", "at least 1"]),
        ("{ kind = \"dropout\", rate = 1.5 },".into(), 6, "1.5", ["the rate is at least 0", "below 1"]),
        (
            "{ kind = \"relu\", name = \"a\" },\n{ kind = \"max_pool\", window = 2 },\n{ kind = \"add\", from = \"a\" },".into(),
            8,
            "\"a\"",
            ["14x14x1 and 28x28x1", "stride height"],
        ),
        ("{ kind = \"relu\" },\n{ kind = \"relu\", from = \"b\" },".into(), 7, "\"b\"", ["name `b`", "images, relu1"]),
        ("{ kind = \"relu\", name = \"a\" },\n{ kind = \"relu\", name = \"a\" },".into(), 7, "\"a\"", ["another layer has this name", "own"]),
        ("{ kind = \"relu\", name = \"A b\" },".into(), 6, "\"A b\"", ["no name", "lower-case"]),
        ("{ kind = \"relu\" },\n{ kind = \"tanh\", from = \"images\" },".into(), 6, "{ kind", ["nothing uses", "relu1"]),
        (
            "{ kind = \"relu\", name = \"a\" },\n{ kind = \"max_pool\", window = 2 },\n{ kind = \"subtract\", from = \"a\" },".into(),
            8,
            "\"a\"",
            ["14x14x1 and 28x28x1", "stride height"],
        ),
        ("{ kind = \"subtract\", from = [\"images\", \"images\", \"images\"] },".into(), 6, "from", ["two inputs, not 3", "as many"]),
        ("{ kind = \"upsample\" },".into(), 6, "{ kind", ["how large", "factor = 2"]),
        ("{ kind = \"upsample\", factor = 2, size = 4 },".into(), 6, "4", ["`factor` says", "one of them"]),
        ("{ kind = \"upsample\", factor = 0 },".into(), 6, "0", ["28x28x1", "1 to 65536"]),
        ("{ kind = \"upsample\", size = [70000, 3] },".into(), 6, "size", ["2^16", "1 to 65536"]),
        ("{ kind = \"pad\" },".into(), 6, "{ kind", ["adds nothing", "padding = 1"]),
        ("{ kind = \"pad\", padding = \"same\" },".into(), 6, "\"same\"", ["goes by a filter", "padding = 1"]),
        ("{ kind = \"pad\", channels = [0, 70000] },".into(), 6, "{ kind", ["28x28x1", "at most 65536"]),
        ("{ kind = \"slice\", columns = [4, 4] },".into(), 6, "columns", ["28x28x1", "within 0 to 28"]),
        ("{ kind = \"slice\", channels = [0, 1, 0] },".into(), 6, "channels", ["at least 1", "within 0 to 1"]),
        ("{ kind = \"slice\", rows = [4] },".into(), 6, "[4]", ["invalid length 1", "[begin, end, stride]"]),
        ("{ kind = \"relu\" },\n{ kind = \"add\" },".into(), 7, "{ kind", ["what it joins", "from = "]),
    ] {
        let last = if layers.contains("\"A b\"") { "" } else { DENSE };
        let (mark, found, message) = marked(&error(&text(&format!("{layers}\n{last}"), "")));
        assert_eq!(found, line, "{message}");
        assert!(mark.starts_with(word), "{mark}: {message}");
        assert!(says.iter().all(|&says| message.contains(says)), "{message}");
    }
    let (_, line, message) = marked(&error(&text("{ kind = \"dense\", outputs = 11 },", "")));
    assert!(line == 6 && message.contains("10 classes") && message.contains("outputs = 10"), "{message}");
    let (mark, _, message) = marked(&error(&text("", "")));
    assert!(mark == "layers" && message.contains("no layer"), "{message}");
}

#[test]
fn numbers_out_of_range() {
    for (field, mark, says) in [
        ("batch = 0", "0", "at least 1"),
        ("weight_decay = -1.0", "-1.0", "below 0"),
        ("label_smoothing = 1.0", "1.0", "below 1"),
        ("average = { kind = \"exponential\", decay = 1.0 }", "1.0", "below 1"),
        ("clip_norm = 0.0", "0.0", "above 0"),
        ("validation_share = 1.0", "1.0", "below 1"),
        ("early_stopping = { patience = 3 }", "early_stopping", "validation images"),
        ("pruning = { sparsity = 1.0 }", "1.0", "below 1"),
        ("pruning = { sparsity = 0.5, begin = 0.5, end = 0.25 }", "0.25", "`begin`, which is 0.5"),
        ("seeds = [1, 2]", "seeds", "validation_share = 0.1"),
        ("seeds = []", "seeds", "seeds = [1]"),
        ("seeds = [4294967296]", "seeds", "at most 4294967295"),
        ("optimizer = { kind = \"adam\", beta2 = 1.5 }", "1.5", "below 1"),
        ("optimizer = { kind = \"sgd\", momentum = 0.0, nesterov = true }", "true", "momentum"),
        ("[training.augmentation]\nrotation = 400.0", "400.0", "an angle in degrees"),
        ("[training.augmentation]\ncutout = { size = 99 }", "99", "longer side"),
        ("[quantization]\ncalibration_images = 0", "0", "at least 1"),
        ("[quantization]\nmethod = \"aware\"", "\"aware\"", "[quantization.aware] is missing"),
        (
            "[quantization]\naware = { epochs = 1, schedule = { kind = \"constant\", peak = 0.1 } }",
            "aware",
            "method = \"aware\"",
        ),
        (&aware("epochs = 0")[..], "0", "at least 1"),
        (&aware("epochs = 2\nrange_decay = 1.0")[..], "1.0", "below 1"),
        (&aware("").replace("0.1 }", "0.0 }").replace("schedule", "epochs = 2\nschedule")[..], "0.0", "above 0"),
    ] {
        let text =
            text(DENSE, field).replace("batch = 16\n", if field.starts_with("batch") { "" } else { "batch = 16\n" });
        let (marked, line, message) = marked(&error(&text));
        assert_eq!(line, text.trim_end().matches('\n').count() + 1, "{message}");
        assert_eq!(marked, mark, "{message}");
        assert!(message.contains(says), "{message}");
    }
    for schedule in [
        "{ kind = \"constant\", peak = 0.0 }",
        "{ kind = \"step\", peak = 0.1, at = [2.0] }",
        "{ kind = \"cosine\", peak = 0.1, last = 1.5 }",
        "{ kind = \"one_cycle\", peak = 0.1, warm_up = 1.0 }",
    ] {
        let text = text(DENSE, "").replace("{ kind = \"constant\", peak = 0.1 }", schedule);
        let (_, line, message) = marked(&error(&text));
        assert_eq!(line, text[..text.find("schedule").unwrap()].matches('\n').count() + 1, "{message}");
    }
}

/// A quantization with these fields, the schedule before them.
fn aware(fields: &str) -> String {
    format!(
        "[quantization]\nmethod = \"aware\"\n[quantization.aware]\nschedule = {{ kind = \"constant\", peak = 0.1 }}\n{fields}"
    )
}

#[test]
fn quantization_aware_training_is_as_the_other_but_for_what_it_says() {
    let description = read(&text(DENSE, &aware("epochs = 5"))).unwrap();
    let quantization = description.quantization.unwrap();
    assert_eq!(quantization.aware.as_ref().unwrap().range_decay, 0.99);
    let recipe = quantization.aware_recipe(&description.training.recipe).unwrap();
    assert_eq!((recipe.epochs, recipe.batch), (5, 16));
    assert_eq!(recipe.optimizer, description.training.recipe.optimizer);
    let other = read(&text(DENSE, "[quantization]\n")).unwrap();
    assert_eq!(other.quantization.unwrap().aware_recipe(&recipe), None);
}

#[test]
fn toml_and_back() {
    let layers = "{ kind = \"conv2d\", filters = 4, filter = [3, 1], padding = [1, 2, 3, 4], name = \"start\" },
        { kind = \"leaky_relu\", slope = 0.25 },
        { kind = \"add\", from = [\"start\", \"leaky_relu1\"] },
        { kind = \"relu6\" }, { kind = \"batch_norm\", momentum = 0.5 },";
    let description = read(&text(&format!("{layers}{DENSE}"), "[quantization]\ncalibration_images = 7")).unwrap();
    let again = Description::from_toml(&description.to_toml().unwrap(), Path::new("other.toml")).unwrap();
    assert_eq!(again, description);
    let text = text(DENSE, &format!("pruning = {{ sparsity = 0.25 }}\n{}", aware("epochs = 3\nrange_decay = 0.5")));
    let description = read(&text.replace("[network]\n", "[network]\ninput = \"standard_per_channel\"\n")).unwrap();
    let again = Description::from_toml(&description.to_toml().unwrap(), Path::new("other.toml")).unwrap();
    assert_eq!(again, description);
}

#[test]
fn errors_without_a_text() {
    let problem = Problem::new(&["network"], "wrong", "right").within(["outer".into(), 3.into()]);
    assert_eq!(problem.to_string(), "outer[3].network: wrong; right");
}

/// The fields that a table knows, as its reader says when it meets another.
fn known_fields(text: &str) -> Vec<String> {
    let message = read(text).expect_err("an unknown field").problem;
    let (_, list) = message.split_once("expected").unwrap_or_else(|| panic!("{message}"));
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Every field and every name that is read is in the documentation, and its examples are read.
#[test]
fn the_documentation_is_complete() {
    let mut documented = 0;
    let mut check = |text: &str| {
        let known = known_fields(text);
        assert!(!known.is_empty());
        for field in known.iter().filter(|field| !["recipe", "options", "none"].contains(&&field[..])) {
            let quoted = [
                format!("`{field}`"),
                format!("\"{field}\""),
                format!("{field} ="),
                format!("[{field}]"),
                format!(".{field}]"),
            ];
            let within = [format!("{{ {field}"), format!(", {field}")];
            assert!(quoted.iter().chain(&within).any(|form| SCHEMA.contains(form)), "{field} of {known:?}");
            documented += 1;
        }
    };
    check("wrong = 1");
    let text =
        |network: &str, training: &str| text(DENSE, training).replace("[network]\n", &format!("[network]\n{network}"));
    check(&text("wrong = 1\n", ""));
    check(&text("initialization = \"wrong\"\n", ""));
    check(&text("input = \"wrong\"\n", ""));
    check(&text("", "wrong = 1"));
    check(&text("", "[training.augmentation]\nwrong = 1"));
    for table in ["elastic", "cutout", "stylization", "context", "clutter"] {
        check(&text("", &format!("[training.augmentation.{table}]\nwrong = 1")));
    }
    check(&text("", "[quantization]\nwrong = 1"));
    for field in ["method", "activations", "weights", "rounding", "activation_range", "weight_range"] {
        check(&text("", &format!("[quantization]\n{field} = \"wrong\"")));
    }
    check(&text("", &aware("epochs = 1\nwrong = 1")));
    check(&text("", "[target]\nwrong = 1"));
    check(&text("", "optimizer = { kind = \"wrong\" }"));
    for kind in ["sgd", "adam", "adamw"] {
        check(&text("", &format!("optimizer = {{ kind = \"{kind}\", wrong = 1 }}")));
    }
    check(&text("", "average = { kind = \"wrong\" }"));
    check(&text("", "pruning = { sparsity = 0.5, wrong = 1 }"));
    check(&text("", "pruning = { sparsity = 0.5, scope = \"wrong\" }"));
    for (table, kinds) in [("schedule", ["constant", "step", "cosine", "one_cycle"])] {
        for kind in kinds {
            let other = format!("{table} = {{ kind = \"{kind}\", peak = 0.1, wrong = 1 }}");
            check(&text("", "").replace("schedule = { kind = \"constant\", peak = 0.1 }", &other));
        }
    }
    check("[data]\nformat = \"wrong\"");
    for format in ["idx", "fashion_mnist", "cifar", "npy", "pictures"] {
        check(&format!("[data]\nformat = \"{format}\"\nwrong = 1"));
    }
    let layer = |fields: &str| text("", "").replace(DENSE, &format!("{{ {fields} }},"));
    check(&layer("kind = \"upsample\", factor = 2, coordinates = \"wrong\""));
    check(&layer("kind = \"blur_pool2d\", taps = 3, stride = 2, padding = \"wrong\""));
    let kinds = known_fields(&layer("kind = \"wrong\""));
    check(&layer("kind = \"wrong\""));
    for kind in kinds {
        let wrong = layer(&format!("kind = \"{kind}\", wrong = 1"));
        // Some have no fields.
        if read(&wrong).unwrap_err().problem.contains('`') && !read(&wrong).unwrap_err().problem.contains("no fields") {
            check(&wrong);
        }
    }
    assert!(documented > 150, "{documented}");

    let examples = SCHEMA.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let examples: Vec<&str> = examples.collect();
    assert_eq!(examples.len(), 1);
    read(examples[0]).unwrap().build([28, 28, 1], 10).unwrap();
}

/// The recipes of the repository are read, and their layers fit.
#[test]
fn the_examples_are_good() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/train");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let description = Description::from_toml(&text, &path).unwrap_or_else(|error| panic!("{error}"));
        let shape = if matches!(description.data, DataSource::Cifar { .. }) { [32, 32, 3] } else { [28, 28, 1] };
        let network = description.build(shape, 10).unwrap_or_else(|problem| panic!("{}: {problem}", path.display()));
        // Small enough for what they say.
        assert!(network.parameters() < 100_000, "{}: {}", path.display(), network.parameters());
        count += 1;
    }
    assert!(count >= 3, "{count}");
}
