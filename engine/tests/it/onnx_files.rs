//! What ONNX files hold: names, dtypes, external data, open dimensions. `refusals` has what does not load.

#![allow(clippy::unwrap_used)]

mod refusals;

use convscope_engine::load::onnx::{Options, load};
use convscope_engine::tensor::to_f64;
use convscope_engine::{Device, Error, Kind, Model, Result, Tensor};
use rten_onnx::onnx::{
    AttributeProto, AttributeType, DataLocation, DataType, Dimension, GraphProto, ModelProto, NodeProto,
    OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto, TypeProto, TypeProtoTensor,
    ValueInfoProto,
};

fn text(s: &str) -> Option<String> {
    Some(s.to_string())
}

fn node(op: &str, name: &str, inputs: &[&str], outputs: &[&str], attribute: Vec<AttributeProto>) -> NodeProto {
    let list = |names: &[&str]| names.iter().map(|s| s.to_string()).collect();
    NodeProto {
        op_type: text(op),
        name: text(name),
        input: list(inputs),
        output: list(outputs),
        attribute,
        domain: None,
    }
}

fn int(name: &str, i: i64) -> AttributeProto {
    AttributeProto { name: text(name), i: Some(i), r#type: Some(AttributeType::INT), ..Default::default() }
}

fn ints(name: &str, list: &[i64]) -> AttributeProto {
    AttributeProto { name: text(name), ints: list.to_vec(), r#type: Some(AttributeType::INTS), ..Default::default() }
}

fn tensor(name: &str, dims: &[i64], data_type: DataType) -> TensorProto {
    TensorProto { name: text(name), dims: dims.to_vec(), data_type: Some(data_type), ..Default::default() }
}

fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    TensorProto { float_data: values.to_vec(), ..tensor(name, dims, DataType::FLOAT) }
}

fn whole(name: &str, values: &[i64]) -> TensorProto {
    TensorProto { int64_data: values.to_vec(), ..tensor(name, &[values.len() as i64], DataType::INT64) }
}

fn raw(name: &str, dims: &[i64], data_type: DataType, bytes: &[u8]) -> TensorProto {
    TensorProto { raw_data: Some(bytes.to_vec().into()), ..tensor(name, dims, data_type) }
}

/// An input or output; -1 is an open dimension.
fn value(name: &str, dims: &[i64]) -> ValueInfoProto {
    let one = |d: &i64| match d {
        -1 => Dimension { dim_value: None, dim_param: text("any") },
        d => Dimension { dim_value: Some(*d), dim_param: None },
    };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(one).collect() });
    let tensor_type = Some(TypeProtoTensor { elem_type: Some(DataType::FLOAT), shape });
    ValueInfoProto { name: text(name), r#type: Some(TypeProto { tensor_type, sequence: None }) }
}

fn graph(node: Vec<NodeProto>, initializer: Vec<TensorProto>, input: &[i64], output: &str) -> GraphProto {
    GraphProto {
        node,
        initializer,
        input: vec![value("x", input)],
        output: vec![value(output, &[1, 2])],
        ..Default::default()
    }
}

fn file(graph: GraphProto, opset: i64) -> Vec<u8> {
    let opset_import = vec![OperatorSetIdProto { domain: text(""), version: Some(opset) }];
    ModelProto { ir_version: Some(8), graph: Some(graph), opset_import, ..Default::default() }.write_buf().unwrap()
}

fn read_as(bytes: &[u8], options: &Options) -> Result<Model> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    std::fs::write(&path, bytes).unwrap();
    load(path, options)
}

fn read(bytes: &[u8]) -> Result<Model> {
    read_as(bytes, &Options::default())
}

/// The message and hint of what must not load.
fn refused(bytes: &[u8]) -> (Kind, String) {
    match read(bytes) {
        Ok(_) => panic!("it loads"),
        Err(Error { kind, message, hint }) => (kind, format!("{message}; {}", hint.unwrap_or_default())),
    }
}

fn output(model: &Model, x: &[f32], dims: &[usize]) -> Vec<f64> {
    let x = Tensor::from_slice(x, dims, &Device::Cpu).unwrap();
    to_f64(&model.output(&x).unwrap()).unwrap()
}

