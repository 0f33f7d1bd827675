//! Layer names in files written by Caffe2 (those of the ONNX model zoo). Nodes have no names there, but weights are named
//! `conv1_w_0`, and values `conv1_1`, `conv1_2` after the layer's blob and the number of writes to it. The layers are also found by
//! their names in the papers' definitions: `conv1`, `pool5`, `conv1/relu`.

use super::links::Links;
use rten_onnx::onnx::NodeProto;

/// The suffix of weights' names.
const WEIGHT_SUFFIX: &str = "_w_0";
/// The prefix of names in nets that were trained on several devices.
const DEVICE_PREFIX: &str = "gpu_0/";

/// Whether weights are named as Caffe2 names them.
pub fn are_named(links: &Links<'_>) -> bool {
    links.initialisers.keys().any(|name| name.ends_with(WEIGHT_SUFFIX))
}

/// The name of a node's layer.
pub fn layer(node: &NodeProto) -> Option<String> {
    let plain =
        |name: &str| Some(name.strip_prefix(DEVICE_PREFIX).unwrap_or(name).to_string()).filter(|name| !name.is_empty());
    if let Some(blob) = node.input.get(1).and_then(|weight| weight.strip_suffix(WEIGHT_SUFFIX)) {
        return plain(blob);
    }
    let (blob, version) = node.output.first()?.rsplit_once('_')?;
    match version.parse::<u32>().ok()? {
        1 => plain(blob),
        // Rectifiers overwrite their input.
        2.. if node.op_type.as_deref() == Some("Relu") => plain(blob).map(|blob| format!("{blob}/relu")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn named(op: &str, inputs: &[&str], output: &str) -> Option<String> {
        let all = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        layer(&NodeProto {
            op_type: Some(op.into()),
            input: all(inputs),
            output: all(&[output]),
            ..NodeProto::default()
        })
    }

    #[test]
    fn layers_are_called_as_their_blobs() {
        let conv = named("Conv", &["gpu_0/data_0", "gpu_0/conv1_w_0", "gpu_0/conv1_b_0"], "gpu_0/conv1_1");
        assert_eq!(conv.unwrap(), "conv1");
        assert_eq!(named("Relu", &["conv1_1"], "conv1_2").unwrap(), "conv1/relu");
        assert_eq!(named("MaxPool", &["conv5_2"], "pool5_1").unwrap(), "pool5");
        assert_eq!(named("Dropout", &["fc6_2"], "fc6_3"), None);
        assert_eq!(named("Reshape", &["pool5_1", "OC2_DUMMY_1"], "OC2_DUMMY_0"), None);
    }
}
