use std::str::FromStr;

use clap::ValueEnum;

use crate::ConfigError;

/// The environment. An empty variable is one that is not set.
pub(crate) struct Env<F> {
    variable: F,
}

impl<F: Fn(&str) -> Option<String>> Env<F> {
    pub(crate) fn new(variable: F) -> Self {
        Self { variable }
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|text| !text.is_empty())
    }

    pub(crate) fn parsed<T: FromStr>(
        &self,
        name: &'static str,
        wanted: &str,
    ) -> Result<Option<T>, ConfigError> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let parsed = text.parse().map(Some);
        parsed.map_err(|_malformed| bad(name, &text, format!("must be {wanted}")))
    }

    pub(crate) fn flag(&self, name: &'static str) -> Result<Option<bool>, ConfigError> {
        match self.text(name).as_deref() {
            None => Ok(None),
            Some("1") => Ok(Some(true)),
            Some("0") => Ok(Some(false)),
            Some(other) => Err(bad(name, other, "must be 1 (on) or 0 (off)")),
        }
    }

    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_default();
        text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
    }

    pub(crate) fn word<T: ValueEnum + Default>(
        &self,
        name: &'static str,
        option: Option<T>,
    ) -> Result<T, ConfigError> {
        if let Some(word) = option {
            return Ok(word);
        }
        let Some(text) = self.text(name) else { return Ok(T::default()) };
        T::from_str(&text, true).map_err(|_unknown| {
            let words: Vec<String> = T::value_variants()
                .iter()
                .filter_map(|word| Some(word.to_possible_value()?.get_name().to_owned()))
                .collect();
            bad(name, &text, format!("must be one of {}", words.join(", ")))
        })
    }
}

/// A value that a setting does not take.
pub(crate) fn bad(name: impl Into<String>, value: &str, reason: impl Into<String>) -> ConfigError {
    ConfigError::Value { name: name.into(), value: value.to_owned(), reason: reason.into() }
}
