//! ONNX files that are no classifiers, make no sense, or are damaged.

use super::{file, floats, graph, int, ints, node, read, refused, rich, small, tensor, text, weight};
use convscope_engine::Kind;
use convscope_engine::load::onnx::{Options, load};
use convscope_engine::random::Stream;
use rten_onnx::onnx::{AttributeProto, AttributeType, DataType, ModelProto, NodeProto};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn files_that_are_no_classifiers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let missing = load(folder.path().join("no.onnx"), &Options::default()).unwrap_err();
    assert_eq!(missing.kind, Kind::Io);
    assert!(load(folder.path(), &Options::default()).unwrap_err().message.contains("directory"));
    let good = file(rich(), 13);
    for (what, bytes, wanted) in [
        ("empty", Vec::new(), "is empty (0 bytes)"),
        ("text", b"this is no net at all\n".to_vec(), "not an ONNX model"),
        ("json", b"{\"a\": 1}".to_vec(), "not an ONNX model"),
        ("truncated", good[..good.len() / 2].to_vec(), "ends early"),
        ("no graph", ModelProto::default().write_buf().unwrap(), "is empty (0 bytes)"),
        ("nested", nested(), "nested too deep"),
        ("old", file(small(weight()), 6), "opset) 6"),
    ] {
        let (_, message) = refused(&bytes);
        assert!(message.contains(wanted), "{what}: {message}");
    }
}

/// Types of sequences of types of sequences, in a few bytes a level.
fn nested() -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::new();
    let wrap = |tag: u8, inner: Vec<u8>| {
        let mut out = vec![tag << 3 | 2];
        let mut n = inner.len();
        while n >= 0x80 {
            out.push(n as u8 | 0x80);
            n >>= 7;
        }
        out.push(n as u8);
        out.extend(inner);
        out
    };
    for _ in 0..3000 {
        bytes = wrap(4, wrap(1, bytes));
    }
    wrap(7, wrap(11, wrap(2, bytes)))
}