/// Relu, then a linear layer from 3 values to 2.
fn small(weight: TensorProto) -> GraphProto {
    let gemm = node("Gemm", "fc", &["r", "w"], &["y"], vec![int("transB", 1)]);
    graph(vec![node("Relu", "act", &["x"], &["r"], vec![]), gemm], vec![weight], &[-1, 3], "y")
}

fn weight() -> TensorProto {
    floats("w", &[2, 3], &[1.0, 2.0, 3.0, -1.0, 0.5, 0.0])
}

/// A net with most kinds of field: convolution, shape arithmetic, constants, a pool.
fn rich() -> GraphProto {
    let values: Vec<f32> = (0..36).map(|i| i as f32 / 40.0 - 0.4).collect();
    let nodes = vec![
        node("Conv", "conv", &["x", "k"], &["c"], vec![ints("pads", &[1, 1, 1, 1]), ints("strides", &[2, 2])]),
        node("Relu", "", &["c"], &["relu_out"], vec![]),
        node("MaxPool", "pool", &["relu_out"], &["p"], vec![ints("kernel_shape", &[2, 2]), ints("strides", &[1, 1])]),
        node("Shape", "shape", &["p"], &["s"], vec![]),
        node("Gather", "gather", &["s", "zero"], &["n"], vec![int("axis", 0)]),
        node("Concat", "sizes", &["n", "minus"], &["to"], vec![int("axis", 0)]),
        node("Reshape", "flat", &["p", "to"], &["f"], vec![]),
        node("Gemm", "fc", &["f", "w"], &["y"], vec![int("transB", 1)]),
        node("Softmax", "prob", &["y"], &["q"], vec![int("axis", 1)]),
    ];
    let weights = vec![
        raw("k", &[2, 2, 3, 3], DataType::FLOAT, &values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()),
        whole("zero", &[0]),
        whole("minus", &[-1]),
        floats("w", &[3, 8], &values[..24]),
    ];
    graph(nodes, weights, &[-1, 2, 5, 5], "q")
}

#[test]
fn both_names_find_a_node_and_nodes_names_win() {
    let model = read(&file(rich(), 13)).unwrap();
    for (name, node) in [("conv", "conv"), ("c", "conv"), ("relu_out", "relu_out"), ("p", "pool"), ("q", "prob")] {
        assert_eq!(model.graph().node(model.layer(name).unwrap()).name, node);
    }
    assert_eq!(model.card().name, "net");
    assert_eq!(model.layers().count(), 7);
    // `b` is a's output and the other node's name.
    let nodes = vec![
        node("Relu", "a", &["x"], &["b"], vec![]),
        node("Tanh", "", &["b"], &["t"], vec![]),
        node("Sigmoid", "b", &["t"], &["t2"], vec![]),
        node("Abs", "t2", &["t2"], &["y"], vec![]),
    ];
    let model = read(&file(graph(nodes, vec![], &[1, 3], "y"), 13)).unwrap();
    let kind = |name: &str| model.graph().node(model.layer(name).unwrap()).op.kind();
    assert_eq!([kind("a"), kind("b"), kind("t"), kind("t2"), kind("y")], ["relu", "sigmoid", "tanh", "abs", "abs"]);
    // An unnamed node whose output is another's name still has one of its own.
    let nodes = vec![node("Relu", "", &["x"], &["same"], vec![]), node("Tanh", "same", &["same"], &["y"], vec![])];
    let model = read(&file(graph(nodes, vec![], &[1, 3], "y"), 13)).unwrap();
    let kind = |name: &str| model.graph().node(model.layer(name).unwrap()).op.kind();
    assert_eq!([kind("same"), kind("same_1")], ["tanh", "relu"]);
}

