//! A session: one rhai engine with the variables and functions of a script, a REPL or a notebook.
//!
//! Code runs on a thread with a large stack, so that deep nesting is an error with a place and no crash. A panic in native code
//! ends the cell and not the process.

mod outcome;
mod reaction;
mod stack;

pub use outcome::CellResult;
use outcome::{defect, ends_quietly, failed, stopped, text_too_long};

use crate::bounds::{free, limits};
use crate::compiled::compiled_below;
use crate::context::Context;
use crate::depth::DepthCheck;
use crate::diag::{Diagnostic, Known, Origin, Origins};
use crate::fault::CaughtError;
use crate::library::{Function, Kind, Library};
use crate::memory::Watch;
use crate::natives::TooLong;
use crate::output::Output;
use crate::place::Place;
use crate::shown::Shown;
use convscope_engine::error::Kind as ErrorKind;
use convscope_engine::{Error, Job};
use rhai::{AST, Dynamic, Engine, EvalAltResult, Scope};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};

/// The most lines that are parsed as empty lines, over all cells: each cell is parsed with as many empty lines before it as the
/// script has, so that places are those of the script. A million take 20 ms.
const MAX_REPARSED_LINES: u64 = 1 << 26;

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
    /// The variables in the scope at the end of the last cell.
    held: BTreeSet<String>,
    too_long: TooLong,
    watch: Arc<Mutex<Watch>>,
    sounding: Arc<Mutex<DepthCheck>>,
}

impl Session {
    /// A session whose work runs under `job` and reports to `output`.
    pub fn new(job: Job, output: Arc<dyn Output>) -> Self {
        static SEED: Once = Once::new();
        SEED.call_once(|| {
            // Names of closures come from hashes; a fixed seed makes them equal in every process. An error means that an engine was
            // made before, whose seed then holds.
            let _ = rhai::config::hashing::set_hashing_seed(Some([3, 141, 592, 653]));
        });
        let context = Context::new(job, output);
        let mut engine = Engine::new();
        limits(&mut engine, context.job.memory);
        crate::compiled::bind(&mut engine);
        let printer = context.output.clone();
        engine.on_print(move |text| printer.print(text));
        let printer = context.output.clone();
        engine.on_debug(move |text, _, _| printer.debug(text));
        let too_long = TooLong::default();
        crate::natives::bind(&mut engine, &too_long);
        let (signal, asked, grew) = (context.job.signal.clone(), context.output.clone(), too_long.clone());
        let watch = Arc::new(Mutex::new(Watch::new()));
        let watched = watch.clone();
        let sounding = Arc::new(Mutex::new(DepthCheck::new()));
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
            let over = grew.load(Ordering::Relaxed).then(text_too_long).or_else(|| asked.too_much());
            if let Some(error) = over {
                return Some(Dynamic::from(CaughtError(error)));
            }
            let full = watched.lock().unwrap_or_else(PoisonError::into_inner).is_full(step);
            full.then(|| crate::memory::MEMORY_FULL.into())
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
        let (foreign, held) = (BTreeSet::new(), BTreeSet::new());
        Session { engine, scope, functions, kinds, foreign, context, defined, origins, held, too_long, watch, sounding }
    }

    /// The state that the session's functions share: the job, the folders, what was read and written.
    pub fn context(&self) -> &Context {
        &self.context
    }

    /// Sets the folders.
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

    /// Runs a script; messages call it `file`. The value of its last expression is not shown.
    pub fn run_script(&mut self, file: &str, source: &str) -> CellResult {
        CellResult { value: None, ..self.run(file, &crate::notebook::runnable(source)) }
    }

    /// Runs a script with cells one by one; `show` receives the value of each. Messages have line numbers of the whole script.
    /// All cells are parsed before the first one runs, and functions are available in all of them.
    pub fn run_cells(&mut self, file: &str, source: &str, show: &dyn Fn(&Shown)) -> CellResult {
        let source = &*crate::source::without_shebang(source);
        let (mut lines, mut read_again) = (0, 0u64);
        let mut parts = Vec::new();
        for cell in crate::notebook::cells(source) {
            let text = format!("{}{}", cell.marker, cell.body);
            let own = text.matches('\n').count();
            if cell.kind == crate::notebook::CellKind::Code {
                parts.push((lines, text));
                read_again += lines as u64;
            }
            lines += own;
        }
        if read_again > MAX_REPARSED_LINES {
            let error =
                Error::value(format!("a script of {} cells in {lines} lines is too long for cells", parts.len()));
            return failed(Diagnostic::of(
                error.hint("take out the markers `// %%`, or split the script into several"),
            ));
        }
        let mut trees = Vec::with_capacity(parts.len());
        for (lines, text) in parts {
            match self.compile_below(file, &text, lines) {
                Ok(tree) => trees.push((tree, ends_quietly(&text))),
                Err(diagnostic) => return failed(*diagnostic),
            }
        }
        let origin = Origin::new(file, source);
        match self.compile(file, &crate::notebook::runnable(source)) {
            Ok(whole) => {
                self.origins.extend(whole.iter_functions().map(|f| (f.name.to_string(), origin.clone())));
                self.defined = whole.clone_functions_only();
            }
            Err(diagnostic) if diagnostic.kind == ErrorKind::Value => return failed(*diagnostic),
            // Each cell parses; of two declarations of a function, the later one holds from there on.
            Err(_) => {}
        }
        for (tree, quiet) in trees {
            let ran = self.on_a_stack(|session| session.run_tree(file, tree, quiet, &origin));
            let result = ran.unwrap_or_else(|diagnostic| failed(*diagnostic));
            if let Some(value) = &result.value {
                show(value);
            }
            if result.error.is_some() || result.interrupted {
                return CellResult { value: None, ..result };
            }
        }
        CellResult::default()
    }

