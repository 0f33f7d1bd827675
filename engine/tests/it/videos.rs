//! Files whose input is frames x channels x rows x columns, or has its channels last: the net's axes, tensors in either order, and
//! where maps lie.

#![allow(clippy::unwrap_used)]

use crate::onnx_bytes::{Graph, node, read};
use convscope_engine::load::{LoadOptions, load_model};
use convscope_engine::probe::Probe;
use convscope_engine::probes::all::{GradCam, Gradient};
use convscope_engine::tensor::{tensor, to_f64};
use convscope_engine::{Input, Job, Model, Subject, Tensor};

const FRAMES: usize = 4;
const SIDE: usize = 6;

/// Channels x frames x rows x columns: one bright pixel of one frame, in all three channels.
fn clip([frame, row, column]: [usize; 3]) -> Tensor {
    let mut x = vec![0f32; 3 * FRAMES * SIDE * SIDE];
    for channel in 0..3 {
        x[((channel * FRAMES + frame) * SIDE + row) * SIDE + column] = 1.0 + channel as f32;
    }
    tensor(x, &[1, 3, FRAMES, SIDE, SIDE]).unwrap()
}

/// Windows over each frame by itself; the mean over frames, rows and columns.
fn frame_by_frame() -> Vec<u8> {
    let (t, side) = (FRAMES as i64, SIDE as i64);
    let head = Graph::new(&[1, t, 3, side, side])
        .floats("w", &[2, 3, 1, 1], &[1.0, 0.5, 0.25, -1.0, 0.5, 1.0])
        .floats("head", &[2, 2], &[1.0, 0.5, -1.0, 1.0])
        .ints("joined", &[-1, 3, side, side])
        .ints("apart", &[1, t, 2])
        .node(node("Reshape", &["x", "joined"], &["frames"]))
        .node(node("Conv", &["frames", "w"], &["conv"]))
        .node(node("Relu", &["conv"], &["relu"]))
        .node(node("GlobalAveragePool", &["relu"], &["mean"]))
        .node(node("Reshape", &["mean", "apart"], &["each"]))
        .node(node("ReduceMean", &["each"], &["all"]).ints("axes", &[1]).int("keepdims", 0))
        .node(node("Gemm", &["all", "head"], &["y"]).int("transB", 1));
    head.file("y", 17)
}

/// Windows over volumes, behind a transposition from the file's order.
fn over_volumes(shape: &[i64], perm: &[i64]) -> Vec<u8> {
    Graph::new(shape)
        .floats("w", &[2, 3, 1, 1, 1], &[1.0, 0.5, 0.25, -1.0, 0.5, 1.0])
        .floats("head", &[2, 2], &[1.0, 0.5, -1.0, 1.0])
        .node(node("Transpose", &["x"], &["turned"]).ints("perm", perm))
        .node(node("Conv", &["turned", "w"], &["conv"]))
        .node(node("Relu", &["conv"], &["relu"]))
        .node(node("GlobalAveragePool", &["relu"], &["mean"]))
        .node(node("Flatten", &["mean"], &["flat"]))
        .node(node("Gemm", &["flat", "head"], &["y"]).int("transB", 1))
        .file("y", 17)
}

/// The nets, and the axes of their files' inputs in the order of the net's (behind the batch).
fn nets() -> Vec<(&'static str, Model, [usize; 5])> {
    let (t, side) = (FRAMES as i64, SIDE as i64);
    vec![
        ("frame by frame", read(frame_by_frame()), [0, 2, 1, 3, 4]),
        ("frames first", read(over_volumes(&[1, t, 3, side, side], &[0, 2, 1, 3, 4])), [0, 2, 1, 3, 4]),
        ("channels last", read(over_volumes(&[1, t, side, side, 3], &[0, 4, 1, 2, 3])), [0, 2, 3, 4, 1]),
    ]
}