#[test]
fn graphs_that_make_no_sense_are_refused() {
    let relu = |name: &str, from: &str, to: &str| node("Relu", name, &[from], &[to], vec![]);
    let net = |nodes: Vec<NodeProto>| file(graph(nodes, vec![weight()], &[1, 3], "y"), 13);
    let conv = |attributes: Vec<AttributeProto>| {
        let k = floats("k", &[2, 3, 1, 1], &[1.0; 6]);
        file(graph(vec![node("Conv", "conv", &["x", "k"], &["y"], attributes)], vec![k], &[1, 3, 4, 4], "y"), 13)
    };
    let sized = |dims: &[i64]| file(graph(vec![relu("a", "x", "y")], vec![floats("k", dims, &[])], &[1, 3], "y"), 13);
    let far = AttributeProto {
        name: text("kernel_shape"),
        f: Some(1.0),
        r#type: Some(AttributeType::FLOAT),
        ..Default::default()
    };
    let two_samples = |n: NodeProto| file(graph(vec![n], vec![], &[2, 3], "y"), 13);
    let custom = NodeProto { domain: text("my.ops"), ..node("Magic", "m", &["x"], &["y"], vec![]) };
    for (what, bytes, wanted) in [
        (
            "cycle",
            net(vec![node("Add", "a", &["x", "d"], &["b"], vec![]), relu("c", "b", "d"), relu("e", "d", "y")]),
            "cyclic",
        ),
        ("undefined", net(vec![relu("a", "nowhere", "y")]), "nothing makes"),
        ("doubled", net(vec![relu("a", "x", "y"), relu("b", "x", "y")]), "two things are called `y`"),
        ("shadowed", net(vec![relu("a", "x", "w"), relu("b", "w", "y")]), "two things are called `w`"),
        ("no output", net(vec![relu("a", "x", "z")]), "no node makes the output `y`"),
        ("constant", net(vec![relu("a", "w", "y")]), "no input"),
        (
            "unknown",
            net(vec![node("Frobnicate", "f", &["x"], &["y"], vec![])]),
            "`Frobnicate` (domain ai.onnx, opset 13)",
        ),
        ("misspelt", net(vec![node("Relu6", "f", &["x"], &["y"], vec![])]), "did you mean `Relu`"),
        ("custom", net(vec![custom]), "domain my.ops"),
        ("quantised", net(vec![node("QLinearConv", "q", &["x"], &["y"], vec![])]), "input 3 is missing"),
        ("loop", net(vec![node("Loop", "l", &["x"], &["y"], vec![])]), "`body` is missing"),
        ("no operator", net(vec![NodeProto { op_type: None, ..relu("a", "x", "y") }]), "is not supported"),
        ("wrong attribute", conv(vec![far]), "`kernel_shape` should be a list of integers"),
        ("negative pads", conv(vec![ints("pads", &[-1, 0, 0, 0])]), "`pads`"),
        ("huge pads", conv(vec![ints("pads", &[i64::MAX, 0, 0, 0])]), "`pads`"),
        ("no stride", conv(vec![ints("strides", &[0, 1])]), "`strides`"),
        ("three strides", conv(vec![ints("strides", &[1, 1, 1])]), "`strides`"),
        ("groups", conv(vec![int("group", 2)]), "groups"),
        ("no groups", conv(vec![int("group", 0)]), "`group` is 0"),
        ("batch first", two_samples(node("Transpose", "t", &["x"], &["y"], vec![])), "batch"),
        ("batch mixed", two_samples(node("Concat", "t", &["x", "x"], &["y"], vec![int("axis", 0)])), "batch"),
        ("NaN", file(small(floats("w", &[2, 3], &[f32::NAN; 6])), 13), "not finite"),
        ("short weight", file(small(floats("w", &[2, 3], &[1.0; 5])), 13), "5 values"),
        ("negative weight", file(small(floats("w", &[-2, 3], &[1.0; 6])), 13), "[-2, 3]"),
        ("huge weight", file(small(floats("w", &[i64::MAX, 3], &[1.0; 6])), 13), "[9223372036854775807, 3]"),
        ("strings", file(small(tensor("w", &[2, 3], DataType::STRING)), 13), "type STRING"),
        ("four bits", file(small(tensor("w", &[2, 3], DataType::INT4)), 13), "type INT4"),
    ] {
        let (_, message) = refused(&bytes);
        assert!(message.contains(wanted), "{what}: {message}");
    }
    // What the output does not need does no harm.
    assert!(read(&sized(&[-5])).is_ok());
}

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Damaged files are refused or load, but nothing panics and no length is believed.
#[test]
fn damage_does_no_harm() {
    let before = std::panic::take_hook();
    let this = std::thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() == this {
            PANICS.fetch_add(1, Ordering::Relaxed);
        }
        before(info);
    }));
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("net.onnx");
    let mut rng = Stream::new(11, "damage");
    let good = file(rich(), 13);
    let mut loaded = 0;
    for round in 0..1500 {
        let mut bytes = good.clone();
        match round % 3 {
            0 => bytes.truncate(rng.next_below(good.len() as u64) as usize),
            1 => {
                let at = rng.next_below(good.len() as u64) as usize;
                bytes[at] ^= 1 << rng.next_below(8);
            }
            _ => {
                for _ in 0..1 + rng.next_below(6) {
                    let at = rng.next_below(good.len() as u64) as usize;
                    bytes[at] = rng.next_below(256) as u8;
                }
            }
        }
        std::fs::write(&path, &bytes).unwrap();
        let read = std::panic::catch_unwind(|| load(&path, &Options::default()));
        let Ok(read) = read else { panic!("round {round} panics") };
        loaded += usize::from(read.is_ok());
        assert_eq!(PANICS.load(Ordering::Relaxed), 0, "round {round} panics inside");
    }
    assert!(loaded > 0, "some damage is to names and weights alone");
}