#[test]
fn weights_of_every_type() {
    let half = [0x3c00u16, 0x4000, 0x4200, 0xbc00, 0x3800, 0x0000];
    let brain = [0x3f80u16, 0x4000, 0x4040, 0xbf80, 0x3f00, 0x0000];
    let bytes16 = |v: [u16; 6]| v.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let doubles: Vec<f64> = vec![1.0, 2.0, 3.0, -1.0, 0.5, 0.0];
    let typed = |v: [u16; 6]| v.iter().map(|v| i32::from(*v)).collect::<Vec<i32>>();
    for weight in [
        weight(),
        raw("w", &[2, 3], DataType::FLOAT16, &bytes16(half)),
        raw("w", &[2, 3], DataType::BFLOAT16, &bytes16(brain)),
        raw("w", &[2, 3], DataType::DOUBLE, &doubles.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<_>>()),
        TensorProto { double_data: doubles.clone(), ..tensor("w", &[2, 3], DataType::DOUBLE) },
        TensorProto { int32_data: typed(half), ..tensor("w", &[2, 3], DataType::FLOAT16) },
        TensorProto { int32_data: typed(brain), ..tensor("w", &[2, 3], DataType::BFLOAT16) },
    ] {
        let model = read(&file(small(weight), 13)).unwrap();
        assert_eq!(output(&model, &[1.0, 1.0, 2.0, -1.0, 2.0, 0.0], &[2, 3]), [9.0, -0.5, 4.0, 1.0]);
    }
    // Integers become weights through a cast.
    let cast = node("Cast", "", &["bytes"], &["w"], vec![int("to", 1)]);
    let mut net = small(raw("bytes", &[2, 3], DataType::INT8, &[1, 2, 3, 255, 5, 0]));
    net.node.insert(0, cast);
    assert_eq!(output(&read(&file(net, 13)).unwrap(), &[1.0, 1.0, 2.0], &[3]), [9.0, 4.0]);
}

#[test]
fn initialisers_may_be_inputs_and_constants_are_computed() {
    let mut net = small(weight());
    net.input.push(value("w", &[2, 3]));
    assert_eq!(output(&read(&file(net, 8)).unwrap(), &[1.0, 1.0, 2.0], &[3]), [9.0, -0.5]);
    // w = transpose(a) * 2 + b, with b broadcast.
    let mut net = small(floats("a", &[3, 2], &[0.5, -1.0, 1.0, -0.5, 1.5, -1.0]));
    net.initializer.push(floats("b", &[1], &[1.0]));
    net.initializer.push(floats("two", &[], &[2.0]));
    net.node.splice(
        0..0,
        [
            node("Transpose", "", &["a"], &["t"], vec![ints("perm", &[1, 0])]),
            node("Mul", "", &["t", "two"], &["m"], vec![]),
            node("Add", "", &["m", "b"], &["w"], vec![]),
        ],
    );
    let model = read(&file(net, 13)).unwrap();
    assert_eq!(output(&model, &[1.0, 1.0, 2.0], &[3]), [13.0, -3.0]);
    assert_eq!(model.layers().count(), 3, "constants are no layers");
}

#[test]
fn open_heights_and_widths_are_filled_in() {
    let nodes = vec![
        node("Conv", "conv", &["x", "k"], &["c"], vec![]),
        node("GlobalAveragePool", "", &["c"], &["g"], vec![]),
        node("Flatten", "", &["g"], &["y"], vec![]),
    ];
    let net = |dims: &[i64]| file(graph(nodes.clone(), vec![floats("k", &[2, 3, 1, 1], &[1.0; 6])], dims, "y"), 13);
    let sized =
        |dims: &[i64], size: [usize; 2]| read_as(&net(dims), &Options { size: Some(size), ..Options::default() });
    assert_eq!(sized(&[-1, 3, -1, -1], [8, 9]).unwrap().input_shape(), [3, 8, 9]);
    assert_eq!(sized(&[-1, -1, -1, -1], [8, 9]).unwrap().input_shape(), [3, 8, 9]);
    assert_eq!(sized(&[1, 3, 8, -1], [8, 9]).unwrap().input_shape(), [3, 8, 9]);
    assert_eq!(read(&net(&[1, 3, 5, 6])).unwrap().input_shape(), [3, 5, 6]);
    assert_eq!(sized(&[1, 3, 5, 6], [5, 6]).unwrap().input_shape(), [3, 5, 6]);
    let error = sized(&[1, 3, 5, 6], [8, 9]).unwrap_err();
    assert!(error.message.contains("size 8 x 9") && error.message.contains("5 x 6"), "{error}");
    assert!(refused(&net(&[-1, 3, -1, -1])).1.contains("size: 224"));
}

