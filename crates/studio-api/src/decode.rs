//! Reads fields out of a JSON value and remembers every failure, in the reference's words.

use serde_json::{Map, Value};

use crate::limits::units;

/// How long a text may be, in UTF-16 units.
#[derive(Clone, Copy)]
pub(crate) struct Units {
    pub(crate) min: usize,
    pub(crate) max: usize,
}

impl Units {
    pub(crate) const fn up_to(max: usize) -> Self {
        Self { min: 0, max }
    }

    pub(crate) const fn some_up_to(max: usize) -> Self {
        Self { min: 1, max }
    }
}

/// The fields of one object, and what was wrong with them so far.
pub(crate) struct Fields<'a> {
    object: Option<&'a Map<String, Value>>,
    failures: Vec<String>,
}

impl<'a> Fields<'a> {
    pub(crate) fn of(value: &'a Value) -> Self {
        let object = value.as_object();
        let failures = match object {
            Some(_) => Vec::new(),
            None => vec![format!(": Expected object, received {}", kind(value))],
        };
        Self { object, failures }
    }

    pub(crate) fn into_failures(self) -> Vec<String> {
        self.failures
    }

    pub(crate) fn fail(&mut self, path: &str, reason: impl AsRef<str>) {
        self.failures.push(format!("{path}: {}", reason.as_ref()));
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.object?.get(name)
    }

    pub(crate) fn all(&self) -> Option<&'a Map<String, Value>> {
        self.object
    }

    /// A text that must be there.
    pub(crate) fn text(&mut self, name: &str, length: Units) -> Option<String> {
        // Nothing can be said of fields when there is no object: that was said once.
        self.object?;
        if self.get(name).is_none() {
            self.fail(name, "Required");
            return None;
        }
        self.text_if_given(name, length)
    }

    /// A text that may be absent; `None` also after a failure.
    pub(crate) fn text_if_given(&mut self, name: &str, length: Units) -> Option<String> {
        let value = self.get(name)?;
        self.checked_text(name, value, length)
    }

    pub(crate) fn checked_text(
        &mut self,
        path: &str,
        value: &Value,
        length: Units,
    ) -> Option<String> {
        let Some(text) = value.as_str() else {
            self.expected(path, "string", value);
            return None;
        };
        let units = units(text);
        if units < length.min {
            self.fail(path, format!("String must contain at least {} character(s)", length.min));
            return None;
        }
        if length.max < units {
            self.fail(path, format!("String must contain at most {} character(s)", length.max));
            return None;
        }
        Some(text.to_owned())
    }

    /// A text that goes into an environment, a URL or a header: no control characters.
    pub(crate) fn plain(&mut self, name: &str, length: Units) -> Option<String> {
        let text = self.text(name, length)?;
        self.without_control(name, text)
    }

    /// As [`Self::plain`], and may be absent.
    pub(crate) fn plain_if_given(&mut self, name: &str, length: Units) -> Option<String> {
        let text = self.text_if_given(name, length)?;
        self.without_control(name, text)
    }

    fn without_control(&mut self, name: &str, text: String) -> Option<String> {
        if text.chars().any(char::is_control) {
            self.fail(name, "String must not contain control characters");
            return None;
        }
        Some(text)
    }

    pub(crate) fn bool_if_given(&mut self, name: &str) -> Option<bool> {
        let value = self.get(name)?;
        if !value.is_boolean() {
            self.expected(name, "boolean", value);
        }
        value.as_bool()
    }

    /// A number over zero that may be absent.
    pub(crate) fn positive_if_given(&mut self, name: &str) -> Option<f64> {
        let value = self.get(name)?;
        let Some(number) = value.as_f64() else {
            self.expected(name, "number", value);
            return None;
        };
        if number <= 0.0 {
            self.fail(name, "Number must be greater than 0");
            return None;
        }
        Some(number)
    }

    /// One of a few words; `None` when absent or after a failure.
    pub(crate) fn word_if_given<T: Copy>(&mut self, name: &str, words: &[(&str, T)]) -> Option<T> {
        let value = self.get(name)?;
        let list =
            || words.iter().map(|(word, _)| format!("'{word}'")).collect::<Vec<_>>().join(" | ");
        let Some(text) = value.as_str() else {
            let reason = format!("Expected {}, received {}", list(), kind(value));
            self.fail(name, reason);
            return None;
        };
        let found = words.iter().find(|(word, _)| *word == text).map(|&(_, meaning)| meaning);
        if found.is_none() {
            self.fail(name, format!("Invalid enum value. Expected {}", list()));
        }
        found
    }

    pub(crate) fn expected(&mut self, path: &str, wanted: &str, value: &Value) {
        let reason = format!("Expected {wanted}, received {}", kind(value));
        self.fail(path, reason);
    }
}

/// What JavaScript would call the value.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}
