//! Requests of a sealed process to the process that started it, one line of JSON each way: to fetch a known net, labels or
//! photos, and to ask the user for a line. The starting process decides; it never reads or writes a file that the sealed
//! process names.

use crate::error::{Error, Kind, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
#[cfg(unix)]
use std::io::{BufRead, BufReader, Read, Write};

/// The longest line of a request or an answer, bytes.
#[cfg(unix)]
const MAX_LINE_BYTES: u64 = 1 << 16;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Want {
    /// A known net, by its name.
    Net(String),
    /// ImageNet's labels.
    Labels,
    /// The sample images.
    Photos,
    /// A repository of the Hugging Face Hub.
    Hub(String),
    /// A line from the person.
    Line(String),
}

impl fmt::Display for Want {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Want::Net(name) => write!(f, "the net `{name}`"),
            Want::Labels => f.write_str("the list of ImageNet's labels"),
            Want::Photos => f.write_str("the set of sample images"),
            Want::Hub(id) => write!(f, "`hf:{id}`"),
            Want::Line(_) => f.write_str("a line"),
        }
    }
}

impl Want {
    /// The error where it may not be fetched at all.
    pub fn forbidden(&self) -> Error {
        Error::new(Kind::Io, format!("{self} is not on this machine, and `--offline` forbids to fetch it"))
            .hint(self.hint())
    }

    /// What the user can do to have it.
    pub fn hint(&self) -> String {
        match self {
            Want::Net(name) => format!("get it before: convscope fetch {name}"),
            Want::Hub(_) => "download its file and give load_model the path".into(),
            _ => "run it once with the network".into(),
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Answer {
    #[serde(default)]
    given: String,
    #[serde(default)]
    error: Option<String>,
    #[serde(default)]
    hint: Option<String>,
}

/// The sealed process's side of the channel.
#[derive(Debug)]
pub struct Channel {
    #[cfg(unix)]
    stream: BufReader<std::os::unix::net::UnixStream>,
}

#[cfg(unix)]
impl Channel {
    /// The channel that standard input is.
    ///
    /// # Errors
    /// Where it is closed.
    pub fn of_stdin() -> Result<Self> {
        use std::os::fd::AsFd;
        let stdin = std::io::stdin();
        let own = stdin.as_fd().try_clone_to_owned().map_err(|e| Error::io("stdin", &e))?;
        Ok(Channel { stream: BufReader::new(own.into()) })
    }

    /// Asks and waits for the answer.
    ///
    /// # Errors
    /// Where the other side refuses, fails or is gone.
    pub fn ask(&mut self, want: &Want) -> Result<String> {
        let gone = |e: std::io::Error| Error::new(Kind::Io, format!("the process that started this one: {e}"));
        let text = serde_json::to_string(want).map_err(|e| Error::internal(e.to_string()))? + "\n";
        self.stream.get_mut().write_all(text.as_bytes()).map_err(gone)?;
        let mut line = String::new();
        self.stream.by_ref().take(MAX_LINE_BYTES).read_line(&mut line).map_err(gone)?;
        let answer: Answer = serde_json::from_str(&line)
            .map_err(|_| Error::new(Kind::Io, "the process that started this one does not answer"))?;
        match (answer.error, answer.hint) {
            (None, _) => Ok(answer.given),
            (Some(error), None) => Err(Error::new(Kind::Io, error)),
            (Some(error), Some(hint)) => Err(Error::new(Kind::Io, error).hint(hint)),
        }
    }
}

#[cfg(not(unix))]
impl Channel {
    /// There is no such channel on this system.
    ///
    /// # Errors
    /// Always.
    pub fn of_stdin() -> Result<Self> {
        Err(Error::unsupported("no channel to the process that started this one"))
    }

    /// As [`Channel::of_stdin`].
    ///
    /// # Errors
    /// Always.
    pub fn ask(&mut self, want: &Want) -> Result<String> {
        Err(Error::new(Kind::Io, format!("{want} cannot be asked for")))
    }
}

/// Answers what comes over `stream` by `serve`, until the other side is gone.
#[cfg(unix)]
pub fn answer(stream: std::os::unix::net::UnixStream, serve: impl Fn(Want) -> Result<String>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    while stream.by_ref().take(MAX_LINE_BYTES).read_line(&mut line).is_ok_and(|n| n > 0) {
        let given = match serde_json::from_str(&line) {
            Ok(want) => serve(want),
            Err(_) => Err(Error::format("a request that is none")),
        };
        line.clear();
        let answer = match given {
            Ok(given) => Answer { given, error: None, hint: None },
            Err(e) => Answer { given: String::new(), error: Some(e.message), hint: e.hint },
        };
        let text = serde_json::to_string(&answer).unwrap_or_default() + "\n";
        if stream.get_mut().write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_asked_is_answered_in_turn() {
        let (here, there) = std::os::unix::net::UnixStream::pair().unwrap();
        let served = std::thread::spawn(move || {
            answer(there, |want| match want {
                Want::Net(name) if name == "known" => Ok("fetched".into()),
                other => Err(Error::value(format!("{other} is not had")).hint("do without")),
            });
        });
        let mut channel = Channel { stream: BufReader::new(here) };
        assert_eq!(channel.ask(&Want::Net("known".into())).unwrap(), "fetched");
        let error = channel.ask(&Want::Hub("x/y".into())).unwrap_err();
        assert_eq!((error.message.as_str(), error.hint.as_deref()), ("`hf:x/y` is not had", Some("do without")));
        drop(channel);
        served.join().unwrap();
    }
}
