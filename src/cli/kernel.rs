//! `convscope kernel`: installs, runs and uninstalls the Jupyter kernel.

use super::RunArgs;
use super::terminal::{print_err, print_out};
use clap::{Args, Subcommand};
use convscope_dsl::Session;
use convscope_engine::{Error, Result};
use convscope_kernel::spec::{self, Scope};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The prefix of environment variables that set parameters: `CONVSCOPE_PARAM_patch=16`.
const PARAMETER_PREFIX: &str = "CONVSCOPE_PARAM_";

/// Install, run or uninstall the Jupyter kernel.
#[derive(Args)]
pub struct Kernel {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Register the kernel with Jupyter, so that notebooks can choose it.
    Install(Install),
    /// Run the kernel; Jupyter calls this.
    Start(Start),
    /// Remove the kernel from Jupyter.
    Uninstall(Uninstall),
}

#[derive(Args)]
struct Place {
    /// For this user [default].
    #[arg(long, group = "place")]
    user: bool,
    /// For the Python environment that is active.
    #[arg(long, group = "place")]
    sys_prefix: bool,
    /// For the environment in this folder: below PREFIX/share/jupyter.
    #[arg(long, group = "place", value_name = "PREFIX")]
    prefix: Option<PathBuf>,
}

impl Place {
    fn scope(&self) -> Option<Scope> {
        match &self.prefix {
            Some(prefix) => Some(Scope::Prefix(prefix.clone())),
            None if self.sys_prefix => Some(Scope::Environment),
            None => self.user.then_some(Scope::User),
        }
    }
}

#[derive(Args)]
struct Install {
    #[command(flatten)]
    place: Place,
    /// The name that `--kernel` options and notebooks use.
    #[arg(long, default_value = "convscope")]
    name: String,
}

#[derive(Args)]
struct Uninstall {
    #[command(flatten)]
    place: Place,
    /// The name it was installed under.
    #[arg(long, default_value = "convscope")]
    name: String,
}

#[derive(Args)]
struct Start {
    /// Jupyter's connection file, with the ports to listen on.
    #[arg(long, short = 'f')]
    connection_file: PathBuf,
    #[command(flatten)]
    work: RunArgs,
}

impl Kernel {
    /// Runs the sub-command.
    pub fn main(self) -> Result<()> {
        match self.action {
            Action::Install(install) => install.main(),
            Action::Start(start) => start.main(),
            Action::Uninstall(uninstall) => uninstall.main(),
        }
    }
}

impl Install {
    fn main(self) -> Result<()> {
        let name = spec::name(&self.name)?;
        let data = self.place.scope().unwrap_or(Scope::User).folder()?;
        let program = std::env::current_exe().map_err(|e| Error::internal(format!("where this program is: {e}")))?;
        let folder = spec::install(&data, &name, &program)?;
        print_out(&format!("{}\n", folder.display()));
        if !spec::search_path().contains(&data) {
            let folder = data.display();
            print_err(&format!(
                "note: Jupyter looks there only if JUPYTER_PATH lists {folder}, or from that environment"
            ));
        }
        Ok(())
    }
}

impl Uninstall {
    fn main(self) -> Result<()> {
        let name = spec::name(&self.name)?;
        let folders = match self.place.scope() {
            Some(scope) => vec![scope.folder()?],
            None => spec::search_path(),
        };
        let found = spec::installed(&folders, &name);
        let Some(first) = found.first() else {
            let list: Vec<String> = folders.iter().map(|f| format!("`{}`", f.display())).collect();
            return Err(Error::not_found(format!("no kernel `{name}` of convscope in {}", list.join(", ")))
                .hint("`jupyter kernelspec list` shows where kernels are; name its place with --prefix"));
        };
        spec::remove(first)?;
        print_out(&format!("{}\n", first.display()));
        Ok(())
    }
}

impl Start {
    fn main(self) -> Result<()> {
        let job = self.work.bare_job()?;
        let params: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| {
                Some((name.to_str()?.strip_prefix(PARAMETER_PREFIX)?.to_string(), value.into_string().ok()?))
            })
            .collect();
        convscope_kernel::serve(&self.connection_file, job.signal.clone(), move |output| {
            let session = Session::new(job, output);
            session.set_params(params);
            #[cfg(unix)]
            let session = convscope_kernel::PolyglotSession::new(session);
            Box::new(session)
        })
    }
}
