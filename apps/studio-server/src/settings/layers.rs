use std::{collections::BTreeMap, path::PathBuf};

use super::{FILE, Kind, SETTINGS, ServeArgs, Setting, file};
use crate::ConfigError;

/// Where a value comes from. An earlier one wins over a later one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The command line.
    Option,
    /// A variable.
    Environment,
    /// The configuration file.
    File(PathBuf),
}

/// What is set: for each setting the value that wins, checked.
#[derive(Debug)]
pub(crate) struct Layers {
    values: BTreeMap<&'static str, (String, Origin)>,
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
}

impl Layers {
    /// Reads every source and checks every value, also those that do not win.
    pub(crate) fn read(
        args: &ServeArgs,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut layers = Self { values: BTreeMap::new(), file: None };
        for setting in SETTINGS {
            if let Some(text) = args.get(setting) {
                layers.set(setting, text.to_owned(), Origin::Option)?;
            }
            // An empty variable is one that is not set.
            if let Some(text) = variable(setting.variable).filter(|text| !text.is_empty()) {
                layers.set(setting, text, Origin::Environment)?;
            }
        }
        let named = args.config();
        let place = match named {
            Some(path) => path.to_owned(),
            None => PathBuf::from(layers.get("DATA_DIR").unwrap_or(".agent-studio")).join(FILE),
        };
        let Some(values) = file::read(&place, named.is_some())? else { return Ok(layers) };
        for (setting, text) in values {
            if setting.variable == "DATA_DIR" && named.is_none() {
                let reason =
                    format!("{} is in the data directory: name it elsewhere", place.display());
                return Err(refused(setting, &text, &Origin::File(place), reason));
            }
            layers.set(setting, text, Origin::File(place.clone()))?;
        }
        layers.file = Some(place);
        Ok(layers)
    }

    /// Keeps a checked value, unless one that wins is there.
    fn set(
        &mut self,
        setting: &'static Setting,
        text: String,
        origin: Origin,
    ) -> Result<(), ConfigError> {
        if !setting.kind.takes(&text) {
            let reason = format!("must be {}", setting.kind.wanted());
            return Err(refused(setting, &text, &origin, reason));
        }
        self.values.entry(setting.variable).or_insert((text, origin));
        Ok(())
    }

    /// What is set for a variable.
    pub(crate) fn get(&self, variable: &str) -> Option<&str> {
        self.values.get(variable).map(|(text, _)| text.as_str())
    }

    /// The same, and where it comes from.
    pub(crate) fn origin(&self, variable: &str) -> Option<&Origin> {
        self.values.get(variable).map(|(_, origin)| origin)
    }
}

impl Layers {
    /// A value that its setting does not take.
    pub(crate) fn refused(&self, variable: &str, text: &str, reason: String) -> ConfigError {
        match (Setting::of_variable(variable), self.origin(variable)) {
            (Some(setting), Some(origin)) => refused(setting, text, origin, reason),
            _ => crate::env::bad(variable, text, reason),
        }
    }
}

/// A value that is not taken: which, of what, from where, and why not.
pub(crate) fn refused(
    setting: &Setting,
    text: &str,
    origin: &Origin,
    reason: String,
) -> ConfigError {
    let (name, from) = match origin {
        Origin::Option => {
            (format!("--{}", setting.option.unwrap_or(setting.key)), "command line".to_owned())
        }
        Origin::Environment => (setting.variable.to_owned(), "environment".to_owned()),
        Origin::File(path) => (setting.key.to_owned(), path.display().to_string()),
    };
    let value = if setting.kind == Kind::Secret { "…" } else { text };
    ConfigError::Value { name, value: value.to_owned(), origin: from, reason }
}
