//! Pickle's stack machine: opcodes that push, collect and remember objects.

use super::{Id, Object, Pickle};
use crate::error::{Error, Result};
use crate::limits::PICKLE_OBJECTS;
use std::collections::BTreeMap;
use std::ops::Range;

/// The machine's state: what was read so far, its stack, its marks and its memo.
pub(super) struct Machine<'a> {
    stream: &'a [u8],
    at: usize,
    objects: Vec<Object>,
    stack: Vec<Id>,
    marks: Vec<usize>,
    memo: BTreeMap<usize, Id>,
}

impl<'a> Machine<'a> {
    /// A machine at the front of `stream`.
    pub(super) fn new(stream: &'a [u8]) -> Self {
        let (objects, stack, marks) = (Vec::new(), Vec::new(), Vec::new());
        Machine { stream, at: 0, objects, stack, marks, memo: BTreeMap::new() }
    }

    /// Runs one pickle to its end.
    ///
    /// # Errors
    /// Where an opcode is unknown, or its arguments are not there.
    pub(super) fn run(mut self) -> Result<Pickle> {
        let root = self.root()?;
        Ok(Pickle { objects: self.objects, root, len: self.at })
    }

    /// The object that is left when the pickle stops.
    fn root(&mut self) -> Result<Id> {
        loop {
            let start = self.at;
            let op = self.take(1)?[0];
            match op {
                0x80 => self.skip(1)?,
                0x95 => self.skip(8)?,
                b'.' => return self.pop(),
                b'(' => {
                    self.room(self.marks.len())?;
                    self.marks.push(self.stack.len());
                }
                b'0' => drop(self.pop()?),
                b'1' => drop(self.pop_mark()?),
                b'2' => {
                    let top = self.top()?;
                    self.stack(top)?;
                }
                b'N' => self.push(Object::None)?,
                0x88 => self.push(Object::Bool(true))?,
                0x89 => self.push(Object::Bool(false))?,
                b'J' => {
                    let n = i32::from_le_bytes(self.array()?);
                    self.push(Object::Int(n.into()))?;
                }
                b'K' => {
                    let [n] = self.array()?;
                    self.push(Object::Int(n.into()))?;
                }
                b'M' => {
                    let n = u16::from_le_bytes(self.array()?);
                    self.push(Object::Int(n.into()))?;
                }
                0x8a => {
                    let n = self.length(1)?;
                    self.long(n)?;
                }
                0x8b => {
                    let n = self.length(4)?;
                    self.long(n)?;
                }
                b'G' => {
                    let x = f64::from_be_bytes(self.array()?);
                    self.push(Object::Float(x))?;
                }
                b'X' => self.text(4)?,
                0x8c => self.text(1)?,
                0x8d => self.text(8)?,
                b'U' => self.text_or_bytes(1)?,
                b'T' => self.text_or_bytes(4)?,
                b'C' => self.bytes(1)?,
                b'B' => self.bytes(4)?,
                0x8e | 0x96 => self.bytes(8)?,
                b']' | 0x8f => self.push(Object::List(Vec::new()))?,
                b')' => self.push(Object::Tuple(Vec::new()))?,
                b'}' => self.push(Object::Dict(Vec::new()))?,
                b'a' => {
                    let item = self.pop()?;
                    self.extend(vec![item])?;
                }
                b'e' | 0x90 => {
                    let items = self.pop_mark()?;
                    self.extend(items)?;
                }
                b'l' | 0x91 => {
                    let items = self.pop_mark()?;
                    self.push(Object::List(items))?;
                }
                b't' => {
                    let items = self.pop_mark()?;
                    self.push(Object::Tuple(items))?;
                }
                0x85..=0x87 => {
                    let mut items = Vec::new();
                    for _ in 0x84..op {
                        items.insert(0, self.pop()?);
                    }
                    self.push(Object::Tuple(items))?;
                }
                b'd' => {
                    let items = self.pop_mark()?;
                    self.push(Object::Dict(Vec::new()))?;
                    self.set(&items)?;
                }
                b's' => {
                    let (value, key) = (self.pop()?, self.pop()?);
                    self.set(&[key, value])?;
                }
                b'u' => {
                    let items = self.pop_mark()?;
                    self.set(&items)?;
                }
                b'c' => {
                    let (module, name) = (self.line()?, self.line()?);
                    self.push(Object::Global(format!("{module}.{name}")))?;
                }
                0x93 => {
                    let (name, module) = (self.pop()?, self.pop()?);
                    let (Object::Text(module), Object::Text(name)) = (&self.objects[module.0], &self.objects[name.0])
                    else {
                        return Err(damaged(start));
                    };
                    let global = Object::Global(format!("{module}.{name}"));
                    self.push(global)?;
                }
                b'R' | 0x81 => {
                    let (args, callable) = (self.pop()?, self.pop()?);
                    self.call(callable, args)?;
                }
                0x92 => {
                    let (_keywords, args, callable) = (self.pop()?, self.pop()?, self.pop()?);
                    self.call(callable, args)?;
                }
                b'b' => {
                    let given = self.pop()?;
                    let top = self.top()?;
                    if let Object::Call { state, .. } = &mut self.objects[top.0] {
                        *state = Some(given);
                    }
                }
                b'Q' => {
                    let key = self.pop()?;
                    self.push(Object::Persistent(key))?;
                }
                b'q' => {
                    let n = self.length(1)?;
                    self.remember(n)?;
                }
                b'r' => {
                    let n = self.length(4)?;
                    self.remember(n)?;
                }
                0x94 => self.remember(self.memo.len())?,
                b'h' => {
                    let n = self.length(1)?;
                    self.recall(n, start)?;
                }
                b'j' => {
                    let n = self.length(4)?;
                    self.recall(n, start)?;
                }
                other => {
                    return Err(Error::unsupported(format!("pickle opcode 0x{other:02x} at byte {start}"))
                        .hint("only what checkpoints and arrays need is read; save a state_dict or .safetensors"));
                }
            }
        }
    }

