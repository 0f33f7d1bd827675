//! `import "name" as alias;`: modules are .rhai files beside the file that imports them. Each is recorded, so that a lock has
//! its digest.

use crate::context::Context;
use crate::fault::Raise;
use convscope_engine::limits::TEXT;
use convscope_engine::{regular, seal};
use rhai::{AST, Engine, EvalAltResult, Module, ModuleResolver, Position, Scope, Shared};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// The module resolver of a session.
pub struct Modules {
    context: Context,
    /// The modules being read, so that circular imports are an error and no endless loop.
    open: Arc<Mutex<Vec<String>>>,
}

impl Modules {
    /// A resolver for modules beside the script of a session.
    pub fn new(context: &Context) -> Self {
        Modules { context: context.clone(), open: Arc::default() }
    }

    fn compiled(&self, engine: &Engine, name: &str, at: Position) -> Result<AST, Box<EvalAltResult>> {
        let full = self.context.place().inputs.join(name);
        seal::may_read_as(&full, Path::new(name)).raise()?;
        let missing = || Box::new(EvalAltResult::ErrorModuleNotFound(name.to_string(), at));
        let bytes = regular::read(&full, |bytes| TEXT.check(bytes)).map_err(|_| missing())?;
        let source = String::from_utf8(bytes).map_err(|_| missing())?;
        self.context.module(name, &source);
        let mut ast = crate::compiled::compiled(engine, &crate::source::without_shebang(&source)).map_err(|e| {
            Box::new(EvalAltResult::ErrorInModule(name.to_string(), Box::new(EvalAltResult::from(e)), at))
        })?;
        ast.set_source(name);
        Ok(ast)
    }
}

impl ModuleResolver for Modules {
    fn resolve(
        &self,
        engine: &Engine,
        source: Option<&str>,
        path: &str,
        at: Position,
    ) -> Result<Shared<Module>, Box<EvalAltResult>> {
        let beside = source.filter(|s| self.context.modules().contains_key(*s)).and_then(|s| Path::new(s).parent());
        let name = normal(&beside.unwrap_or(Path::new("")).join(path).with_extension("rhai"));
        let failed = |e: Box<EvalAltResult>| Box::new(EvalAltResult::ErrorInModule(name.clone(), e, at));
        if self.open().contains(&name) {
            let circle = format!("modules import each other: {} -> {name}", self.open().join(" -> "));
            return Err(failed(crate::fault::raise(convscope_engine::Error::value(circle))));
        }
        let ast = self.compiled(engine, &name, at)?;
        self.open().push(name.clone());
        let module = Module::eval_ast_as_new(Scope::new(), &ast, engine).map_err(failed);
        self.open().pop();
        Ok(Shared::new(module?))
    }
}

impl Modules {
    fn open(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A path without `.`, and with `..` resolved where a folder precedes it.
fn normal(path: &Path) -> String {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if out.file_name().is_some() => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out.to_string_lossy().replace('\\', "/")
}
