//! The functions of scripts: each is bound together with its signature and its doc, from which the reference, completion and
//! the hints of errors are made.

use crate::fault::Fallible;
use rhai::{Dynamic, Engine, FuncRegistration, Module, RhaiNativeFunc, Variant};
use std::any::TypeId;

/// The iterator of a `for` loop.
pub type Loop = Box<dyn Iterator<Item = Fallible<Dynamic>>>;

/// One function, method or property, as the reference prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The kind of value it belongs to, for methods and properties.
    pub of: Option<String>,
    /// Its signature: `net.layer(name: text) -> layer`.
    pub signature: &'static str,
    /// Its documentation.
    pub doc: String,
    /// Whether it is a property, read without parentheses.
    pub property: bool,
}

impl Function {
    /// Parses a signature such as `load_image(path: text) -> image`, `net.layer(name: text) -> layer` or `net.layers -> list`.
    pub fn parse(signature: &'static str, doc: &str) -> Self {
        let head = signature.split(['(', '[']).next().unwrap_or(signature);
        let head = head.split(" -> ").next().unwrap_or(head).trim();
        let call = signature.split(" -> ").next().unwrap_or(signature);
        let property = !call.contains('(') && !call.contains('[');
        let (of, name) = match head.rsplit_once('.') {
            Some((of, name)) => (Some(of.to_string()), name.to_string()),
            None if call.contains('[') && !call.contains('(') => (Some(head.to_string()), "[]".to_string()),
            None => (None, head.to_string()),
        };
        Function { name, of, signature, doc: doc.trim().to_string(), property }
    }

    /// Whether it is a member of values that rhai calls `kind`: a layer is a subject, `data` a data set.
    pub fn belongs_to(&self, kind: &str) -> bool {
        match self.of.as_deref() {
            Some("layer") => kind == "subject",
            Some("data") => kind == "data set",
            Some("list") => kind == "array",
            Some(of) => of == kind,
            None => false,
        }
    }

    /// The names of the parameters, in order.
    pub fn parameters(&self) -> Vec<&'static str> {
        let Some((_, rest)) = self.signature.split_once('(') else { return Vec::new() };
        let inside = rest.split(") ->").next().unwrap_or(rest).trim_end_matches(')');
        inside.split(", ").filter(|p| !p.is_empty()).collect()
    }

    /// The kind of the returned value, where the signature has it.
    pub fn returns(&self) -> Option<&'static str> {
        self.signature.split_once(" -> ").map(|(_, kind)| kind.trim())
    }
}

/// A kind of value with its documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name in signatures and messages.
    pub name: &'static str,
    /// Its documentation.
    pub doc: &'static str,
    /// rhai's name of the type.
    pub rust: &'static str,
}

/// A rhai engine to which functions are bound, and the list of bound functions.
pub struct Library<'e> {
    /// The engine.
    pub engine: &'e mut Engine,
    /// The bound functions, in order.
    pub functions: Vec<Function>,
    /// The kinds of value.
    pub kinds: Vec<Kind>,
    iterators: Module,
}

impl<'e> Library<'e> {
    /// An empty library over `engine`.
    pub fn new(engine: &'e mut Engine) -> Self {
        Library { engine, functions: Vec::new(), kinds: Vec::new(), iterators: Module::new() }
    }

    /// Registers a kind of value.
    pub fn kind<T: Variant + Clone>(&mut self, name: &'static str, doc: &'static str) {
        self.engine.register_type_with_name::<T>(name);
        self.kinds.push(Kind { name, doc, rust: std::any::type_name::<T>() });
    }

    /// Sets how values of a kind are printed.
    pub fn text<T: Variant + Clone>(&mut self, text: impl Fn(&T) -> String + Clone + Send + Sync + 'static) {
        let again = text.clone();
        self.engine.register_fn("to_string", move |value: &mut T| text(value));
        self.engine.register_fn("to_debug", move |value: &mut T| again(value));
    }

    /// Sets what a `for` loop over a kind of value iterates over.
    pub fn loops<T: Variant + Clone>(&mut self, each: fn(T) -> Loop) {
        self.iterators.set_iter_result(TypeId::of::<T>(), move |value: Dynamic| each(value.cast::<T>()));
    }

    /// Ends binding; returns the functions in order, and the kinds of value.
    pub fn finish(self) -> (Vec<Function>, Vec<Kind>) {
        self.engine.register_global_module(self.iterators.into());
        (self.functions, self.kinds)
    }

    /// Binds a function or method; an empty doc stands for the previous one.
    pub fn add<A: 'static, const N: usize, const X: bool, R: Variant + Clone, const F: bool>(
        &mut self,
        signature: &'static str,
        doc: &str,
        function: impl RhaiNativeFunc<A, N, X, R, F> + Send + Sync + 'static,
    ) {
        let name = self.note(signature, doc);
        FuncRegistration::new(name).register_into_engine(self.engine, function);
    }

    /// Binds a property.
    pub fn getter<A: 'static, const X: bool, R: Variant + Clone, const F: bool>(
        &mut self,
        signature: &'static str,
        doc: &str,
        get: impl RhaiNativeFunc<A, 1, X, R, F> + Send + Sync + 'static,
    ) {
        let name = self.note(signature, doc);
        FuncRegistration::new_getter(name).register_into_engine(self.engine, get);
    }

    /// Binds another name or signature of a function, which the reference does not list.
    pub fn also<A: 'static, const N: usize, const X: bool, R: Variant + Clone, const F: bool>(
        &mut self,
        name: &str,
        function: impl RhaiNativeFunc<A, N, X, R, F> + Send + Sync + 'static,
    ) {
        FuncRegistration::new(name).register_into_engine(self.engine, function);
    }

    /// Lists a function that was bound by other means; returns its name.
    pub fn note(&mut self, signature: &'static str, doc: &str) -> String {
        let mut function = Function::parse(signature, doc);
        if function.doc.is_empty()
            && let Some(last) = self.functions.last()
        {
            function.doc = last.doc.clone();
        }
        let name = function.name.clone();
        self.functions.push(function);
        name
    }
}

/// The reference's name of a rhai type.
pub fn plain(rhai_type: &str) -> &str {
    match rhai_type.trim() {
        "i64" | "INT" => "a whole number",
        "f64" | "FLOAT" => "a number",
        "bool" => "true or false",
        "char" | "string" | "String" | "&str | ImmutableString | String" | "ImmutableString" => "a text",
        "array" | "Array" => "a list",
        "map" | "Map" => "a map",
        "()" => "nothing",
        "Fn" | "FnPtr" => "a function",
        "blob" | "Blob" => "bytes",
        "timestamp" => "a moment",
        "range" | "Range<i64>" | "core::ops::Range<i64>" | "ops::Range<i64>" => "a range",
        "range=" | "RangeInclusive<i64>" | "ops::RangeInclusive<i64>" => "a range",
        "net" => "a net",
        "subject" => "a subject",
        "tensor" => "a tensor",
        "image" => "an image",
        "data set" => "a data set",
        "table" => "a table",
        "artifact" => "an artifact",
        "probe" => "a probe",
        "slider" => "a slider",
        "random" => "a random stream",
        "error" => "an error",
        other => other.rsplit("::").next().unwrap_or(other),
    }
}

/// The kind of a value in words.
pub fn kind_of(value: &Dynamic, engine: &Engine) -> String {
    plain(engine.map_type_name(value.type_name())).to_string()
}