    /// Runs a cell or a line; variables and functions of earlier ones are visible.
    pub fn run_cell(&mut self, source: &str) -> CellResult {
        self.run("cell", source)
    }

    /// As [`Session::run_cell`], with a name in messages.
    pub fn run(&mut self, file: &str, source: &str) -> CellResult {
        let source = &crate::source::without_shebang(source);
        self.on_a_stack(|session| session.run_here(file, source)).unwrap_or_else(|diagnostic| failed(*diagnostic))
    }

    /// Resets the limits on memory and depth at the start of a cell or a call.
    fn begin(&self) {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner).begin();
        self.too_long.store(false, Ordering::Relaxed);
        *self.sounding.lock().unwrap_or_else(PoisonError::into_inner) = DepthCheck::new();
    }

    fn run_here(&mut self, file: &str, source: &str) -> CellResult {
        match self.compile(file, source) {
            Ok(tree) => self.run_tree(file, tree, ends_quietly(source), &Origin::new(file, source)),
            Err(diagnostic) => failed(*diagnostic),
        }
    }

    /// Runs compiled code; `quiet` says that its value is not shown.
    fn run_tree(&mut self, file: &str, tree: AST, quiet: bool, origin: &Origin) -> CellResult {
        self.origins.extend(tree.iter_functions().map(|f| (f.name.to_string(), origin.clone())));
        let before = self.scope.len();
        let parameters = |f: rhai::ScriptFnMetadata<'_>| {
            (f.name.to_string(), f.params.iter().map(|name| name.to_string()).collect::<Vec<_>>())
        };
        self.context.widgets(|widgets| widgets.define(tree.iter_functions().map(parameters)));
        self.defined.combine(tree);
        self.defined.set_source(file);
        self.begin();
        let signal = self.context.job.signal.clone();
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            signal.during(|| self.engine.eval_ast_with_scope::<Dynamic>(&mut self.scope, &self.defined))
        }));
        self.defined.clear_statements();
        let result = match outcome {
            Ok(Ok(_)) if self.too_long.load(Ordering::Relaxed) => failed(Diagnostic::of(text_too_long())),
            Ok(Ok(_)) if let Some(error) = self.context.output.too_much() => failed(Diagnostic::of(error)),
            Ok(Ok(_)) if quiet => CellResult::default(),
            Ok(Ok(value)) => self.worth(&value),
            Ok(Err(error)) => {
                if crate::memory::ran_out(&error) || crate::depth::is_too_deep(&error) {
                    // The cell's values were too large; they are removed, or the next cell would end in the same way.
                    self.scope.rewind(before);
                }
                self.ended(origin, &error)
            }
            Err(panic) => failed(Diagnostic::of(defect(panic.as_ref()))),
        };
        self.compact(before);
        let interrupted = self.context.job.stopped();
        // A call that stopped early returned its result so far; the cell counts as interrupted nevertheless.
        let error = result.error.or_else(|| interrupted.then(stopped));
        CellResult { error, interrupted, ..result }
    }

    pub(crate) fn compile(&self, file: &str, source: &str) -> Result<AST, Box<Diagnostic>> {
        self.compile_below(file, source, 0)
    }

    /// Compiles a part of a script with `lines` lines before it; places are those within the script.
    fn compile_below(&self, file: &str, source: &str, lines: usize) -> Result<AST, Box<Diagnostic>> {
        let all = crate::source::tokens(source);
        let unclosed = all.iter().any(|t| t.class == crate::source::Class::Comment { closed: false });
        let compiled = match unclosed {
            true => Err(rhai::ParseError(Box::new(rhai::ParseErrorType::UnexpectedEOF), rhai::Position::NONE)),
            false => compiled_below(&self.engine, source, &all, lines),
        };
        compiled.map_err(|e| {
            let source = "\n".repeat(lines) + source;
            Box::new(Diagnostic::parse(file, &source, &e, &self.known()))
        })
    }

    /// Removes the variables, constants, functions and imports of earlier cells, and so frees their nets.
    pub fn reset(&mut self) {
        free(std::mem::take(&mut self.scope), std::mem::replace(&mut self.defined, AST::empty()));
        self.origins = Origins::default();
        self.held = BTreeSet::new();
        self.context.widgets(crate::widgets::Widgets::reset);
    }

    /// The names that an error message can suggest.
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

    /// Removes values of variables that were shadowed by a new declaration, which would keep nets in memory. The scope had `before`
    /// variables when the cell began.
    fn compact(&mut self, before: usize) {
        let added = self.scope.len().saturating_sub(before);
        // Only added variables can shadow others, where nothing else changed the scope since the last cell.
        if self.held.len() == before
            && self.scope.iter_raw().take(added).all(|(name, _, _)| self.held.insert(name.to_string()))
            && self.held.len() == self.scope.len()
        {
            return;
        }
        self.forget_shadowed();
        self.held = self.scope.iter_raw().map(|(name, _, _)| name.to_string()).collect();
    }

    fn forget_shadowed(&mut self) {
        // From the last declaration to the first.
        let mut seen = BTreeSet::new();
        let latest: Vec<bool> = self.scope.iter_raw().map(|(name, _, _)| seen.insert(name.to_string())).collect();
        if latest.iter().all(|is| *is) {
            return;
        }
        // Values are moved, not copied: a large list would take long.
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
