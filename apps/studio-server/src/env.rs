use std::str::FromStr;

use clap::ValueEnum;

use crate::{
    ConfigError,
    settings::{Layers, Setting},
};

/// Looks a variable up.
type Find<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// What is set, by the names of variables. An empty variable is one that is not set.
pub(crate) struct Env<'a> {
    find: Box<Find<'a>>,
    layers: Option<&'a Layers>,
}

impl<'a> Env<'a> {
    /// Variables alone, for work without a server.
    pub(crate) fn new(variable: impl Fn(&str) -> Option<String> + 'a) -> Self {
        Self { find: Box::new(variable), layers: None }
    }

    /// What options, variables and the file set together.
    pub(crate) fn of(layers: &'a Layers) -> Self {
        let find = |name: &str| {
            // What is read has to be in the table, or nobody learns of it.
            debug_assert!(Setting::of_variable(name).is_some(), "{name} is in no line of SETTINGS");
            layers.get(name).map(str::to_owned)
        };
        Self { find: Box::new(find), layers: Some(layers) }
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        (self.find)(name).filter(|text| !text.is_empty())
    }

    pub(crate) fn parsed<T: FromStr>(
        &self,
        name: &'static str,
        wanted: &str,
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let parsed = text.parse().map(Some);
        parsed.map_err(|_malformed| self.bad(name, &text, format!("must be {wanted}")))
    }

    pub(crate) fn flag(&self, name: &'static str) -> Result<Option<bool>, ConfigError> {
        match self.text(name).as_deref() {
            None => Ok(None),
            Some("1") => Ok(Some(true)),
            Some("0") => Ok(Some(false)),
            Some(other) => Err(self.bad(name, other, "must be 1 (on) or 0 (off)")),
        }
    }

    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    pub(crate) fn word<T: ValueEnum + Default>(
        &self,
        name: &'static str,
    ) -> Result<T, ConfigError> {
        let Some(text) = self.text(name) else { return Ok(T::default()) };
        T::from_str(&text, true).map_err(|_unknown| {
            let words: Vec<String> = T::value_variants()
                .iter()
                .filter_map(|word| Some(word.to_possible_value()?.get_name().to_owned()))
                .collect();
            self.bad(name, &text, format!("must be one of {}", words.join(", ")))
        })
    }

    /// A value that a setting does not take, named as it was set.
    pub(crate) fn bad(&self, name: &str, value: &str, reason: impl Into<String>) -> ConfigError {
        match self.layers {
            Some(layers) => layers.refused(name, value, reason.into()),
            None => bad(name, value, reason),
        }
    }
}

/// A value that a variable does not take.
pub(crate) fn bad(name: impl Into<String>, value: &str, reason: impl Into<String>) -> ConfigError {
    let origin = "environment".to_owned();
    ConfigError::Value { name: name.into(), value: value.to_owned(), origin, reason: reason.into() }
}
