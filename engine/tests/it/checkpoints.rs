//! Holds the readers of checkpoints against files that PyTorch and NumPy wrote (`tests/golden/checkpoints`), and against
//! damage: whatever the bytes, the answer is tensors or an error.

#![allow(clippy::unwrap_used)]

use crate::golden;
use convscope_engine::Kind;
use convscope_engine::load::tensors::{Bytes, Tensors};
use convscope_engine::load::torch;
use std::path::PathBuf;
use std::sync::Arc;

fn file(name: &str) -> Vec<u8> {
    golden::entry(&golden::path("checkpoints/files.zip"), name)
}

fn open(bytes: &[u8]) -> Result<Tensors, convscope_engine::Error> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.pth");
    std::fs::write(&path, bytes).unwrap();
    Tensors::open(&path)
}

#[test]
fn tensors_are_those_that_were_saved() {
    let known = golden::json(&golden::path("checkpoints/files.zip"), "values.json");
    for name in ["plain.pth", "wrapped.pth", "protocol_4.pth", "legacy.pth", "legacy_wrapped.pth"] {
        let tensors = open(&file(name)).unwrap();
        assert_eq!(tensors.names().count(), known.as_object().unwrap().len(), "{name}");
        for (tensor, want) in known.as_object().unwrap() {
            let got = tensors.tensor(tensor).unwrap();
            let shape: Vec<usize> = serde_json::from_value(want[0].clone()).unwrap();
            let values: Vec<f32> = serde_json::from_value(want[1].clone()).unwrap();
            assert_eq!(got.dims(), shape, "{name} {tensor}");
            assert_eq!(got.flatten_all().unwrap().to_vec1::<f32>().unwrap(), values, "{name} {tensor}");
        }
    }
}

#[test]
fn what_holds_no_weights_is_named() {
    for (name, part) in [
        ("whole_module.pth", "a `torch.nn.modules.container.Sequential`, a whole module"),
        ("whole_module_nested.pth", "a whole module"),
        ("script.pt", "a TorchScript archive, a whole module"),
        ("empty.pth", "holds no tensors"),
        ("no_state_dict.pth", "holds no state_dict, only `epoch`, `loss`"),
        ("tensor.pth", "not a state_dict"),
        ("arrays_3.pkl", "a pickle of a dict, not a PyTorch checkpoint"),
    ] {
        let error = open(&file(name)).unwrap_err();
        assert!(error.message.contains(part) && error.message.contains("net.pth"), "{name}: {error}");
        assert!(error.kind == Kind::Format && error.hint.is_some(), "{name}");
    }
    for (bytes, part) in [
        (&b""[..], "is empty (0 bytes)"),
        (b"<!doctype html><html>", "a web page"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
        (b"hello, this is text", "neither .safetensors nor"),
        (b"\x10\0\0\0\0\0\0\0{\"a\": 1", "not a whole .safetensors file"),
    ] {
        assert!(open(bytes).unwrap_err().message.contains(part), "{part}");
    }
}

#[test]
fn arrays_are_those_that_were_pickled() {
    for name in ["arrays_3.pkl", "arrays_4.pkl"] {
        let arrays = torch::read_arrays(&Bytes::Owned(Arc::new(file(name)))).unwrap();
        assert_eq!(arrays.keys().collect::<Vec<_>>(), ["a", "b"]);
        let all: Vec<f32> = (0..24).map(|i| i as f32 / 8.0 - 1.0).collect();
        for (view, shape) in [(&arrays["a"][0], &[2, 3, 4][..]), (&arrays["a"][1], &[2, 3]), (&arrays["b"][0], &[3])] {
            let got = view.gather().unwrap();
            assert_eq!(got.dims(), shape, "{name}");
            let n: usize = shape.iter().product();
            assert_eq!(got.flatten_all().unwrap().to_vec1::<f32>().unwrap(), all[..n], "{name}");
        }
    }
}

#[test]
fn no_damage_ends_in_a_panic() {
    for name in ["plain.pth", "legacy.pth", "wrapped.pth", "arrays_3.pkl", "arrays_4.pkl"] {
        let whole = file(name);
        let read = |bytes: Vec<u8>| {
            let bytes = Bytes::Owned(Arc::new(bytes));
            match name.ends_with("pkl") {
                true => torch::read_arrays(&bytes).map(|a| a.values().flatten().for_each(|v| drop(v.gather()))),
                false if bytes.starts_with(b"PK") => torch::read_zip(&bytes, None).map(gather_all),
                false => torch::read_legacy(&bytes, None).map(gather_all),
            }
        };
        let returns = |bytes: Vec<u8>| std::panic::catch_unwind(|| drop(read(bytes))).is_ok();
        assert!(read(whole.clone()).is_ok(), "{name}");
        for at in 0..whole.len() {
            assert!(returns(whole[..at].to_vec()), "{name} panics where it ends after {at} bytes");
            for flip in [0x01, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                assert!(returns(bytes), "{name} panics with byte {at} xor {flip}");
            }
        }
    }
}

fn gather_all(tensors: Tensors) {
    let names: Vec<String> = tensors.names().map(str::to_string).collect();
    names.iter().for_each(|n| drop(tensors.tensor(n)));
}

#[test]
fn a_pickle_that_nests_without_end_is_read_and_dropped() {
    let mut bytes = b"\x80\x02".to_vec();
    bytes.push(b']');
    bytes.extend([0x85; 1_000_000]);
    bytes.push(b'.');
    let error = torch::read_arrays(&Bytes::Owned(Arc::new(bytes))).unwrap_err();
    assert!(error.message.contains("a pickle of a tuple"), "{error}");
    assert!(Tensors::open(&PathBuf::from("/nowhere/net.pth")).unwrap_err().message.contains("no such file"));
    assert!(Tensors::open(&std::env::temp_dir()).unwrap_err().message.contains("is a directory"));
}
