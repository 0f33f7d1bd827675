//! The options of `load_model` as flags, for the commands that take a net: one flag an option, from the engine's list.

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use convscope_engine::Result;
use convscope_engine::load::{LoadOptions, OPTIONS};
use serde_json::{Map, Value};

/// The options of `load_model` that were given as flags.
#[derive(Clone, Debug, Default)]
pub struct NetFlags {
    given: Map<String, Value>,
}

impl NetFlags {
    /// The options.
    ///
    /// # Errors
    /// Where a value is invalid.
    pub fn options(&self) -> Result<LoadOptions> {
        LoadOptions::from_json(&self.given)
    }

    /// The given options, named as in `load_model`'s option map.
    pub fn given(&self) -> &Map<String, Value> {
        &self.given
    }
}

/// The value of a flag's text: JSON where it parses, a list where numbers stand between commas or `x`, else a text.
fn value(text: &str) -> Value {
    if let Ok(value) = serde_json::from_str::<Value>(text)
        && !value.is_string()
    {
        return value;
    }
    let numbers: Option<Vec<Value>> = text.split([',', 'x']).map(|n| serde_json::from_str(n.trim()).ok()).collect();
    numbers.filter(|n| n.len() > 1).map_or_else(|| Value::String(text.to_string()), Value::Array)
}

impl FromArgMatches for NetFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = NetFlags::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for option in OPTIONS {
            if let Some(text) = matches.get_one::<String>(option.name) {
                self.given.insert(option.name.to_string(), value(text));
            }
        }
        Ok(())
    }
}

impl Args for NetFlags {
    fn augment_args(command: Command) -> Command {
        OPTIONS.iter().fold(command, |command, option| {
            let arg = Arg::new(option.name)
                .long(option.name)
                .value_name("VALUE")
                .allow_hyphen_values(true)
                .help(format!("{}: {}", option.takes, option.doc))
                .help_heading("The net and its photos");
            command.arg(arg)
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn texts_become_the_values_that_options_take() {
        assert_eq!(value("224"), json!(224));
        assert_eq!(value("224x160"), json!([224, 160]));
        assert_eq!(value("0.485, 0.456,0.406"), json!([0.485, 0.456, 0.406]));
        assert_eq!(value("[0.5]"), json!([0.5]));
        assert_eq!(value("direct"), json!("direct"));
        assert_eq!(value("true"), json!(true));
        assert_eq!(value("lex.txt"), json!("lex.txt"));
    }
}
