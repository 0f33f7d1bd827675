//! The interface of a session to another language: exchanged variables, and functions of that language.

use crate::convert::{cast, cell, kind, to_cell, whole_numbers};
use crate::fault::Raise;
use crate::library::Function;
use crate::session::Session;
use convscope_engine::data::Image;
use convscope_engine::error::did_you_mean;
use convscope_engine::show::{Cell, Table};
use convscope_engine::{Artifact, Error, Result, Tensor};
use rhai::{Array, Dynamic, Map};
use std::any::TypeId;

/// A value that both languages have.
#[derive(Clone, Debug)]
pub enum Foreign {
    /// Nothing.
    Nothing,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Foreign>),
    /// A map.
    Map(Vec<(String, Foreign)>),
    /// A tensor.
    Tensor(Tensor),
    /// An image.
    Image(Image),
    /// A table.
    Table(Table),
}

/// A function of another language that scripts can call.
#[derive(Clone, Debug)]
pub struct Signature {
    /// Its name.
    pub name: String,
    /// Its parameters in that language's syntax: `map: Tensor`.
    pub parameters: Vec<String>,
    /// Its return type in that language's syntax.
    pub returns: Option<String>,
    /// Its doc comment.
    pub doc: String,
}

impl Foreign {
    /// Converts a script's value; an artifact converts to its primary array.
    ///
    /// # Errors
    /// Where the other language has no such value.
    pub fn of(from: &Dynamic) -> Result<Self> {
        if from.is_unit() {
            return Ok(Foreign::Nothing);
        }
        if let Ok(b) = from.as_bool() {
            return Ok(Foreign::Bool(b));
        }
        if let Ok(i) = from.as_int() {
            return Ok(Foreign::Int(i));
        }
        if let Ok(f) = from.as_float() {
            return Ok(Foreign::Float(f));
        }
        if from.is_string() || from.is_char() {
            return Ok(Foreign::Text(from.to_string()));
        }
        if let Some(list) = from.read_lock::<Array>() {
            return Ok(Foreign::List(list.iter().map(Foreign::of).collect::<Result<_>>()?));
        }
        if let Some(map) = from.read_lock::<Map>() {
            let entries = map.iter().map(|(name, v)| Ok((name.to_string(), Foreign::of(v)?)));
            return Ok(Foreign::Map(entries.collect::<Result<_>>()?));
        }
        if let Some(range) = whole_numbers(from) {
            return Ok(Foreign::List(range.map(Foreign::Int).collect()));
        }
        if let Some(tensor) = cast::<Tensor>(from) {
            return Ok(Foreign::Tensor(tensor));
        }
        if let Some(image) = cast::<Image>(from) {
            return Ok(Foreign::Image(image));
        }
        if let Some(table) = cast::<Table>(from) {
            return Ok(Foreign::Table(table));
        }
        if let Some(artifact) = cast::<Artifact>(from) {
            return Ok(Foreign::Tensor(artifact.value()?.clone()));
        }
        Err(Error::unsupported(format!("{} cannot cross to another language", kind(from))).hint(
            "tensors, images, tables, numbers, texts, lists and maps can; an artifact crosses as its primary array",
        ))
    }

    /// Converts to a script's value.
    pub fn dynamic(self) -> Dynamic {
        match self {
            Foreign::Nothing => Dynamic::UNIT,
            Foreign::Bool(b) => b.into(),
            Foreign::Int(i) => i.into(),
            Foreign::Float(f) => f.into(),
            Foreign::Text(t) => t.into(),
            Foreign::List(list) => Dynamic::from_array(list.into_iter().map(Foreign::dynamic).collect()),
            Foreign::Map(entries) => {
                Dynamic::from_map(entries.into_iter().map(|(name, v)| (name.into(), v.dynamic())).collect())
            }
            Foreign::Tensor(t) => Dynamic::from(t),
            Foreign::Image(i) => Dynamic::from(i),
            Foreign::Table(t) => Dynamic::from(t),
        }
    }

    /// Converts a table's cell.
    pub fn of_cell(from: &Cell) -> Self {
        Foreign::of(&cell(from)).unwrap_or(Foreign::Nothing)
    }

    /// Converts to a table's cell; other than plain values become text.
    pub fn cell(self) -> Cell {
        to_cell(&self.dynamic())
    }
}

impl Session {
    /// Exports a variable's value.
    ///
    /// # Errors
    /// Where there is no such variable, or the other language has no such value.
    pub fn export(&self, name: &str) -> Result<Foreign> {
        let Some(value) = self.scope.get(name) else {
            let variables = self.variables();
            let close = did_you_mean(name, variables.iter().map(String::as_str));
            let hint = close.unwrap_or_else(|| format!("define it in a cell before: let {name} = ..;"));
            return Err(Error::not_found(format!("no variable `{name}`")).hint(hint));
        };
        Foreign::of(value).map_err(|e| e.context(format!("`{name}`")))
    }

