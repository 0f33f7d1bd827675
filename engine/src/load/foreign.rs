//! Nets in formats that are not supported: the format, by a file's first bytes, its entries or its folder, and the line of code that
//! converts it to ONNX.

use crate::error::Error;
use std::path::Path;

const TF2ONNX: &str = "pip install tf2onnx";
const ONNXSCRIPT: &str = "pip install onnxscript";

/// A format: its name, and the line that converts it.
struct Format {
    is: &'static str,
    line: &'static str,
    needs: &'static str,
}

const KERAS: Format = Format {
    is: "a Keras model",
    line: "python -c \"import keras; keras.saving.load_model('net.keras').export('net.onnx', format='onnx')\"",
    needs: TF2ONNX,
};
const HDF5: Format = Format {
    is: "an HDF5 file, as older versions of Keras save models",
    line: "python -c \"import keras; keras.saving.load_model('net.h5').export('net.onnx', format='onnx')\"",
    needs: TF2ONNX,
};
const TFLITE: Format = Format {
    is: "a TensorFlow Lite model",
    line: "python -m tf2onnx.convert --tflite net.tflite --output net.onnx",
    needs: TF2ONNX,
};
const SAVED_MODEL: Format = Format {
    is: "a TensorFlow SavedModel",
    line: "python -m tf2onnx.convert --saved-model FOLDER --output net.onnx",
    needs: TF2ONNX,
};
const FROZEN: Format = Format {
    is: "a TensorFlow graph (.pb)",
    line: "python -m tf2onnx.convert --graphdef net.pb --inputs input:0 --outputs output:0 --output net.onnx",
    needs: TF2ONNX,
};
const SCRIPT: Format = Format {
    is: "a TorchScript archive, a whole module with its code",
    line: "python -c \"import torch; torch.onnx.export(torch.jit.load('net.pt').eval(), torch.zeros(1, 3, 224, 224), \
           'net.onnx', dynamo=False)\"",
    needs: "pip install onnx",
};
const EXPORTED: Format = Format {
    is: "a program of torch.export (.pt2)",
    line: "python -c \"import torch; torch.onnx.export(torch.export.load('net.pt2'), (), 'net.onnx', dynamo=True)\"",
    needs: ONNXSCRIPT,
};
const MODULE: Format = Format {
    is: "a whole module with its code, not a state_dict",
    line: "python -c \"import torch; torch.onnx.export(torch.load('net.pt', weights_only=False).eval(), \
           torch.zeros(1, 3, 224, 224), 'net.onnx', dynamo=True)\"",
    needs: ONNXSCRIPT,
};
const ARRAYS: Format = Format {
    is: "an archive of NumPy arrays (.npz)",
    line: "python -c \"import numpy, safetensors.numpy as s; s.save_file(dict(numpy.load('net.npz')), 'net.safetensors')\"",
    needs: "pip install safetensors",
};

impl Format {
    fn error(&self, file: &str) -> Error {
        let is = if file.is_empty() { self.is.to_string() } else { format!("`{file}` is {}", self.is) };
        Error::format(is).hint(format!("{MAKE} file of it that convscope reads: {} ({})", self.line, self.needs))
    }
}

/// The error for a path that is a net of a foreign format: a folder, or a file by its first bytes or else its ending.
/// Nothing for other paths, and for those that cannot be read.
pub fn path(path: &Path) -> Option<Error> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if path.is_dir() {
        return path.join("saved_model.pb").is_file().then(|| SAVED_MODEL.error(&name));
    }
    let (mut file, _) = crate::regular::open(path).ok()?;
    let mut head = [0u8; 8];
    let read = std::io::Read::read(&mut file, &mut head).ok()?;
    if let Some(format) = by_bytes(&head[..read]) {
        return Some(format.error(&name));
    }
    let ending = path.extension()?.to_str()?.to_ascii_lowercase();
    let format = match ending.as_str() {
        "keras" => KERAS,
        "pb" if name == "saved_model.pb" => SAVED_MODEL,
        "pb" => FROZEN,
        "pt2" => EXPORTED,
        "npz" => ARRAYS,
        _ => return None,
    };
    Some(format.error(&name))
}

/// How each hint begins.
const MAKE: &str = "make a";

/// Whether an error is one of those that say how to convert a file.
pub fn converts(error: &Error) -> bool {
    error.hint.as_ref().is_some_and(|hint| hint.starts_with(MAKE))
}

/// The error for the bytes of a foreign format; nothing where they are none.
pub fn bytes(bytes: &[u8]) -> Option<Error> {
    by_bytes(bytes).map(|f| f.error(""))
}

fn by_bytes(bytes: &[u8]) -> Option<Format> {
    match bytes {
        [0x89, b'H', b'D', b'F', b'\r', b'\n', 0x1a, b'\n', ..] => Some(HDF5),
        [_, _, _, _, b'T', b'F', b'L', b'3', ..] => Some(TFLITE),
        _ => None,
    }
}

/// The error for a zip file with these entries, where they are those of another format than a checkpoint's.
pub fn archive<'a>(entries: impl Iterator<Item = &'a str> + Clone) -> Option<Error> {
    let has = |test: &dyn Fn(&str) -> bool| entries.clone().any(test);
    // Behind the folder that all entries of PyTorch's archives are in.
    fn inner(entry: &str) -> &str {
        entry.split_once('/').map_or(entry, |(_, rest)| rest)
    }
    let format = match () {
        () if has(&|e| e == "model.weights.h5") && has(&|e| e == "config.json") => KERAS,
        () if has(&|e| inner(e) == "constants.pkl") => SCRIPT,
        () if has(&|e| inner(e) == "archive_format" || e.ends_with("serialized_exported_program.json")) => EXPORTED,
        () if has(&|e| e.ends_with(".npy")) && !has(&|e| e.ends_with("data.pkl")) => ARRAYS,
        () => return None,
    };
    Some(format.error(""))
}

/// The error for a pickle of a whole module; `kind` says of which class.
pub fn whole_module(kind: &str) -> Error {
    let hint = format!(
        "{MAKE}n ONNX file of it: {} ({}); or save the weights alone: torch.save(net.state_dict(), \"weights.pth\")",
        MODULE.line, MODULE.needs
    );
    Error::format(format!("the file holds {kind}, {}", MODULE.is)).hint(hint)
}
