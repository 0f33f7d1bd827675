//! A session: one rhai engine with the variables and functions of a script, a REPL or a notebook.
//!
//! Code runs on a thread of its own with a large stack, so that deep nesting is an error with a place and not a crash. A
//! panic in native code ends the cell and not the process.

mod outcome;
mod stack;

pub use outcome::CellResult;
use outcome::{defect, ends_quietly, failed, stopped};

use crate::bounds::{free, limits};
use crate::context::{Context, Place};
use crate::depth::Sounding;
use crate::diag::{Diagnostic, Known, Origin, Origins};
use crate::library::{Function, Kind, Library};
use crate::memory::Watch;
use crate::output::{Output, Shown};
use convscope_engine::Job;
use rhai::{AST, Dynamic, Engine, EvalAltResult, Scope};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};

/// One rhai engine with its variables and functions.
pub struct Session {
    pub(crate) engine: Engine,
    pub(crate) scope: Scope<'static>,
    pub(crate) functions: Vec<Function>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) foreign: BTreeSet<String>,
    context: Context,
    defined: AST,
    origins: Origins,
    watch: Arc<Mutex<Watch>>,
    sounding: Arc<Mutex<Sounding>>,
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
        limits(&mut engine, context.job.memory);
        let printer = context.output.clone();
        engine.on_print(move |text| printer.print(text));
        let printer = context.output.clone();
        engine.on_debug(move |text, _, _| printer.debug(text));
        let signal = context.job.signal.clone();
        let watch = Arc::new(Mutex::new(Watch::new()));
        let watched = watch.clone();
        let sounding = Arc::new(Mutex::new(Sounding::new()));
        let (steps, sounded) = (Arc::new(AtomicU64::new(0)), sounding.clone());
        let counted = steps.clone();
        #[allow(deprecated)] // rhai calls it volatile; nothing else shows a running script's variables
        engine.on_var(move |_, _, context| {
            let step = steps.load(Ordering::Relaxed);
            sounded.lock().unwrap_or_else(PoisonError::into_inner).look(step, context.scope())?;
            Ok(None)
        });
        engine.on_progress(move |step| {
            counted.store(step, Ordering::Relaxed);
            if signal.is_set() {
                return Some(Dynamic::UNIT);
            }
            let full = watched.lock().unwrap_or_else(PoisonError::into_inner).is_full(step);
            full.then(|| crate::memory::FULL.into())
        });
        engine.set_module_resolver(crate::modules::Modules::new(&context));
        engine.disable_symbol("eval");
        let mut library = Library::new(&mut engine);
        crate::fault::bind(&mut library);
        crate::functions::bind(&mut library, &context);
        crate::values::bind(&mut library, &context);
        crate::widgets::bind(&mut library, &context);
        crate::bind::bind(&mut library, &context);
        let (functions, kinds) = library.finish();
        let (scope, defined, origins) = (Scope::new(), AST::empty(), Origins::default());
        let foreign = BTreeSet::new();
        Session { engine, scope, functions, kinds, foreign, context, defined, origins, watch, sounding }
    }

    /// The state that the session's functions share: the job, the folders, what was read and written.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Sets where files lie.
    pub fn set_place(&self, place: Place) {
        self.context.set_place(place);
    }

    /// Sets the values that `param(name, ..)` returns.
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
        CellResult { value: None, ..self.run(file, &crate::notebook::runnable(source)) }
    }

    /// Runs a script that has cells one by one; `show` receives the value of each. Messages name the lines of the whole script.
    /// All cells are parsed before the first one runs, and functions are available in all of them.
    pub fn run_cells(&mut self, file: &str, source: &str, show: &dyn Fn(&Shown)) -> CellResult {
        let mut line = 0;
        let mut parts = Vec::new();
        for cell in crate::notebook::cells(source) {
            let text = format!("{}{}", cell.marker, cell.body);
            let lines = text.matches('\n').count();
            if cell.kind == crate::notebook::Kind::Code {
                parts.push(format!("{}{text}", "\n".repeat(line)));
            }
            line += lines;
        }
        for part in &parts {
            if let Err(diagnostic) = self.compile(file, &crate::source::without_shebang(part)) {
                return failed(*diagnostic);
            }
        }
        if let Ok(whole) = self.compile(file, &crate::notebook::runnable(source)) {
            let origin = Origin::new(file, source);
            self.origins.extend(whole.iter_functions().map(|f| (f.name.to_string(), origin.clone())));
            self.defined = whole.clone_functions_only();
        }
        for part in parts {
            let result = self.run(file, &part);
            if let Some(value) = &result.value {
                show(value);
            }
            if result.error.is_some() || result.interrupted {
                return CellResult { value: None, ..result };
            }
        }
        CellResult::default()
    }

    /// Runs a cell or a line; variables and functions of earlier ones are available.
    pub fn run_cell(&mut self, source: &str) -> CellResult {
        self.run("cell", source)
    }

    /// As [`Session::run_cell`], under a name of its own in messages.
    pub fn run(&mut self, file: &str, source: &str) -> CellResult {
        let source = &crate::source::without_shebang(source);
        self.on_a_stack(|session| session.run_here(file, source)).unwrap_or_else(|diagnostic| failed(*diagnostic))
    }

    /// Resets the limits on memory and depth at the start of a cell or a call.
    fn begin(&self) {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).begin();
        *self.sounding.lock().unwrap_or_else(PoisonError::into_inner) = Sounding::new();
    }

    fn run_here(&mut self, file: &str, source: &str) -> CellResult {
        let mut ast = match self.compile(file, source) {
            Ok(ast) => ast,
            Err(diagnostic) => return failed(*diagnostic),
        };
        ast.set_source(file);
        let origin = Origin::new(file, source);
        self.origins.extend(ast.iter_functions().map(|f| (f.name.to_string(), origin.clone())));
        let whole = self.defined.merge(&ast);
        let before = self.scope.len();
        let parameters = |f: rhai::ScriptFnMetadata<'_>| {
            (f.name.to_string(), f.params.iter().map(|name| name.to_string()).collect::<Vec<_>>())
        };
        self.context.widgets(|widgets| widgets.define(ast.iter_functions().map(parameters)));
        self.begin();
        let signal = self.context.job.signal.clone();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            signal.during(|| self.engine.eval_ast_with_scope::<Dynamic>(&mut self.scope, &whole))
        }));
        self.defined = whole.clone_functions_only();
        let result = match outcome {
            Ok(Ok(_)) if ends_quietly(source) => CellResult::default(),
            Ok(Ok(value)) => self.worth(&value),
            Ok(Err(error)) => {
                if crate::memory::filled(&error) || crate::depth::is_too_deep(&error) {
                    // What the cell made is what was too much; without this the next cell would end the same way.
                    self.scope.rewind(before);
                }
                self.ended(&origin, &error)
            }
            Err(panic) => failed(Diagnostic::of(defect(panic.as_ref()))),
        };
        self.compact();
        let interrupted = self.context.job.stopped();
        // A call that ended early gave what it had; the cell is not done all the same.
        let error = result.error.or_else(|| interrupted.then(stopped));
        CellResult { error, interrupted, ..result }
    }

    pub(crate) fn compile(&self, file: &str, source: &str) -> Result<AST, Box<Diagnostic>> {
        let unclosed = crate::source::tokens(source)
            .into_iter()
            .any(|t| t.class == crate::source::Class::Comment { closed: false });
        if unclosed {
            let error = rhai::ParseError(Box::new(rhai::ParseErrorType::UnexpectedEOF), rhai::Position::NONE);
            return Err(Box::new(Diagnostic::parse(file, source, &error, &self.known())));
        }
        self.engine.compile(source).map_err(|e| Box::new(Diagnostic::parse(file, source, &e, &self.known())))
    }

    /// Forgets the variables, constants, functions and imports of earlier cells, and with them the nets they held.
    pub fn reset(&mut self) {
        free(std::mem::take(&mut self.scope), std::mem::replace(&mut self.defined, AST::empty()));
        self.origins = Origins::default();
        self.context.widgets(crate::widgets::Widgets::reset);
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
        match crate::functions::shown(value) {
            Ok(shown) => CellResult { value: Some(shown), ..CellResult::default() },
            Err(e) => failed(Diagnostic::of(e)),
        }
    }

    fn ended(&self, origin: &Origin, error: &EvalAltResult) -> CellResult {
        match error {
            EvalAltResult::Exit(value, _) | EvalAltResult::Return(value, _) => self.worth(value),
            _ => failed(Diagnostic::at(origin, &self.origins, error, &self.known())),
        }
    }

    /// Forgets the shadowed values of variables that were declared again, which would keep nets in memory.
    fn compact(&mut self) {
        // From the last declared to the first.
        let mut seen = BTreeSet::new();
        let latest: Vec<bool> = self.scope.iter_raw().map(|(name, _, _)| seen.insert(name.to_string())).collect();
        if latest.iter().all(|is| *is) {
            return;
        }
        // Values are moved: a copy of a large list would take long.
        for ((name, value, _), is_latest) in std::mem::take(&mut self.scope).into_iter().zip(latest.iter().rev()) {
            match (is_latest, value.is_read_only()) {
                (false, _) => {}
                (true, true) => drop(self.scope.push_constant_dynamic(name, value)),
                (true, false) => drop(self.scope.push_dynamic(name, value)),
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        free(std::mem::take(&mut self.scope), std::mem::replace(&mut self.defined, AST::empty()));
    }
}

#[cfg(test)]
mod tests;
