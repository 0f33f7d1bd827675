//! The program `convscope-evcxr`: finds it, starts it and exchanges lines of JSON with it. It is a separate program because
//! evcxr depends on rust-analyzer, and because a crash of Rust code must not end the kernel.

use convscope_engine::{Error, Result};
use serde_json::{Value, json};
use std::fs::DirBuilder;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

/// The program's name.
const NAME: &str = "convscope-evcxr";
/// The environment variable with the program's path.
const PATH_VARIABLE: &str = "CONVSCOPE_EVCXR";
/// The version of the protocol of requests and events.
const PROTOCOL: u64 = 1;
/// The source files of the bridge crate, which cells use.
const BRIDGE: [(&str, &str); 7] = [
    ("Cargo.toml", "[package]\nname = \"bridge\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[workspace]\n"),
    ("src/lib.rs", include_str!("bridge/lib.rs")),
    ("src/cell.rs", include_str!("bridge/cell.rs")),
    ("src/cross.rs", include_str!("bridge/cross.rs")),
    ("src/kinds.rs", include_str!("bridge/kinds.rs")),
    ("src/serve.rs", include_str!("bridge/serve.rs")),
    ("src/value.rs", include_str!("bridge/value.rs")),
];

/// An event from the program.
#[derive(Debug)]
pub enum Event {
    /// The program is ready for requests.
    Ready,
    /// The program cannot work, with the reason.
    Failed(String),
    /// A line of a cell's stdout.
    Stdout(String),
    /// A line of a cell's stderr.
    Stderr(String),
    /// A line of the compiler or of the program itself.
    Compiling(String),
    /// The end of a request.
    Ended(Value),
    /// The program has ended.
    Exited,
}

/// The program with its private folder.
pub struct Program {
    child: Child,
    requests: ChildStdin,
    events: Receiver<Event>,
    /// The folder in which values are exchanged; only this user may enter it.
    pub folder: PathBuf,
}

impl Program {
    /// Starts the program; its first event says whether it can work.
    ///
    /// # Errors
    /// Where the program is not installed or cannot be started.
    pub fn start() -> Result<Self> {
        let path = find()?;
        let folder = folder()?;
        let mut command = Command::new(&path);
        command.arg(&folder).env("EVCXR_TMPDIR", folder.join("build")).env("CONVSCOPE_CELLS", &folder);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A Ctrl-C in the terminal is for the kernel alone.
        let mut child = command.process_group(0).spawn().map_err(|e| Error::io(&path, &e))?;
        let broken = || Error::internal(format!("`{}` has no pipes", path.display()));
        let requests = child.stdin.take().ok_or_else(broken)?;
        let (stdout, stderr) = (child.stdout.take().ok_or_else(broken)?, child.stderr.take().ok_or_else(broken)?);
        let (send, events) = channel();
        read(stderr, send.clone(), |line| Some(Event::Compiling(line.into())), None);
        read(stdout, send, event, Some(Event::Exited));
        Ok(Program { child, requests, events, folder })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// Where the program has ended.
    pub fn ask(&mut self, request: &Value) -> Result<()> {
        let gone = |e| Error::internal(format!("`{NAME}` is gone: {e}"));
        writeln!(self.requests, "{request}").and_then(|()| self.requests.flush()).map_err(gone)
    }

    /// The next event; none within this time.
    pub fn next(&self, within: Duration) -> Option<Event> {
        match self.events.recv_timeout(within) {
            Ok(event) => Some(event),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => Some(Event::Exited),
        }
    }

    /// Writes the bridge crate and returns its folder.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn write_bridge(&self) -> Result<PathBuf> {
        let bridge = self.folder.join("bridge");
        std::fs::create_dir_all(bridge.join("src")).map_err(|e| Error::io(&bridge, &e))?;
        for (name, content) in BRIDGE {
            let file = bridge.join(name);
            std::fs::write(&file, content).map_err(|e| Error::io(&file, &e))?;
        }
        Ok(bridge)
    }

