//! The process that evaluates Rust by evcxr: it starts with the first Rust cell, evaluates cells, serves calls from rhai, and is
//! stopped and restarted.

use super::codec::{from_rust, to_rust};
use super::diagnostics::{lost, status};
use super::program::{Event, Program, eval};
use super::value;
use convscope_dsl::{Foreign, Output};
use convscope_engine::error::Kind;
use convscope_engine::job::StopSignal;
use convscope_engine::{Error, Result};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The time between two checks of the signal to stop.
const POLL: Duration = Duration::from_millis(20);
/// A process that does not stop within this time is killed.
const STOP_TIMEOUT: Duration = Duration::from_secs(25);
/// What a call printed arrives within this time after its end.
const OUTPUT_TIMEOUT: Duration = Duration::from_secs(2);
/// The marker that is printed at the end of a call.
const CALL_END: &str = "\u{1}called";

/// The process and the functions defined in it.
pub struct EvcxrProcess {
    program: Option<Program>,
    output: Arc<dyn Output>,
    signal: StopSignal,
    functions: BTreeSet<String>,
    serving: Option<Serving>,
    count: u64,
    compiled: usize,
}

/// The state while Rust's process serves calls; `id` is the request that started it.
struct Serving {
    stream: UnixStream,
    id: u64,
}

impl EvcxrProcess {
    /// A process that starts at the first request. What it prints goes to `output`; `signal` stops what it evaluates.
    pub fn new(output: Arc<dyn Output>, signal: StopSignal) -> Self {
        let functions = BTreeSet::new();
        EvcxrProcess { program: None, output, signal, functions, serving: None, count: 0, compiled: 0 }
    }

    /// Whether the process was started.
    pub fn is_started(&self) -> bool {
        self.program.is_some()
    }

    /// The number of the next request.
    pub fn next_number(&self) -> u64 {
        self.count + 1
    }

    /// Evaluates code; returns the event that ended it.
    ///
    /// # Errors
    /// Where Rust cannot be started, or is gone.
    pub fn eval(&mut self, code: &str) -> Result<Value> {
        self.stop_serving()?;
        self.start()?;
        self.count += 1;
        self.ask(&eval(self.count, code))
    }

    /// Sends another request about code.
    ///
    /// # Errors
    /// As [`EvcxrProcess::eval`].
    pub fn about(&mut self, mut request: Value) -> Result<Value> {
        self.stop_serving()?;
        self.start()?;
        self.count += 1;
        request["id"] = self.count.into();
        self.ask(&request)
    }

    /// Makes a Rust function callable by name from now on.
    pub fn declare(&mut self, name: &str) {
        self.functions.insert(name.to_string());
    }

    /// Reads a value from a file in the private folder.
    ///
    /// # Errors
    /// Where the file is missing or damaged.
    pub fn read(&self, file: &str) -> Result<Foreign> {
        let path = self.program()?.folder.join(file);
        let bytes = std::fs::read(&path).map_err(|e| Error::io(&path, &e))?;
        from_rust(value::Value::read(&bytes).map_err(Error::internal)?)
    }

    /// Writes a value to a file in the private folder; starts Rust if it does not run.
    ///
    /// # Errors
    /// Where it cannot be written, or Rust cannot be started.
    pub fn write(&mut self, file: &str, value: &value::Value) -> Result<()> {
        self.start()?;
        let path = self.program()?.folder.join(file);
        std::fs::write(&path, value.bytes()).map_err(|e| Error::io(&path, &e))
    }

    fn program(&self) -> Result<&Program> {
        self.program.as_ref().ok_or_else(gone)
    }

    fn start(&mut self) -> Result<()> {
        if self.program.is_some() {
            return Ok(());
        }
        self.program = Some(Program::start()?);
        let started = self.wait_until_ready();
        if started.is_err() {
            self.program = None;
        }
        started
    }

    /// Waits until the program is ready, and makes the bridge crate known to it.
    fn wait_until_ready(&mut self) -> Result<()> {
        loop {
            self.output.progress("starting Rust", 0, 1);
            match self.program()?.next(POLL) {
                Some(Event::Ready) => break,
                Some(Event::Failed(message)) => {
                    return Err(Error::unsupported(format!("cells in Rust cannot start: {}", message.trim()))
                        .hint("they are compiled by cargo and rustc, which https://rustup.rs installs"));
                }
                Some(Event::Exited) => return Err(gone()),
                Some(_) => {}
                None if self.signal.is_set() => return Err(interrupted()),
                None => {}
            }
        }
        let bridge = self.program()?.write_bridge()?;
        self.count += 1;
        let code = format!(":dep bridge = {{ path = {} }}", json!(bridge.to_string_lossy()));
        let ended = self.ask(&eval(self.count, &code))?;
        self.output.progress("starting Rust", 1, 1);
        match ended["failed"].as_str() {
            None => Ok(()),
            Some("interrupted") => Err(interrupted()),
            Some(_) => {
                let errors = ended["errors"].as_array().and_then(|e| e.first()).unwrap_or(&ended);
                let message = errors["message"].as_str().unwrap_or("").trim();
                Err(Error::unsupported(format!("cells in Rust cannot start: {message}"))
                    .hint("does `cargo build` work in a new crate?"))
            }
        }
    }

