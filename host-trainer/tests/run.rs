//! The interpreter of graphs, against the reference and against numbers worked out by hand.

use bareconv::{Activation, Conv2dShape, Quantization, arch};
use host_trainer::graph::{
    Element, Function, Graph, Node, Numbers, Operator, Rounding, Scales, Shape, Value, ValueId, Weights,
};
use host_trainer::run::Interpreter;
use host_trainer::verify;

/// A graph of one operator; `values` are its inputs and, last, its output.
fn graph(operator: Operator, values: &[(Shape, Element)]) -> Graph {
    let value = |(i, &(shape, element)): (usize, &(Shape, Element))| Value {
        name: format!("value{i}"),
        shape,
        dimensions: shape.to_vec(),
        element,
        constant: None,
    };
    let inputs: Vec<_> = (0..values.len() - 1).map(ValueId).collect();
    let output = ValueId(values.len() - 1);
    let place = "operator 0".to_owned();
    Graph {
        name: "one".to_owned(),
        source: "a test".to_owned(),
        rounding: Rounding::TensorFlowLiteMicro,
        values: values.iter().enumerate().map(value).collect(),
        nodes: vec![Node { name: "node".to_owned(), place, operator, inputs: inputs.clone(), output }],
        inputs,
        outputs: vec![output],
    }
}

fn floats(operator: Operator, inputs: &[(Shape, &[f32])], shape: Shape) -> Vec<f32> {
    let mut values: Vec<_> = inputs.iter().map(|&(shape, _)| (shape, Element::F32)).collect();
    values.push((shape, Element::F32));
    let inputs: Vec<_> = inputs.iter().map(|(_, numbers)| Numbers::F32(numbers.to_vec())).collect();
    let outputs = Interpreter::new(&graph(operator, &values)).unwrap().run(&inputs).unwrap();
    let [Numbers::F32(output)] = outputs.as_slice() else { panic!("one output") };
    output.clone()
}

#[test]
fn both_operands_are_repeated() {
    let column: (Shape, &[f32]) = ([2, 1, 1], &[10.0, 20.0]);
    let row: (Shape, &[f32]) = ([1, 3, 1], &[1.0, 2.0, 3.0]);
    let to = [2, 3, 1];
    let identity = Activation::Identity;
    assert_eq!(floats(Operator::Add(identity), &[column, row], to), [11.0, 12.0, 13.0, 21.0, 22.0, 23.0]);
    assert_eq!(floats(Operator::Subtract(identity), &[row, column], to), [-9.0, -8.0, -7.0, -19.0, -18.0, -17.0]);
    assert_eq!(floats(Operator::Multiply(Activation::Relu6), &[row, row], [1, 3, 1]), [1.0, 4.0, 6.0]);
}

#[test]
fn slices_go_forwards_and_backwards() {
    let numbers: Vec<f32> = (0..24).map(|i| i as f32).collect();
    let slice = |begin, stride, to| floats(Operator::Slice { begin, stride }, &[([2, 4, 3], &numbers)], to);
    assert_eq!(slice([1, 0, 0], [1, 2, 2], [1, 2, 2]), [12.0, 14.0, 18.0, 20.0]);
    assert_eq!(slice([1, 3, 1], [-1, -3, 1], [2, 2, 1]), [22.0, 13.0, 10.0, 1.0]);
}

#[test]
fn resizing_takes_the_nearest() {
    let numbers = [0.0, 1.0, 2.0, 3.0];
    let resize = |align_corners, half_pixel_centers, width| {
        let operator = Operator::ResizeNearest { align_corners, half_pixel_centers };
        floats(operator, &[([1, 4, 1], &numbers)], [1, width, 1])
    };
    // 4/6 * x rounded down; then of x + 1/2; then 3/5 * x rounded, halves away from zero.
    assert_eq!(resize(false, false, 6), [0.0, 0.0, 1.0, 2.0, 2.0, 3.0]);
    assert_eq!(resize(false, true, 6), [0.0, 1.0, 1.0, 2.0, 3.0, 3.0]);
    assert_eq!(resize(true, false, 6), [0.0, 1.0, 1.0, 2.0, 2.0, 3.0]);
    assert_eq!(resize(false, true, 2), [1.0, 3.0]);
}

