//! The run of a cell: it records its start and end in a file; values are read and written as files of the kernel's private
//! folder, which CONVSCOPE_CELLS names.

use super::cross::{Export, Import};
use super::kinds::{Image, Table, Tensor};
use super::value::Value;
use std::fs;
use std::path::PathBuf;

fn file(name: &str) -> PathBuf {
    PathBuf::from(std::env::var_os("CONVSCOPE_CELLS").unwrap_or_default()).join(name)
}

fn write(name: &str, bytes: &[u8]) {
    if let Err(error) = fs::write(file(name), bytes) {
        panic!("`{}`: {error}", file(name).display());
    }
}

/// A guard that lives while a cell runs. A cell that reaches its end keeps it among its variables. One that panics or returns by
/// `?` drops it, which tells the kernel that it failed.
#[derive(Debug)]
pub struct Running(u64);

impl Running {
    /// Begins the cell with this number.
    pub fn new(number: u64) -> Self {
        write("running", number.to_string().as_bytes());
        let usual = std::thread::current().id();
        std::panic::set_hook(Box::new(move |panic| {
            let message = panic.payload_as_str().unwrap_or("a panic without a message");
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            match std::thread::current().id() == usual {
                true => write("panic", format!("{place}\n{message}").as_bytes()),
                false => eprintln!("a thread panicked at {place}: {message}"),
            }
        }));
        Running(number)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A guard of an earlier cell is dropped at the end of a later one, whose number is in the file.
        if fs::read_to_string(file("running")).is_ok_and(|number| number == self.0.to_string()) {
            write("failed", if std::thread::panicking() { b"panic" } else { b"error" });
        }
    }
}

/// The value that the kernel wrote as `name`.
///
/// # Panics
/// Where there is no such value, or it is of another kind.
pub fn import<T: Import>(name: &str) -> T {
    let read = fs::read(file(&format!("in-{name}"))).map_err(|e| e.to_string());
    match read.and_then(|bytes| Value::read(&bytes)).and_then(T::import) {
        Ok(value) => value,
        Err(error) => panic!("`{name}`: {error}"),
    }
}

/// Writes a value as `name` for the kernel.
pub fn export<T: Export + ?Sized>(name: &str, value: &T) {
    write(&format!("out-{name}"), &value.export().bytes());
}

/// Shows a value under the cell that ends with it, as the kernel shows such a value of rhai.
fn show(value: &Value) {
    write("shown", &value.bytes());
    println!("EVCXR_BEGIN_CONTENT application/x-convscope-value\nshown\nEVCXR_END_CONTENT");
}

macro_rules! shown {
    ($($type:ty)*) => {$(
        impl $type {
            /// Shows the value under the cell.
            pub fn evcxr_display(&self) {
                show(&self.export());
            }
        }
    )*};
}

shown! { Tensor Image Table }