#[test]
fn external_data_stays_beside_the_model() {
    let external = |entries: &[(&str, &str)]| {
        let entry = |(k, v): &(&str, &str)| StringStringEntryProto { key: text(k), value: text(v) };
        let external_data = entries.iter().map(entry).collect();
        let data_location = Some(DataLocation::EXTERNAL);
        file(small(TensorProto { external_data, data_location, ..tensor("w", &[2, 3], DataType::FLOAT) }), 13)
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    let bytes: Vec<u8> = [9.0f32, 1.0, 2.0, 3.0, -1.0, 0.5, 0.0].iter().flat_map(|v| v.to_le_bytes()).collect();
    std::fs::write(folder.path().join("data.bin"), bytes).unwrap();
    let tried = |entries: &[(&str, &str)]| {
        std::fs::write(&path, external(entries)).unwrap();
        load(&path, &Options::default())
    };
    let model = tried(&[("location", "./data.bin"), ("offset", "4"), ("length", "24")]).unwrap();
    assert_eq!(output(&model, &[1.0, 1.0, 2.0], &[3]), [9.0, -0.5]);
    for (entries, wanted) in [
        (&[("location", "missing.bin")][..], "missing.bin"),
        (&[("location", "../data.bin")], "outside the model's folder"),
        (&[("location", "/etc/hostname")], "outside the model's folder"),
        (&[("location", "")], "outside the model's folder"),
        (&[("location", ".")], "not a file"),
        (&[("location", "data.bin"), ("offset", "8")], "24 bytes are needed"),
        (&[("location", "data.bin"), ("offset", "18446744073709551615")], "24 bytes are needed"),
        (&[("location", "data.bin"), ("length", "20")], "20 bytes"),
        (&[("location", "data.bin"), ("offset", "-4")], "not a number"),
        (&[], "without a location"),
    ] {
        let error = tried(entries).unwrap_err();
        assert!(error.message.contains(wanted) && error.message.contains("weight `w`"), "{entries:?}: {error}");
    }
}

/// An index over the flattened batch, as exporters write strided views, is an index over each sample.
#[test]
fn samples_may_pass_one_by_one() {
    let nodes = vec![
        node("Shape", "", &["x"], &["s"], vec![]),
        node("Gather", "", &["s", "first"], &["n"], vec![]),
        node("Range", "", &["first", "n", "one"], &["each"], vec![]),
        node("Mul", "", &["each", "three"], &["starts"], vec![]),
        node("Unsqueeze", "", &["starts", "axis"], &["columns"], vec![]),
        node("Add", "", &["columns", "offsets"], &["places"], vec![]),
        node("Reshape", "", &["x", "all"], &["flat"], vec![]),
        node("Gather", "picked", &["flat", "places"], &["y"], vec![]),
    ];
    let number = |name: &str, v: i64| TensorProto { int64_data: vec![v], ..tensor(name, &[], DataType::INT64) };
    let offsets = TensorProto { int64_data: vec![2, 0], ..tensor("offsets", &[1, 2], DataType::INT64) };
    let numbers = [number("first", 0), number("one", 1), number("three", 3), offsets];
    let weights = numbers.into_iter().chain([whole("axis", &[1]), whole("all", &[-1])]).collect();
    let model = read(&file(graph(nodes, weights, &[-1, 3], "y"), 13)).unwrap();
    assert_eq!(output(&model, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], &[2, 3]), [3.0, 1.0, 6.0, 4.0]);
    assert!(model.card().notes.iter().any(|n| n.contains("mixes samples")), "{:?}", model.card().notes);
}

#[test]
fn of_several_outputs_the_first_counts() {
    let mut g = rich();
    g.output.push(value("p", &[1, 2, 2, 2]));
    let model = read(&file(g, 13)).unwrap();
    assert_eq!(model.output_len(), 3);
    assert!(model.card().notes.iter().any(|n| n.contains("`p`")), "{:?}", model.card().notes);
}