    /// Imports a value as a variable.
    ///
    /// # Errors
    /// Where a constant has that name.
    pub fn import(&mut self, name: &str, value: Foreign) -> Result<()> {
        if self.scope.is_constant(name) == Some(true) {
            return Err(Error::value(format!("`{name}` is a constant and cannot be set")).hint("choose another name"));
        }
        let value = value.dynamic();
        match self.scope.get_mut(name) {
            Some(old) => *old = value,
            None => drop(self.scope.push_dynamic(name.to_string(), value)),
        }
        Ok(())
    }

    /// Makes a function of the other language callable from scripts; a later one with the same name replaces it.
    ///
    /// # Errors
    /// Where scripts have a function of that name already.
    pub fn define<F>(&mut self, signature: &Signature, call: F) -> Result<()>
    where
        F: Fn(Vec<Foreign>) -> Result<Foreign> + Send + Sync + 'static,
    {
        let name = &signature.name;
        let taken = self.functions.iter().any(|f| f.name == *name && f.of.is_none() && !self.foreign.contains(name));
        let probe = convscope_engine::probes::find(name).is_ok();
        if taken || probe || self.known().defined.iter().any(|(n, _)| n == name) {
            return Err(Error::value(format!("scripts have a function `{name}` already")).hint("choose another name"));
        }
        let arguments = vec![TypeId::of::<Dynamic>(); signature.parameters.len()];
        self.engine.register_raw_fn(name.as_str(), arguments, move |_, given| {
            let given = given.iter().map(|g| Foreign::of(g)).collect::<Result<Vec<_>>>();
            given.and_then(&call).map(Foreign::dynamic).raise()
        });
        self.functions.retain(|f| f.name != *name || f.of.is_some());
        self.functions.push(signature.function());
        self.foreign.insert(name.clone());
        Ok(())
    }
}

impl Signature {
    /// The function as an entry of reference and completion.
    fn function(&self) -> Function {
        let returns = self.returns.as_ref().map_or(String::new(), |r| format!(" -> {r}"));
        let text = format!("{}({}){returns}", self.name, self.parameters.join(", "));
        // The reference keeps texts until the program ends; users define few functions.
        Function::parse(text.leak(), &self.doc)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::output::Silent;
    use convscope_engine::Job;
    use std::sync::Arc;

    fn session(source: &str) -> Session {
        let mut session = Session::new(Job::new(), Arc::new(Silent));
        assert!(session.run_cell(source).error.is_none());
        session
    }

    #[test]
    fn variables_go_and_come() {
        let mut session = session(
            "let a = [1, 2.5, \"x\", true, #{ k: () }, zeros([2, 2]), table([#{ n: 1 }]), 0..3]; const C = 1; let net = load_model(`shapes`);",
        );
        let lent = session.export("a").unwrap();
        session.import("b", lent).unwrap();
        let same = "b[0] == 1 && b[1] == 2.5 && b[2] == \"x\" && b[3] && b[4].k == () && b[5] == a[5] && b[6].rows[0].n == 1 && b[7] == [0, 1, 2]";
        assert!(format!("{:?}", session.run_cell(same).value).contains("true"));
        session.import("b", Foreign::Int(5)).unwrap();
        assert!(format!("{:?}", session.run_cell("b").value).contains('5'));
        assert!(session.import("C", Foreign::Int(5)).is_err());
        assert_eq!(session.export("aa").unwrap_err().message, "no variable `aa`");
        assert!(session.export("net").unwrap_err().message.contains("a net cannot cross"));
    }

    #[test]
    fn functions_of_elsewhere_are_called_and_defined_again() {
        let mut session = session("fn mine(x) { x }");
        let mut signature =
            Signature { name: "twice".into(), parameters: vec!["x: f64".into()], returns: None, doc: String::new() };
        for (factor, result) in [(2.0, "6.0"), (3.0, "9.0")] {
            let call = move |given: Vec<Foreign>| match given[..] {
                [Foreign::Float(x)] => Ok(Foreign::Float(factor * x)),
                _ => Err(Error::value("a number is asked for")),
            };
            session.define(&signature, call).unwrap();
            assert!(format!("{:?}", session.run_cell("twice(3.0)").value).contains(result));
        }
        assert_eq!(session.run_cell("twice(`a`)").error.unwrap().message, "a number is asked for");
        assert_eq!(session.functions.iter().filter(|f| f.name == "twice").count(), 1);
        for name in ["gradient", "mine"] {
            signature.name = name.into();
            assert!(session.define(&signature, |_| Ok(Foreign::Nothing)).is_err(), "{name}");
        }
    }
}