    /// Sends a request and waits for its end.
    fn ask(&mut self, request: &Value) -> Result<Value> {
        self.compiled = 0;
        let asked = self.program.as_mut().ok_or_else(gone).and_then(|p| p.ask(request));
        if asked.is_err() {
            self.program = None;
        }
        asked?;
        self.wait(request["id"].as_u64().unwrap_or(0))
    }

    /// Waits for the end of a request; meanwhile it passes on what is printed, and a stop if one is requested.
    fn wait(&mut self, id: u64) -> Result<Value> {
        let mut stop = Stop::default();
        loop {
            match self.program()?.next(POLL) {
                Some(Event::Ended(ended)) if ended["id"] == id => return Ok(ended),
                Some(event) => self.forward_output(event)?,
                None => self.forward_stop(id, &mut stop)?,
            }
        }
    }

    /// Passes a stop on, once; a program that does not stop in time is killed.
    fn forward_stop(&mut self, id: u64, stop: &mut Stop) -> Result<()> {
        match stop.0 {
            None if self.signal.is_set() => {
                stop.0 = Some(Instant::now());
                self.program.as_mut().ok_or_else(gone)?.ask(&json!({ "op": "interrupt", "id": id }))
            }
            Some(begun) if begun.elapsed() > STOP_TIMEOUT => {
                self.program = None;
                Err(interrupted().hint("Rust did not stop and was ended: its variables and functions are gone"))
            }
            _ => Ok(()),
        }
    }

