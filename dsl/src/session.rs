//! A session: one rhai engine with the variables and functions of a script, a REPL or a notebook.
//!
//! Code runs on a thread of its own with a large stack, so that deep nesting is an error with a place and not a crash;
//! a defect in native code ends the cell and not the process.

use crate::context::{Context, Place};
use crate::diag::{Diagnostic, Known};
use crate::library::{Function, Kind, Library};
use crate::output::{Output, Shown};
use convscope_engine::{Error, Job};
use rhai::{AST, Dynamic, Engine, EvalAltResult, Scope};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Once};

const STACK: usize = 256 << 20;

/// How a cell or a script ended.
#[derive(Clone, Debug, Default)]
pub struct CellResult {
    /// What the last expression was worth, where it is worth showing.
    pub value: Option<Shown>,
    /// What went wrong.
    pub error: Option<Diagnostic>,
    /// Whether it was stopped by the user.
    pub interrupted: bool,
}

/// One rhai engine with its variables and functions.
pub struct Session {
    pub(crate) engine: Engine,
    pub(crate) scope: Scope<'static>,
    pub(crate) functions: Vec<Function>,
    pub(crate) kinds: Vec<Kind>,
    context: Context,
    defined: AST,
}

impl Session {
    /// A session that runs work as `job` says and reports to `output`.
    pub fn new(job: Job, output: Arc<dyn Output>) -> Self {
        static SEED: Once = Once::new();
        SEED.call_once(|| {
            // Names of closures come from hashes; a fixed seed gives every process the same ones. An error means that
            // another engine was made before, whose seed then holds.
            let _ = rhai::config::hashing::set_hashing_seed(Some([3, 141, 592, 653]));
        });
        let context = Context::new(job, output);
        let mut engine = Engine::new();
        limits(&mut engine);
        let printer = context.output.clone();
        engine.on_print(move |text| printer.print(text));
        let printer = context.output.clone();
        engine.on_debug(move |text, _, _| printer.print(text));
        let signal = context.job.signal.clone();
        engine.on_progress(move |_| signal.is_set().then_some(Dynamic::UNIT));
        engine.set_module_resolver(rhai::module_resolvers::DummyModuleResolver::new());
        engine.disable_symbol("eval");
        let mut library = Library::new(&mut engine);
        crate::fault::bind(&mut library);
        crate::script::bind(&mut library, &context);
        crate::values::bind(&mut library, &context);
        crate::bind::bind(&mut library, &context);
        let (functions, kinds) = library.finish();
        Session { engine, scope: Scope::new(), functions, kinds, context, defined: AST::empty() }
    }

    /// What the session's functions share: the job, where files lie, what was read and written.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Sets where files lie.
    pub fn set_place(&self, place: Place) {
        self.context.set_place(place);
    }

    /// Sets what `param(name, ..)` gives.
    pub fn set_params(&self, params: BTreeMap<String, String>) {
        self.context.set_params(params);
    }

    /// The functions that scripts see, in order.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// The reference of everything that scripts see.
    pub fn reference(&self) -> crate::reference::Reference {
        crate::reference::Reference::new(&self.functions, &self.kinds)
    }

    /// A variable's value, where it is of this type.
    pub fn value<T: rhai::Variant + Clone>(&self, name: &str) -> Option<T> {
        crate::convert::cast(self.scope.get(name)?)
    }

    /// The name of the kind of a variable's value.
    pub fn value_kind(&self, name: &str) -> Option<String> {
        Some(self.engine.map_type_name(self.scope.get(name)?.type_name()).to_string())
    }

    /// The names of the variables, sorted.
    pub fn variables(&self) -> Vec<String> {
        let names: BTreeSet<String> = self.scope.iter_raw().map(|(n, _, _)| n.to_string()).collect();
        names.into_iter().collect()
    }

    /// Runs a script's `source`, called `file` in messages. Its last expression is not shown.
    pub fn run_script(&mut self, file: &str, source: &str) -> CellResult {
        CellResult { value: None, ..self.run(file, source) }
    }

    /// Runs a cell or a line; variables and functions of earlier ones are at hand.
    pub fn run_cell(&mut self, source: &str) -> CellResult {
        self.run("cell", source)
    }

