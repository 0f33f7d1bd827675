//! What loading takes: weights are in memory once, and large blocks that stay in a file have the values of small ones.

use crate::onnx_bytes::{Graph, Node, block, node, read, whole};
#[cfg(target_os = "linux")]
use crate::own_process;
#[cfg(target_os = "linux")]
use convscope_engine::load::onnx::{Options, load};
#[cfg(target_os = "linux")]
use convscope_engine::load::tensors::Tensors;
use convscope_engine::tensor::to_f64;
use convscope_engine::{Device, Tensor};

/// The bytes of weights in the files, on top of which loading may take [`MORE`].
#[cfg(target_os = "linux")]
const WEIGHTS: u64 = 64 << 20;
#[cfg(target_os = "linux")]
const MORE: u64 = 12 << 20;

/// The most memory that this process ever held, bytes.
#[cfg(target_os = "linux")]
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

#[cfg(target_os = "linux")]
#[test]
fn weights_are_in_memory_once_while_they_are_loaded() {
    if let Some(path) = own_process::part() {
        let before = peak();
        let count = match path.ends_with(".onnx") {
            true => load(&path, &Options::default()).unwrap().weights().count(),
            false => Tensors::open(path.as_ref()).unwrap().tensor("w").unwrap().elem_count(),
        };
        assert_eq!(count as u64 * 4, WEIGHTS);
        let taken = peak() - before;
        assert!(taken < WEIGHTS + MORE, "{path}: loading took {} MiB", taken >> 20);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let weights = vec![0.5; WEIGHTS as usize / 4];
    let graph = Graph::new(&[-1, 4096]).floats("w", &[4096, 4096], &weights);
    let onnx = graph.node(node("Gemm", &["x", "w"], &["y"]).int("transB", 1)).file("y", 13);
    let external = Graph::new(&[-1, 4096]).external("w", &[4096, 4096], &[("location", "w.bin")]);
    let external = external.node(node("Gemm", &["x", "w"], &["y"]).int("transB", 1)).file("y", 13);
    let raw: Vec<u8> = weights.iter().flat_map(|v: &f32| v.to_le_bytes()).collect();
    let head = format!(r#"{{"w":{{"dtype":"F32","shape":[4096,4096],"data_offsets":[0,{WEIGHTS}]}}}}"#);
    let safetensors = [&(head.len() as u64).to_le_bytes(), head.as_bytes(), &raw].concat();
    std::fs::write(folder.path().join("w.bin"), raw).unwrap();
    for (name, bytes) in [("a.onnx", onnx), ("b.onnx", external), ("c.safetensors", safetensors)] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let test = "loading_memory::weights_are_in_memory_once_while_they_are_loaded";
        own_process::passes(&mut own_process::again(test, path.to_str().unwrap()));
    }
}

/// A tensor's message, called `name`.
fn tensor(name: &str, dims: &[i64], kind: i64, raw: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|d| whole(1, *d)).collect();
    [dims, whole(2, kind), block(8, name.as_bytes()), block(9, raw)].concat()
}

/// A node that is a constant.
fn constant(name: &str, tensor: &[u8]) -> Node {
    node("Constant", &[], &[name]).attribute([block(1, b"value"), block(5, tensor), whole(20, 4)].concat())
}

#[test]
fn large_blocks_have_their_values_wherever_they_lie() {
    const SIDE: i64 = 200;
    let count = SIDE * SIDE;
    let value = |i: i64| (i % 61 - 30) as f32 / 4.0;
    let singles: Vec<f32> = (0..count).map(value).collect();
    let doubles: Vec<u8> = (0..count).flat_map(|i| f64::from(value(i)).to_le_bytes()).collect();
    // The upper half of an f32 has all bits of these values.
    let brains: Vec<u8> = (0..count).flat_map(|i| value(i).to_le_bytes()[2..].to_vec()).collect();
    let multiply = || node("MatMul", &["x", "w"], &["y"]);
    let net = || Graph::new(&[-1, SIDE]);
    let raw: Vec<u8> = singles.iter().flat_map(|v| v.to_le_bytes()).collect();
    let dims = [SIDE, SIDE];
    // A function whose body has the constant.
    let parts = [
        (1, b"held".to_vec()),
        (4, b"a".to_vec()),
        (5, b"b".to_vec()),
        (7, constant("w", &tensor("", &dims, 1, &raw)).message()),
        (7, node("MatMul", &["a", "w"], &["b"]).message()),
        (9, [block(1, b""), whole(2, 13)].concat()),
        (10, b"own".to_vec()),
    ];
    let function: Vec<u8> = parts.iter().flat_map(|(number, part)| block(*number, part)).collect();
    let call = net().node(node("held", &["x"], &["y"]).domain("own")).file("y", 13);
    let files = [
        net().floats("w", &dims, &singles).node(multiply()).file("y", 13),
        net().node(constant("w", &tensor("", &dims, 1, &raw))).node(multiply()).file("y", 13),
        net().node(constant("w", &tensor("", &dims, 11, &doubles))).node(multiply()).file("y", 13),
        net().node(constant("w", &tensor("", &dims, 16, &brains))).node(multiply()).file("y", 13),
        [call, block(25, &function), block(8, &[block(1, b"own"), whole(2, 1)].concat())].concat(),
    ];
    let x: Vec<f32> = (0..SIDE).map(|i| (i % 7) as f32 - 3.0).collect();
    let dense = |j: i64| (0..SIDE).map(|i| f64::from(x[i as usize]) * f64::from(value(i * SIDE + j))).sum::<f64>();
    let wanted: Vec<f64> = (0..SIDE).map(dense).collect();
    for (i, file) in files.into_iter().enumerate() {
        let input = Tensor::from_slice(&x, (1, SIDE as usize), &Device::Cpu).unwrap();
        assert_eq!(to_f64(&read(file).output(&input).unwrap()).unwrap(), wanted, "file {i}");
    }
}
