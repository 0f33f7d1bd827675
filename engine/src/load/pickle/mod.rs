//! Reads Python pickles as data, as far as PyTorch checkpoints and pickled NumPy arrays need; nothing is ever executed.
//!
//! Every object becomes a node in an arena; a global name or a call is an inert node that readers may look at. Nodes
//! refer to each other by index, so that shared, deep or circular structures cost neither recursion nor memory. The
//! opcodes are those of protocols 2 to 5 (Python's `pickletools` documents them).

mod machine;

use crate::error::Result;
use crate::limits::AXES;
use machine::Machine;
use std::ops::Range;

/// Index of an object in its [`Pickle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Id(usize);

/// One Python object, inert.
#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    /// `None`
    None,
    /// `True` or `False`
    Bool(bool),
    /// An integer that fits 64 bits.
    Int(i64),
    /// An integer that does not: its bytes, lowest first.
    Long(Vec<u8>),
    /// A number.
    Float(f64),
    /// A string.
    Text(String),
    /// Bytes: where they are in the stream.
    Bytes(Range<usize>),
    /// `module.name`
    Global(String),
    /// A list, a set or a frozen set.
    List(Vec<Id>),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A dictionary, also an ordered one, in its order.
    Dict(Vec<(Id, Id)>),
    /// The object that a call of a global would create: the callable, its arguments, and the state set afterwards.
    Call {
        /// The callable.
        callable: Id,
        /// Its tuple of arguments.
        args: Id,
        /// The argument of `__setstate__`.
        state: Option<Id>,
    },
    /// Something kept outside the pickle under this key.
    Persistent(Id),
}

/// A pickle as read: its objects and its result.
#[derive(Debug)]
pub struct Pickle {
    objects: Vec<Object>,
    root: Id,
    /// How many bytes of the stream it took.
    pub len: usize,
}

impl Pickle {
    /// Reads one pickle from the front of `stream`.
    ///
    /// # Errors
    /// Where the stream is damaged, cut short, or uses what no checkpoint needs.
    pub fn read(stream: &[u8]) -> Result<Self> {
        Machine::new(stream).run()
    }

    /// The result.
    pub fn root(&self) -> Id {
        self.root
    }

    /// One object.
    pub fn get(&self, id: Id) -> &Object {
        &self.objects[id.0]
    }

    /// The string that `id` is.
    pub fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Object::Text(s) => Some(s),
            _ => None,
        }
    }

    /// The number that `id` is, where it is an integer of 0 or more.
    pub fn size(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Object::Int(n) => usize::try_from(*n).ok(),
            _ => None,
        }
    }

    /// The members of the tuple or list that `id` is.
    pub fn items(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Object::Tuple(items) | Object::List(items) => Some(items),
            _ => None,
        }
    }

    /// The numbers of 0 or more, one an axis, in the tuple that `id` is.
    pub fn sizes(&self, id: Id) -> Option<Vec<usize>> {
        self.items(id).filter(|items| items.len() <= AXES)?.iter().map(|i| self.size(*i)).collect()
    }

    /// The value of the key `name` in the dictionary that `id` is.
    pub fn entry(&self, id: Id, name: &str) -> Option<Id> {
        match self.get(id) {
            Object::Dict(entries) => entries.iter().find(|(k, _)| self.text(*k) == Some(name)).map(|(_, v)| *v),
            _ => None,
        }
    }

    /// The global's name and the arguments of the call that `id` is.
    pub fn call(&self, id: Id) -> Option<(&str, &[Id])> {
        let Object::Call { callable, args, .. } = self.get(id) else { return None };
        match self.get(*callable) {
            Object::Global(name) => Some((name, self.items(*args)?)),
            _ => None,
        }
    }

    /// The keys of all that is kept outside the pickle.
    pub fn persistent(&self) -> impl Iterator<Item = Id> + '_ {
        self.objects.iter().filter_map(|o| match o {
            Object::Persistent(key) => Some(*key),
            _ => None,
        })
    }

    /// What kind of object `id` is, for messages.
    pub fn kind(&self, id: Id) -> String {
        match self.get(id) {
            Object::None => "None".into(),
            Object::Bool(_) => "a bool".into(),
            Object::Int(_) | Object::Long(_) => "an int".into(),
            Object::Float(_) => "a float".into(),
            Object::Text(_) => "a str".into(),
            Object::Bytes(_) => "bytes".into(),
            Object::Global(name) => format!("the global `{name}`"),
            Object::List(_) => "a list".into(),
            Object::Tuple(_) => "a tuple".into(),
            Object::Dict(_) => "a dict".into(),
            Object::Call { .. } => self.call(id).map_or("an object".into(), |(name, _)| format!("a `{name}`")),
            Object::Persistent(_) => "a storage".into(),
        }
    }
}