#[test]
fn pads_concatenations_and_reshapes_move_values() {
    let value = Numbers::F32(vec![-1.0]);
    let pad = Operator::Pad { before: [0, 1, 0], after: [1, 0, 0], value };
    assert_eq!(floats(pad, &[([1, 2, 1], &[5.0, 6.0])], [2, 3, 1]), [-1.0, 5.0, 6.0, -1.0, -1.0, -1.0]);
    let inputs: [(Shape, &[f32]); 2] = [([1, 2, 1], &[1.0, 2.0]), ([1, 2, 2], &[3.0, 4.0, 5.0, 6.0])];
    let joined = floats(Operator::Concatenate { axis: 2 }, &inputs, [1, 2, 3]);
    assert_eq!(joined, [1.0, 3.0, 4.0, 2.0, 5.0, 6.0]);
    assert_eq!(floats(Operator::Reshape, &[([1, 2, 1], &[1.0, 2.0])], [2, 1, 1]), [1.0, 2.0]);
}

#[test]
fn concatenated_int8_values_are_requantized() {
    let half = Element::Int8(Quantization::new(0.5, 4));
    let whole = Element::Int8(Quantization::new(1.0, -1));
    let values = [([1, 1, 2], half), ([1, 1, 1], whole), ([1, 1, 3], whole)];
    let graph = graph(Operator::Concatenate { axis: 2 }, &values);
    let inputs = [Numbers::Int8(vec![10, -6]), Numbers::Int8(vec![99])];
    // (10 - 4) / 2 - 1 and (-6 - 4) / 2 - 1.
    assert_eq!(Interpreter::new(&graph).unwrap().run(&inputs).unwrap(), [Numbers::Int8(vec![2, -6, 99])]);
}

#[test]
fn broken_rules_are_named() {
    let q = Quantization::new(0.1, 0);
    let sigmoid = Operator::Function(Function::Sigmoid);
    let error = |graph: &Graph| Interpreter::new(graph).err().unwrap().to_string();
    let text = error(&graph(sigmoid.clone(), &[([1, 1, 2], Element::Int8(q)), ([1, 1, 2], Element::Int8(q))]));
    assert!(text.contains("operator 0") && text.contains("0.00390625"), "{text}");
    let text = error(&graph(sigmoid.clone(), &[([1, 1, 2], Element::F32), ([1, 1, 3], Element::F32)]));
    assert!(text.contains("[1, 1, 3]"), "{text}");
    let mut loose = graph(sigmoid, &[([1, 1, 2], Element::F32), ([1, 1, 2], Element::F32)]);
    loose.inputs.clear();
    assert!(error(&loose).contains("not known"));
    loose.inputs = vec![ValueId(7)];
    assert!(error(&loose).contains("inputs"));
}

#[test]
fn wrong_inputs_are_refused() {
    let graph = graph(Operator::Reshape, &[([1, 1, 2], Element::F32), ([1, 2, 1], Element::F32)]);
    let interpreter = Interpreter::new(&graph).unwrap();
    assert!(interpreter.run(&[]).is_err());
    assert!(interpreter.run(&[Numbers::F32(vec![0.0])]).is_err());
    assert!(interpreter.run(&[Numbers::Int8(vec![0; 2])]).is_err());
    assert!(interpreter.run_bytes(&[0; 7]).is_err());
    assert!(interpreter.run_bytes(&[0; 9]).is_err());
    assert_eq!(interpreter.run_bytes(&[1, 2, 3, 4, 5, 6, 7, 8]).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
}

/// A convolution with pooling and a dense layer, of numbers without a pattern.
fn small_network() -> Graph {
    let mut state = 1u32;
    let mut next = move |bound: i32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as i32 % (2 * bound + 1) - bound
    };
    let mut numbers = |shape: &Conv2dShape| Weights::Int8 {
        weights: (0..shape.filters * shape.filter_len()).map(|_| next(127) as i8).collect(),
        scales: Scales::PerChannel(
            (0..shape.filters).map(|_| 0.001 + next(100).unsigned_abs() as f32 * 1e-5).collect(),
        ),
        bias: (0..shape.filters).map(|_| next(1000)).collect(),
        wide_bias: false,
    };
    let conv = Conv2dShape::new([6, 5, 2], 5, [3, 3]).padding(1).max_pool(2);
    let dense = Conv2dShape::dense(30, 7);
    let operators = [
        Operator::Conv2d { shape: conv, weights: numbers(&conv), activation: Activation::Relu },
        Operator::Reshape,
        Operator::Dense { shape: dense, weights: numbers(&dense), activation: Activation::Identity },
    ];
    let [a, b, c] = [Quantization::new(0.01, 3), Quantization::new(0.02, -128), Quantization::new(0.05, 7)];
    let values = [([6, 5, 2], a), ([3, 2, 5], b), ([1, 1, 30], b), ([1, 1, 7], c)];
    let value = |(number, (shape, of)): (usize, (Shape, Quantization))| Value {
        name: format!("value{number}"),
        shape,
        dimensions: shape.to_vec(),
        element: Element::Int8(of),
        constant: None,
    };
    let node = |(number, operator)| Node {
        name: format!("node{number}"),
        place: format!("layer {number}"),
        operator,
        inputs: vec![ValueId(number)],
        output: ValueId(number + 1),
    };
    Graph {
        name: "small".to_owned(),
        source: "a test".to_owned(),
        rounding: Rounding::Single,
        values: values.into_iter().enumerate().map(value).collect(),
        nodes: operators.into_iter().enumerate().map(node).collect(),
        inputs: vec![ValueId(0)],
        outputs: vec![ValueId(3)],
    }
}