    /// As [`Session::run_cell`], under a name of its own in messages.
    pub fn run(&mut self, file: &str, source: &str) -> CellResult {
        let spawned = std::thread::scope(|threads| {
            let work = std::thread::Builder::new()
                .name("script".into())
                .stack_size(STACK)
                .spawn_scoped(threads, || self.run_here(file, source));
            work.map(|handle| handle.join())
        });
        match spawned {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => failed(Diagnostic::of(defect(panic.as_ref()))),
            Err(e) => failed(Diagnostic::of(Error::internal(format!("no thread for the script: {e}")))),
        }
    }

    fn run_here(&mut self, file: &str, source: &str) -> CellResult {
        let mut ast = match self.compile(file, source) {
            Ok(ast) => ast,
            Err(diagnostic) => return failed(*diagnostic),
        };
        ast.set_source(file);
        let whole = self.defined.merge(&ast);
        let outcome =
            catch_unwind(AssertUnwindSafe(|| self.engine.eval_ast_with_scope::<Dynamic>(&mut self.scope, &whole)));
        self.defined = whole.clone_functions_only();
        let result = match outcome {
            Ok(Ok(value)) => self.worth(&value),
            Ok(Err(error)) => self.ended(file, source, &error),
            Err(panic) => failed(Diagnostic::of(defect(panic.as_ref()))),
        };
        self.compact();
        CellResult { interrupted: self.context.job.stopped(), ..result }
    }

    fn compile(&self, file: &str, source: &str) -> Result<AST, Box<Diagnostic>> {
        let unclosed = crate::source::tokens(source)
            .into_iter()
            .any(|t| t.class == crate::source::Class::Comment { closed: false });
        if unclosed {
            let error = rhai::ParseError(Box::new(rhai::ParseErrorType::UnexpectedEOF), rhai::Position::NONE);
            return Err(Box::new(Diagnostic::parse(file, source, &error, &self.known())));
        }
        self.engine.compile(source).map_err(|e| Box::new(Diagnostic::parse(file, source, &e, &self.known())))
    }

    /// What names an error could have meant.
    pub fn known(&self) -> Known<'_> {
        let defined = self.defined.iter_functions().map(|f| (f.name.to_string(), f.params.len()));
        Known {
            engine: &self.engine,
            functions: &self.functions,
            variables: self.variables(),
            defined: defined.filter(|(n, _)| !n.starts_with("anon$")).collect(),
        }
    }

    fn worth(&self, value: &Dynamic) -> CellResult {
        if value.is_unit() {
            return CellResult::default();
        }
        match crate::script::shown(value) {
            Ok(shown) => CellResult { value: Some(shown), ..CellResult::default() },
            Err(e) => failed(Diagnostic::of(e)),
        }
    }

    fn ended(&self, file: &str, source: &str, error: &EvalAltResult) -> CellResult {
        match error {
            EvalAltResult::Exit(value, _) | EvalAltResult::Return(value, _) => self.worth(value),
            _ => failed(Diagnostic::at(file, source, error, &self.known())),
        }
    }

    /// Forgets the shadowed values of variables that were declared again, which would keep nets in memory.
    fn compact(&mut self) {
        let mut kept: Vec<(String, bool, Dynamic)> = Vec::new();
        // From the last declared to the first.
        for (name, constant, value) in self.scope.iter_raw() {
            if !kept.iter().any(|(n, _, _)| n == name) {
                kept.push((name.to_string(), constant, value.clone()));
            }
        }
        if kept.len() == self.scope.len() {
            return;
        }
        self.scope.clear();
        for (name, constant, value) in kept.into_iter().rev() {
            match constant {
                true => self.scope.push_constant_dynamic(name, value),
                false => self.scope.push_dynamic(name, value),
            };
        }
    }
}

fn failed(error: Diagnostic) -> CellResult {
    CellResult { error: Some(error), ..CellResult::default() }
}

/// The same bounds in debug and release builds: deep enough for people, and not for a runaway script.
fn limits(engine: &mut Engine) {
    engine.set_max_expr_depths(256, 256);
    engine.set_max_call_levels(256);
    engine.set_max_operations(0);
    engine.set_max_string_size(64 << 20);
    engine.set_max_array_size(16 << 20);
    engine.set_max_map_size(1 << 20);
}

/// The error for a panic: a defect of convscope.
fn defect(panic: &(dyn std::any::Any + Send)) -> Error {
    let text = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|s| s.to_string()))
        .unwrap_or_else(|| "a defect without a message".into());
    Error::internal(format!("a defect of convscope: {text}")).hint("please report it with the script that shows it")
}
