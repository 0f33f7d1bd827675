//! Small ONNX files, written in protobuf's wire format field by field (onnx.proto), for tests that change their parts.

#![allow(clippy::unwrap_used)]

use convscope_engine::Model;
use convscope_engine::load::onnx::{Options, load};

/// The net of a file.
pub fn read(bytes: Vec<u8>) -> Model {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("net.onnx");
    std::fs::write(&file, bytes).unwrap();
    load(&file, &Options::default()).unwrap()
}

/// A field of bytes.
pub fn block(number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = varint(number << 3 | 2);
    out.extend(varint(bytes.len() as u64));
    out.extend(bytes);
    out
}

/// A field of a whole number.
pub fn whole(number: u64, value: i64) -> Vec<u8> {
    [varint(number << 3), varint(value as u64)].concat()
}

fn varint(mut n: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out
}

/// An attribute of integers.
pub fn ints(name: &str, values: &[i64]) -> Vec<u8> {
    let list: Vec<u8> = values.iter().flat_map(|v| whole(8, *v)).collect();
    [block(1, name.as_bytes()), list, whole(20, 7)].concat()
}

/// A node of a graph.
pub struct Node(Vec<u8>);

/// The node of an operator; its name is that of its first output.
pub fn node(op: &str, inputs: &[&str], outputs: &[&str]) -> Node {
    let mut out: Vec<u8> = inputs.iter().flat_map(|i| block(1, i.as_bytes())).collect();
    out.extend(outputs.iter().flat_map(|o| block(2, o.as_bytes())));
    out.extend(block(4, op.as_bytes()));
    Node(out)
}

impl Node {
    /// Its message.
    pub fn message(self) -> Vec<u8> {
        self.0
    }

    /// As an operator of another domain.
    pub fn domain(mut self, domain: &str) -> Self {
        self.0.extend(block(7, domain.as_bytes()));
        self
    }

    /// With an attribute's message.
    pub fn attribute(mut self, attribute: Vec<u8>) -> Self {
        self.0.extend(block(5, &attribute));
        self
    }

    /// With an attribute of integers.
    pub fn ints(self, name: &str, values: &[i64]) -> Self {
        self.attribute(ints(name, values))
    }

    /// With an integer.
    pub fn int(self, name: &str, value: i64) -> Self {
        self.attribute([block(1, name.as_bytes()), whole(3, value), whole(20, 2)].concat())
    }

    /// With a real number.
    pub fn float(self, name: &str, value: f32) -> Self {
        let mut out = block(1, name.as_bytes());
        out.extend(varint(2 << 3 | 5));
        out.extend(value.to_le_bytes());
        out.extend(whole(20, 1));
        self.attribute(out)
    }

    /// With a text.
    pub fn text(self, name: &str, value: &str) -> Self {
        self.attribute([block(1, name.as_bytes()), block(4, value.as_bytes()), whole(20, 3)].concat())
    }
}

/// A graph with the input `x`, or one called otherwise.
pub struct Graph {
    parts: Vec<u8>,
    name: String,
    input: Vec<i64>,
    /// Inputs behind `x`.
    further: Vec<u8>,
}

impl Graph {
    /// An empty graph over an input of this shape, -1 for an open axis.
    pub fn new(input: &[i64]) -> Self {
        Graph { parts: Vec::new(), name: "x".into(), input: input.to_vec(), further: Vec::new() }
    }

    /// With another name of its first input.
    pub fn called(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// With another input behind `x`.
    pub fn input(mut self, name: &str, dims: &[i64]) -> Self {
        self.further.extend(block(11, &value(name, dims)));
        self
    }

    /// With a node.
    pub fn node(mut self, node: Node) -> Self {
        self.parts.extend(block(1, &node.0));
        self
    }

    /// With an initialiser of real numbers.
    pub fn floats(self, name: &str, dims: &[i64], values: &[f32]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, dims, 1, &raw)
    }

    /// With an initialiser that is a list of integers.
    pub fn ints(self, name: &str, values: &[i64]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.tensor(name, &[values.len() as i64], 7, &raw)
    }

    /// With an initialiser that is one integer.
    pub fn scalar(self, name: &str, value: i64) -> Self {
        self.tensor(name, &[], 7, &value.to_le_bytes())
    }

    /// With an initialiser of integers of 8 bits.
    pub fn bytes(self, name: &str, dims: &[i64], values: &[u8]) -> Self {
        self.tensor(name, dims, 2, values)
    }

    /// With an initialiser of real numbers that lie in a file beside the model.
    pub fn external(mut self, name: &str, dims: &[i64], entries: &[(&str, &str)]) -> Self {
        let mut out: Vec<u8> = dims.iter().flat_map(|d| whole(1, *d)).collect();
        out.extend(whole(2, 1));
        out.extend(block(8, name.as_bytes()));
        for (key, value) in entries {
            out.extend(block(13, &[block(1, key.as_bytes()), block(2, value.as_bytes())].concat()));
        }
        out.extend(whole(14, 1));
        self.parts.extend(block(5, &out));
        self
    }

    fn tensor(mut self, name: &str, dims: &[i64], kind: i64, raw: &[u8]) -> Self {
        let mut out: Vec<u8> = dims.iter().flat_map(|d| whole(1, *d)).collect();
        out.extend(whole(2, kind));
        out.extend(block(8, name.as_bytes()));
        out.extend(block(9, raw));
        self.parts.extend(block(5, &out));
        self
    }

    /// The file whose output is `output`.
    pub fn file(self, output: &str, opset: i64) -> Vec<u8> {
        self.file_of(&[output], opset)
    }

    /// The file with these outputs, and with metadata.
    pub fn file_with(self, outputs: &[&str], opset: i64, metadata: &[(&str, &str)]) -> Vec<u8> {
        let mut file = self.file_of(outputs, opset);
        for (key, value) in metadata {
            file.extend(block(14, &[block(1, key.as_bytes()), block(2, value.as_bytes())].concat()));
        }
        file
    }

    /// The file with these outputs.
    pub fn file_of(self, outputs: &[&str], opset: i64) -> Vec<u8> {
        let outputs: Vec<u8> = outputs.iter().flat_map(|output| block(12, &value(output, &[]))).collect();
        let graph = [self.parts, block(11, &value(&self.name, &self.input)), self.further, outputs].concat();
        [whole(1, 8), block(7, &graph), block(8, &[block(1, b""), whole(2, opset)].concat())].concat()
    }
}

/// The name and shape of an input or output of real numbers.
fn value(name: &str, dims: &[i64]) -> Vec<u8> {
    let axis = |d: &i64| block(1, &if *d < 0 { block(2, b"n") } else { whole(1, *d) });
    let shape: Vec<u8> = dims.iter().flat_map(axis).collect();
    let kind = [whole(1, 1), block(2, &shape)].concat();
    [block(1, name.as_bytes()), block(2, &block(1, &kind))].concat()
}