    /// Passes on the output of an event.
    fn forward_output(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Stdout(line) if line == CALL_END => {}
            Event::Stdout(line) => self.output.print(&line),
            Event::Stderr(line) => self.output.debug(&line),
            Event::Compiling(line) if line.trim_start().starts_with("Compiling ") => {
                self.compiled += 1;
                let all = self.program()?.crates();
                self.output.progress("compiling crates", self.compiled, all.max(self.compiled + 1));
            }
            Event::Compiling(line) => eprintln!("{line}"),
            Event::Exited => {
                (self.program, self.serving) = (None, None);
                return Err(gone());
            }
            Event::Ready | Event::Failed(_) | Event::Ended(_) => {}
        }
        Ok(())
    }

    /// Calls a Rust function from rhai.
    ///
    /// # Errors
    /// Where the function returns an error, panics, ends its process, or is interrupted.
    pub fn call(&mut self, name: &str, arguments: Vec<Foreign>) -> Result<Foreign> {
        self.serve()?;
        let arguments = arguments.into_iter().map(to_rust).collect::<Result<_>>()?;
        let request = value::Value::List(vec![value::Value::Text(name.into()), value::Value::List(arguments)]);
        let reply = self.exchange(name, &request.bytes())?;
        self.forward_printed()?;
        match value::Value::read(&reply).map_err(Error::internal)? {
            value::Value::List(mut parts) => match (parts.pop(), parts.pop()) {
                (Some(result), Some(value::Value::Bool(true))) => from_rust(result),
                (Some(value::Value::Text(message)), _) => Err(Error::value(format!("`{name}`: {message}"))),
                _ => Err(Error::internal("a malformed reply")),
            },
            _ => Err(Error::internal("a malformed reply")),
        }
    }

    /// Sends the bytes of a call and returns those of the reply.
    fn exchange(&mut self, name: &str, request: &[u8]) -> Result<Vec<u8>> {
        let broken = |e: std::io::Error| Error::internal(format!("calls of Rust: {e}"));
        let serving = self.serving.as_mut().ok_or_else(gone)?;
        let mut stream = serving.stream.try_clone().map_err(broken)?;
        let sent = stream.write_all(&(request.len() as u64).to_le_bytes()).and_then(|()| stream.write_all(request));
        if sent.is_err() {
            return Err(self.process_ended(name));
        }
        let (mut reply, mut chunk, mut stop) = (Vec::new(), vec![0; 1 << 16], Stop::default());
        let id = serving.id;
        loop {
            match stream.read(&mut chunk) {
                Ok(0) => return Err(self.process_ended(name)),
                Ok(n) => reply.extend_from_slice(&chunk[..n]),
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    self.forward_stop(id, &mut stop)?;
                    while let Some(event) = self.program()?.next(Duration::ZERO) {
                        if matches!(&event, Event::Ended(ended) if ended["id"] == id) {
                            return Err(self.failed(name, event));
                        }
                        self.forward_output(event)?;
                    }
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(self.process_ended(name)),
            }
            if let Some((length, rest)) = reply.split_first_chunk::<8>()
                && rest.len() as u64 >= u64::from_le_bytes(*length)
            {
                return Ok(rest.to_vec());
            }
        }
    }

    /// Passes on what a call printed.
    fn forward_printed(&mut self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < OUTPUT_TIMEOUT {
            match self.program()?.next(POLL) {
                Some(Event::Stdout(line)) if line == CALL_END => break,
                Some(event) => self.forward_output(event)?,
                None => {}
            }
        }
        Ok(())
    }

    /// The error of a call during which Rust's process closed the connection.
    fn process_ended(&mut self, name: &str) -> Error {
        let Some(serving) = self.serving.take() else { return gone() };
        drop(serving.stream);
        match self.wait(serving.id) {
            Ok(ended) => self.failed(name, Event::Ended(ended)),
            Err(error) => error,
        }
    }

    fn failed(&mut self, name: &str, event: Event) -> Error {
        self.serving = None;
        let Event::Ended(ended) = event else { return gone() };
        let kept = lost(&ended);
        match ended["failed"].as_str() {
            Some("interrupted") => interrupted().hint(kept),
            _ => {
                let how = status(ended["message"].as_str().unwrap_or(""));
                Error::value(format!("`{name}` ended Rust's process: {how}")).hint(kept)
            }
        }
    }

    /// Makes Rust's process serve calls, if it does not yet.
    fn serve(&mut self) -> Result<()> {
        if self.serving.is_some() {
            return Ok(());
        }
        self.count += 1;
        let id = self.count;
        let broken = |e: std::io::Error| Error::internal(format!("calls of Rust: {e}"));
        let socket = self.program()?.folder.join(format!("calls-{id}"));
        let listener = UnixListener::bind(&socket).map_err(broken)?;
        listener.set_nonblocking(true).map_err(broken)?;
        let entries: Vec<String> = self.functions.iter().map(|f| format!("bridge::function({f:?}, {f})")).collect();
        let path = json!(socket.to_string_lossy());
        let code = format!("{} bridge::serve({path}, &[{}]);", begin(id), entries.join(", "));
        self.compiled = 0;
        self.program.as_mut().ok_or_else(gone)?.ask(&eval(id, &code))?;
        let mut stop = Stop::default();
        loop {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false).map_err(broken)?;
                    stream.set_read_timeout(Some(POLL)).map_err(broken)?;
                    self.serving = Some(Serving { stream, id });
                    return Ok(());
                }
                Err(e) if e.kind() == ErrorKind::WouldBlock => match self.program()?.next(POLL) {
                    Some(Event::Ended(ended)) if ended["id"] == id => return Err(self.unserved(&ended)),
                    Some(event) => self.forward_output(event)?,
                    None => self.forward_stop(id, &mut stop)?,
                },
                Err(e) => return Err(broken(e)),
            }
        }
    }

    fn unserved(&self, ended: &Value) -> Error {
        match ended["failed"].as_str() {
            Some("interrupted") => interrupted(),
            _ => {
                let first = ended["errors"].as_array().and_then(|e| e.first()).unwrap_or(ended);
                let message = first["message"].as_str().unwrap_or("it ended at once");
                Error::value(format!("Rust's functions cannot be called: {message}"))
                    .hint("run the `%%rust --fn` cells again, types that they use first")
            }
        }
    }

    /// Ends the serving of calls, so that Rust's process evaluates cells again.
    fn stop_serving(&mut self) -> Result<()> {
        match self.serving.take() {
            Some(serving) => {
                drop(serving.stream);
                self.wait(serving.id).map(drop)
            }
            None => Ok(()),
        }
    }
}

/// The time at which a stop was passed on.
#[derive(Default)]
struct Stop(Option<Instant>);

/// The first statement of a cell: the guard whose drop reports how the cell ends.
pub fn begin(number: u64) -> String {
    format!("let convscope_cell: bridge::Running = bridge::Running::new({number});")
}

fn interrupted() -> Error {
    Error::new(Kind::Interrupted, "interrupted")
}

fn gone() -> Error {
    Error::internal("the program that evaluates Rust is gone").hint(
        "the next cell in Rust starts it again; what Rust knew has to be run again, variables of rhai are as they were",
    )
}