    fn take(&mut self, n: usize) -> Result<&[u8]> {
        let range = self.range(n)?;
        Ok(&self.stream[range])
    }

    fn range(&mut self, n: usize) -> Result<Range<usize>> {
        let end = self.at.checked_add(n).filter(|end| *end <= self.stream.len());
        let end = end.ok_or_else(|| {
            Error::format(format!("the pickle ends at byte {}, in the middle of an object", self.stream.len()))
                .hint("the file is cut short; get it again")
        })?;
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }

    fn skip(&mut self, n: usize) -> Result<()> {
        self.range(n).map(drop)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    fn length(&mut self, bytes: usize) -> Result<usize> {
        let start = self.at;
        let n = self.take(bytes)?.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
        usize::try_from(n).map_err(|_| damaged(start))
    }

    fn line(&mut self) -> Result<String> {
        let start = self.at;
        let len = self.stream[start..].iter().take(4096).position(|b| *b == b'\n').ok_or_else(|| damaged(start))?;
        let text = String::from_utf8_lossy(&self.stream[start..start + len]).into_owned();
        self.at = start + len + 1;
        Ok(text)
    }

    fn push(&mut self, object: Object) -> Result<()> {
        self.room(self.objects.len())?;
        self.stack(Id(self.objects.len()))?;
        self.objects.push(object);
        Ok(())
    }

    fn stack(&mut self, id: Id) -> Result<()> {
        self.room(self.stack.len())?;
        self.stack.push(id);
        Ok(())
    }

    /// An error unless there may be one more than `count`.
    fn room(&self, count: usize) -> Result<()> {
        if count < PICKLE_OBJECTS {
            return Ok(());
        }
        Err(Error::unsupported(format!("a pickle of more than {PICKLE_OBJECTS} objects")).hint(
            "a checkpoint has some thousands; save the weights alone: torch.save(net.state_dict(), \"weights.pth\")",
        ))
    }

    fn pop(&mut self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(damaged(self.at));
        }
        self.stack.pop().ok_or_else(|| damaged(self.at))
    }

    fn top(&self) -> Result<Id> {
        self.stack.last().copied().ok_or_else(|| damaged(self.at))
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().filter(|m| *m <= self.stack.len()).ok_or_else(|| damaged(self.at))?;
        Ok(self.stack.split_off(mark))
    }

    fn long(&mut self, n: usize) -> Result<()> {
        let bytes = self.take(n)?.to_vec();
        let sign = if bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 };
        let object = if n <= 8 {
            let mut wide = [sign; 8];
            wide[..n].copy_from_slice(&bytes);
            Object::Int(i64::from_le_bytes(wide))
        } else {
            Object::Long(bytes)
        };
        self.push(object)
    }

    fn text(&mut self, width: usize) -> Result<()> {
        let n = self.length(width)?;
        let text = String::from_utf8_lossy(self.take(n)?).into_owned();
        self.push(Object::Text(text))
    }

    fn bytes(&mut self, width: usize) -> Result<()> {
        let n = self.length(width)?;
        let range = self.range(n)?;
        self.push(Object::Bytes(range))
    }

    /// A Python 2 string: text where it is short and ASCII, else bytes.
    fn text_or_bytes(&mut self, width: usize) -> Result<()> {
        let n = self.length(width)?;
        let range = self.range(n)?;
        let object = match std::str::from_utf8(&self.stream[range.clone()]) {
            Ok(text) if n < 256 && text.is_ascii() => Object::Text(text.to_string()),
            _ => Object::Bytes(range),
        };
        self.push(object)
    }

    fn call(&mut self, callable: Id, args: Id) -> Result<()> {
        let ordered = matches!(&self.objects[callable.0], Object::Global(name) if name == "collections.OrderedDict");
        let object = match &self.objects[args.0] {
            Object::Tuple(items) if ordered && items.is_empty() => Object::Dict(Vec::new()),
            _ => Object::Call { callable, args, state: None },
        };
        self.push(object)
    }

    fn extend(&mut self, items: Vec<Id>) -> Result<()> {
        let top = self.top()?;
        match &mut self.objects[top.0] {
            Object::List(list) => list.extend(items),
            Object::Call { .. } => {}
            _ => return Err(damaged(self.at)),
        }
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Result<()> {
        let top = self.top()?;
        if !items.len().is_multiple_of(2) {
            return Err(damaged(self.at));
        }
        match &mut self.objects[top.0] {
            Object::Dict(entries) => entries.extend(items.chunks_exact(2).map(|pair| (pair[0], pair[1]))),
            Object::Call { .. } => {}
            _ => return Err(damaged(self.at)),
        }
        Ok(())
    }

    fn remember(&mut self, n: usize) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(n, top);
        Ok(())
    }

    fn recall(&mut self, n: usize, start: usize) -> Result<()> {
        let id = *self.memo.get(&n).ok_or_else(|| damaged(start))?;
        self.stack(id)
    }
}

fn damaged(at: usize) -> Error {
    Error::format(format!("the pickle is damaged at byte {at}")).hint("get the file again")
}