#[test]
fn a_video_is_channels_by_frames_by_rows_by_columns_whatever_the_file_says() {
    for (what, net, file) in nets() {
        assert_eq!(net.input_shape(), [3, FRAMES, SIDE, SIDE], "{what}");
        let ours = clip([1, 2, 4]);
        let as_in_file = ours.permute(file).unwrap().contiguous().unwrap();
        let scores = net.scores(&ours).unwrap().swap_remove(0);
        assert_eq!(net.scores(&net.batched(&as_in_file).unwrap()).unwrap()[0], scores, "{what}");
        // One pixel of 4 x 6 x 6 is 1, 2, 3 in its channels: 1 + 1 + .75 and -1 + 1 + 3 behind the windows.
        let mean = [2.75, 3.0].map(|v| v / (FRAMES * SIDE * SIDE) as f64);
        let wanted = [mean[0] + 0.5 * mean[1], mean[1] - mean[0]];
        assert!(scores.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{what}: {scores:?} for {wanted:?}");
    }
}

#[test]
fn maps_of_a_video_lie_at_their_frame() {
    for (what, net, file) in nets() {
        let class = Subject::class_at(&net, 0).unwrap();
        for at in [[1, 2, 4], [3, 0, 5]] {
            let ours = clip(at);
            for x in [ours.clone(), ours.permute(file).unwrap().contiguous().unwrap()] {
                let gradient = Gradient::new().run(&class, &Input::Tensor(x.clone()), &Job::new()).unwrap();
                assert_eq!(gradient.value().unwrap().dims(), [3, FRAMES, SIDE, SIDE], "{what}");
                if what == "frame by frame" {
                    continue; // its layers hold a batch of frames, no map of the clip
                }
                let cam = GradCam::new().run(&class, &Input::Tensor(x), &Job::new()).unwrap();
                assert_eq!(cam.value().unwrap().dims(), [FRAMES, SIDE, SIDE], "{what}");
                let map = to_f64(cam.value().unwrap()).unwrap();
                let best = (0..map.len()).fold(0, |best, i| if map[i] > map[best] { i } else { best });
                assert_eq!([best / (SIDE * SIDE), best / SIDE % SIDE, best % SIDE], at, "{what}");
            }
        }
    }
}

#[test]
fn the_option_says_the_axes_where_nothing_does() {
    let (t, side) = (FRAMES as i64, SIDE as i64);
    // The mean over all axes but one of three: nothing tells what they are.
    let file = |shape: &[i64], kept: i64| {
        let gone: Vec<i64> = (1..5).filter(|axis| *axis != kept).collect();
        Graph::new(shape).node(node("ReduceMean", &["x"], &["y"]).ints("axes", &gone).int("keepdims", 0)).file("y", 17)
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    let load = |shape: &[i64], kept: i64, layout: Option<&str>| {
        std::fs::write(&path, file(shape, kept)).unwrap();
        let options = layout.map_or(serde_json::json!({}), |l| serde_json::json!({ "layout": l }));
        load_model(
            path.to_str().unwrap(),
            &LoadOptions::from_json(options.as_object().unwrap()).unwrap(),
            folder.path(),
            &|_| (),
        )
        .unwrap()
    };
    let assumed = load(&[1, t, 3, side, side], 2, None);
    assert_eq!(assumed.input_shape(), [3, FRAMES, SIDE, SIDE]);
    assert!(
        assumed.card().notes.iter().any(|n| n.contains("frames x channels") && n.contains("`layout`")),
        "{:?}",
        assumed.card().notes
    );
    assert_eq!(load(&[1, t, 3, side, side], 2, Some("NCDHW")).input_shape(), [FRAMES, 3, SIDE, SIDE]);
    let said = load(&[1, t, 5, side, side], 2, Some("NTCHW"));
    assert_eq!(said.input_shape(), [5, FRAMES, SIDE, SIDE]);
    let last = load(&[1, t, side, side, 2], 4, Some("NDHWC"));
    assert_eq!(last.input_shape(), [2, FRAMES, SIDE, SIDE]);
}