    /// The number of crates in a build, from cargo's messages.
    pub fn crates(&self) -> usize {
        let lock = std::fs::read_to_string(self.folder.join("build/Cargo.lock")).unwrap_or_default();
        lock.matches("[[package]]").count()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The program may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Reads lines on a thread.
fn read(
    from: impl std::io::Read + Send + 'static,
    to: Sender<Event>,
    event: fn(&str) -> Option<Event>,
    last: Option<Event>,
) {
    std::thread::spawn(move || {
        let lines = BufReader::new(from).split(b'\n').map_while(std::result::Result::ok);
        for event in lines.filter_map(|l| event(&String::from_utf8_lossy(&l))) {
            if to.send(event).is_err() {
                return;
            }
        }
        // The receiver is gone only when the kernel ends.
        last.map(|event| to.send(event));
    });
}

/// The event in a line.
fn event(line: &str) -> Option<Event> {
    let message: Value = serde_json::from_str(line).ok()?;
    let text = |name: &str| message[name].as_str().unwrap_or("").to_string();
    Some(match message["event"].as_str()? {
        "ready" if message["protocol"] == PROTOCOL => Event::Ready,
        "ready" => Event::Failed(format!("`{NAME}` is of another version of convscope")),
        "unable" => Event::Failed(text("message")),
        "stdout" => Event::Stdout(text("line")),
        "stderr" => Event::Stderr(text("line")),
        "ended" => Event::Ended(message),
        _ => return None,
    })
}

/// A new folder that only this user may enter. Its path is short: the path of a Unix socket in it has at most about 100 bytes.
fn folder() -> Result<PathBuf> {
    let name = uuid::Uuid::new_v4().simple().to_string();
    let folder = std::env::temp_dir().join(format!("convscope-{}", &name[..12]));
    DirBuilder::new().mode(0o700).create(&folder).map_err(|e| Error::io(&folder, &e))?;
    let build = folder.join("build");
    std::fs::create_dir(&build).map_err(|e| Error::io(&build, &e))?;
    Ok(folder)
}

/// The path of the program: CONVSCOPE_EVCXR, beside this program, on the PATH, or in cargo's folder of programs.
fn find() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(PATH_VARIABLE).filter(|p| !p.is_empty()).map(PathBuf::from) {
        return match named.is_file() {
            true => Ok(named),
            false => Err(absent(format!("{PATH_VARIABLE} names `{}`, where no program is", named.display()))),
        };
    }
    let beside = std::env::current_exe().ok().and_then(|p| p.parent().map(Path::to_path_buf));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let cargo = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo = cargo.or_else(|| etcetera::home_dir().ok().map(|home| home.join(".cargo")));
    let folders = beside.into_iter().chain(std::env::split_paths(&path)).chain(cargo.map(|c| c.join("bin")));
    let found = folders.map(|f| f.join(NAME)).find(|p| p.is_file());
    found.ok_or_else(|| absent(format!("cells in Rust need the program `{NAME}`, which is not installed")))
}

fn absent(message: String) -> Error {
    let install = "cargo install --locked --path rust-cells";
    Error::not_found(message).hint(format!(
        "in the folder of convscope's source: {install} (takes minutes, once; Rust itself comes from https://rustup.rs)"
    ))
}

/// A request to evaluate code.
pub fn eval(id: u64, code: &str) -> Value {
    json!({ "op": "eval", "id": id, "code": code })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_events() {
        assert!(matches!(event("{\"event\":\"ready\",\"protocol\":1}"), Some(Event::Ready)));
        assert!(matches!(event("{\"event\":\"ready\",\"protocol\":9}"), Some(Event::Failed(_))));
        assert!(matches!(event("{\"event\":\"stdout\",\"line\":\"x\"}"), Some(Event::Stdout(l)) if l == "x"));
        assert!(event("").is_none() && event("{}").is_none());
    }
}
