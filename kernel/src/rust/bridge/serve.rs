//! Functions that rhai calls: requests come through a socket in the kernel's private folder, one after another.

use super::cross::{Return, Import};
use super::value::Value;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The marker that is printed at the end of a call, behind everything that the call printed.
pub const CALL_END: &str = "\u{1}called";

/// A function with its name.
pub struct Entry {
    name: &'static str,
    call: Box<dyn Fn(Vec<Value>) -> Result<Value, String>>,
}

/// A function whose parameters and result can be exchanged with rhai.
#[diagnostic::on_unimplemented(
    message = "rhai cannot call `{Self}`",
    note = "parameters and results can be bool, whole numbers, f32, f64, String, Vec, Option, bridge::Tensor, bridge::Image, bridge::Table and bridge::Value"
)]
pub trait Function<Parameters> {
    /// Calls the function.
    ///
    /// # Errors
    /// Where an argument does not fit, or the function returns an error.
    fn call(&self, arguments: Vec<Value>) -> Result<Value, String>;
}

macro_rules! functions {
    ($($parameter:ident)*) => {
        impl<Fun, Res: Return, $($parameter: Import),*> Function<($($parameter,)*)> for Fun
        where
            Fun: Fn($($parameter),*) -> Res,
        {
            #[allow(unused_mut, unused_variables)]
            fn call(&self, arguments: Vec<Value>) -> Result<Value, String> {
                let mut arguments = arguments.into_iter();
                self($($parameter::import(arguments.next().unwrap_or_default())?),*).outcome()
            }
        }
    };
}

functions! {}
functions! { A }
functions! { A B }
functions! { A B C }
functions! { A B C D }
functions! { A B C D E }
functions! { A B C D E F }

/// A function by the name under which rhai calls it.
pub fn function<Parameters, F: Function<Parameters> + 'static>(name: &'static str, f: F) -> Entry {
    Entry { name, call: Box::new(move |arguments| f.call(arguments)) }
}

/// Answers calls until the kernel closes the socket.
pub fn serve(socket: &str, functions: &[Entry]) {
    let answered = UnixStream::connect(socket).and_then(|stream| answer(stream, functions));
    if let Err(error) = answered {
        panic!("calls from rhai: {error}");
    }
}

fn answer(mut stream: UnixStream, functions: &[Entry]) -> io::Result<()> {
    while let Some(request) = receive(&mut stream)? {
        let reply = match called(&request, functions) {
            Ok(value) => Value::List(vec![Value::Bool(true), value]),
            Err(message) => Value::List(vec![Value::Bool(false), Value::Text(message)]),
        };
        println!("{CALL_END}");
        io::stdout().flush()?;
        send(&mut stream, &reply.bytes())?;
    }
    Ok(())
}

fn called(request: &[u8], functions: &[Entry]) -> Result<Value, String> {
    let Value::List(parts) = Value::read(request)? else { return Err("no call".into()) };
    let [Value::Text(name), Value::List(arguments)] = &parts[..] else { return Err("no call".into()) };
    let entry = functions.iter().find(|f| f.name == name).ok_or_else(|| format!("no function `{name}`"))?;
    let arguments = arguments.clone();
    catch_unwind(AssertUnwindSafe(|| (entry.call)(arguments))).unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        let message = message.or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()));
        Err(format!("panicked: {}", message.unwrap_or_else(|| "without a message".into())))
    })
}

/// The next request; none where the kernel has closed the socket.
fn receive(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 8];
    match stream.read_exact(&mut length) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = u64::from_le_bytes(length);
    let mut bytes = Vec::new();
    // The buffer grows with the bytes that arrive, not by the claimed length.
    match stream.take(length).read_to_end(&mut bytes)? as u64 == length {
        true => Ok(Some(bytes)),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn send(stream: &mut UnixStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(&(bytes.len() as u64).to_le_bytes())?;
    stream.write_all(bytes)?;
    stream.flush()
}