#[test]
fn a_quantized_network_runs_as_naive_arithmetic_on_every_backend() {
    let graph = small_network();
    let inputs: Vec<u8> = (0..60 * 20).map(|i| (i * 89 % 251) as u8).collect();
    let expected = verify::naive(&graph, &inputs).unwrap();
    assert_eq!(expected.len(), 7 * 20);
    assert!(verify::backends().contains(&"portable") && verify::backends().contains(&arch::native()));
    for backend in verify::backends() {
        let interpreter = Interpreter::on(&graph, backend).unwrap();
        assert_eq!(interpreter.backend(), backend);
        let outputs: Vec<u8> = inputs.chunks(60).flat_map(|input| interpreter.run_bytes(input).unwrap()).collect();
        assert!(outputs == expected, "{backend}");
    }
    assert!(Interpreter::on(&graph, "abacus").err().unwrap().to_string().contains("abacus"));
}

#[test]
fn tables_and_hard_sigmoids_are_functions_of_each_value() {
    let q = Element::Int8(Quantization::new(1.0, 0));
    let outputs = Box::new(std::array::from_fn(|i| (127 - i as i32) as i8)); // -x - 1
    let table = Operator::Function(Function::Table { of: "minus x less 1".to_owned(), outputs });
    let graph = graph(table, &[([1, 2, 2], q), ([1, 2, 2], q)]);
    let output = Interpreter::new(&graph).unwrap().run(&[Numbers::Int8(vec![-128, -1, 0, 127])]).unwrap();
    assert_eq!(output, [Numbers::Int8(vec![127, 0, -1, -128])]);
    let hard = Operator::Function(Function::HardSigmoid { alpha: 0.25, beta: 0.5 });
    assert_eq!(floats(hard, &[([1, 1, 4], &[-3.0, -1.0, 1.0, 3.0])], [1, 1, 4]), [0.0, 0.25, 0.75, 1.0]);
}

/// The sums of squares are 36, 40, 49 and 13.
#[test]
fn local_responses_are_divided_by_what_their_neighbours_are() {
    let operator = Operator::Function(Function::LocalResponse { size: 3, alpha: 1.0, beta: 0.5, k: 1.0 });
    let expected = [0.0, 6.0 / 41f32.sqrt(), -2.0 / 50f32.sqrt(), 3.0 / 14f32.sqrt()];
    let got = floats(operator.clone(), &[([1, 1, 4], &[0.0, 6.0, -2.0, 3.0])], [1, 1, 4]);
    assert!(got.iter().zip(&expected).all(|(got, expected)| (got - expected).abs() < 1e-6), "{got:?}");
    let elements = [Quantization::new(0.5, 0), Quantization::new(1.0 / 128.0, 0)].map(Element::Int8);
    let graph = graph(operator, &elements.map(|element| ([1, 1, 4], element)));
    let output = Interpreter::new(&graph).unwrap().run(&[Numbers::Int8(vec![0, 12, -4, 6])]).unwrap();
    assert_eq!(output, [Numbers::Int8(expected.iter().map(|x| (128.0 * x).round() as i8).collect())]);
}
