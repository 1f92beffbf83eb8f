use std::{fs, io, os::unix::fs::MetadataExt as _, path::Path};

use toml::{Table, Value};

use super::{Kind, SETTINGS, Setting};
use crate::ConfigError;

/// Most that a configuration file has.
const BYTES_MAX: u64 = 1024 * 1024;

/// What a file sets, as texts; `None` = there is none, which is a failure if it `must_be` there.
pub(super) fn read(
    path: &Path,
    must_be: bool,
) -> Result<Option<Vec<(&'static Setting, String)>>, ConfigError> {
    let failed = |reason: String| ConfigError::File { path: path.to_owned(), reason };
    let meta = match fs::metadata(path) {
        Ok(meta) => meta,
        // What else is wrong with a data directory is told by who makes it.
        Err(error)
            if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
                && !must_be =>
        {
            return Ok(None);
        }
        Err(error) => return Err(failed(error.to_string())),
    };
    if BYTES_MAX < meta.len() {
        return Err(failed(format!("has {} bytes, at most {BYTES_MAX} are read", meta.len())));
    }
    let text = fs::read_to_string(path).map_err(|error| failed(error.to_string()))?;
    let values = parse(&text).map_err(failed)?;
    let has_secret = values.iter().any(|(setting, _)| setting.kind == Kind::Secret);
    if has_secret && meta.mode() & 0o077 != 0 {
        let told = format!("holds secrets, and others may use it: chmod 600 {}", path.display());
        return Err(failed(told));
    }
    Ok(Some(values))
}

fn parse(text: &str) -> Result<Vec<(&'static Setting, String)>, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| {
        // The excerpt that goes with the message may hold a secret.
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.map(|before| before.matches('\n').count() + 1);
        let place = line.map(|line| format!("line {line}: ")).unwrap_or_default();
        format!("{place}{}", error.message())
    })?;
    let mut values = Vec::new();
    for (key, value) in &table {
        let setting = SETTINGS.iter().find(|setting| setting.key == key);
        let setting = setting.ok_or_else(|| unknown(key))?;
        let text = as_text(setting.kind, value).ok_or_else(|| {
            let found = value.type_str();
            format!("{key} must be {}, and is of the type {found}", setting.kind.wanted())
        })?;
        values.push((setting, text));
    }
    Ok(values)
}

/// As a variable would have it.
fn as_text(kind: Kind, value: &Value) -> Option<String> {
    match (kind, value) {
        (Kind::Flag, Value::Boolean(on)) => Some(if *on { "1" } else { "0" }.to_owned()),
        (Kind::Flag | Kind::Port | Kind::Count(_) | Kind::Money, Value::Integer(number)) => {
            Some(number.to_string())
        }
        (Kind::Money, Value::Float(number)) => Some(number.to_string()),
        (Kind::List, Value::Array(all)) => {
            let texts: Option<Vec<&str>> = all.iter().map(Value::as_str).collect();
            texts.filter(|all| !all.iter().any(|one| one.contains(','))).map(|all| all.join(","))
        }
        (_, Value::String(text)) => Some(text.clone()),
        _ => None,
    }
}

fn unknown(key: &str) -> String {
    // Longest first, so that a word inside another does not hide it.
    let near = SETTINGS.iter().min_by_key(|setting| distance(key, setting.key));
    let hint = near.filter(|near| distance(key, near.key) <= 3);
    let hint = hint.map(|near| format!(", but {} is", near.key)).unwrap_or_default();
    let key: String = key.chars().take(80).collect();
    format!("{key:?} is no setting{hint}; docs/configuration.md has all, and `studio config show`")
}

/// How many letters have to be changed, added or taken away.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().take(80).enumerate() {
        let mut before = i;
        row[0] = i + 1;
        for (j, &b) in other.iter().enumerate() {
            let changed = before + usize::from(a != b);
            before = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(before + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(file: &str) -> Result<Vec<(&'static str, String)>, String> {
        Ok(parse(file)?.into_iter().map(|(setting, text)| (setting.key, text)).collect())
    }

    #[test]
    fn values_are_what_their_kind_takes() {
        let file = "port = 1\ndev_mode = true\nallowed_hosts = ['a', 'b']\nmax_session_cost_usd = 0.5\nmodel = 'm'";
        let mut all = texts(file).unwrap();
        all.sort_unstable();
        let expected = [
            ("allowed_hosts", "a,b"),
            ("dev_mode", "1"),
            ("max_session_cost_usd", "0.5"),
            ("model", "m"),
            ("port", "1"),
        ];
        assert_eq!(all, expected.map(|(key, text)| (key, text.to_owned())));
        for (bad, told) in [
            ("port = []", "port must be a port from 0 to 65535, and is of the type array"),
            ("model = 7", "model must be text, and is of the type integer"),
            ("allowed_hosts = ['a,b']", "allowed_hosts must be texts"),
            ("prot = 7", "\"prot\" is no setting, but port is"),
            ("[server]\nport = 1", "\"server\" is no setting"),
            ("'; rm -rf /' = 1", "\"; rm -rf /\" is no setting"),
            ("port = 1\nport = 2", "line 2: duplicate key"),
            ("port = 1\n= hunter2", "line 2: "),
        ] {
            let error = texts(bad).unwrap_err();
            assert!(error.starts_with(told) && !error.contains("hunter2"), "{bad}: {error}");
        }
    }

    #[test]
    fn near_names_are_found() {
        assert_eq!(distance("port", "port"), 0);
        assert_eq!(distance("prot", "port"), 2);
        assert_eq!(distance("", "port"), 4);
        assert_eq!(distance("portt", "port"), 1);
    }
}
