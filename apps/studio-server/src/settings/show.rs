use std::fmt::Write as _;

use super::{Kind, Layers, Origin, SETTINGS, ServeArgs};
use crate::{Config, ConfigError};

/// What `studio config check` says of a configuration that a server would start with.
pub fn check_config(
    args: ServeArgs,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<String, ConfigError> {
    let layers = Layers::read(&args, &variable)?;
    Config::read(args, variable)?;
    let set = SETTINGS.iter().filter(|setting| layers.get(setting.variable).is_some()).count();
    let file = match &layers.file {
        Some(path) => format!("{} is read", path.display()),
        None => "there is no file".to_owned(),
    };
    Ok(format!("The configuration is good: {set} of {} settings are set, {file}.", SETTINGS.len()))
}

/// What `studio config show` says: every setting, its value and where that comes from, in the form
/// of the configuration file. Secrets are not in it.
pub fn show_config(
    args: ServeArgs,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<String, ConfigError> {
    let layers = Layers::read(&args, &variable)?;
    Config::read(args, variable)?;
    let mut text = String::new();
    let mut group = "";
    for setting in SETTINGS {
        if setting.group != group {
            group = setting.group;
            let _ = writeln!(text, "{}# {group}", if text.is_empty() { "" } else { "\n" });
        }
        let key = setting.key;
        let Some(value) = layers.get(setting.variable) else {
            let default = if setting.default.is_empty() { "not set" } else { setting.default };
            let _ = writeln!(text, "# {key}: {default} (default)");
            continue;
        };
        let from = match layers.origin(setting.variable) {
            Some(Origin::Option) => format!("--{}", setting.option.unwrap_or(key)),
            Some(Origin::File(path)) => path.display().to_string(),
            Some(Origin::Environment) | None => setting.variable.to_owned(),
        };
        let _ = match setting.kind {
            Kind::Secret => writeln!(text, "# {key}: set, not shown ({from})"),
            Kind::Flag => writeln!(text, "{key} = {} # {from}", value == "1"),
            Kind::Port | Kind::Count(_) => writeln!(text, "{key} = {value} # {from}"),
            Kind::Text | Kind::Path | Kind::Address | Kind::Money | Kind::Word(_) | Kind::List => {
                let value = toml::Value::String(without_password(value));
                writeln!(text, "{key} = {value} # {from}")
            }
        };
    }
    Ok(text)
}

/// An address with a password in it, without it.
fn without_password(value: &str) -> String {
    let Some((scheme, rest)) = value.split_once("://") else { return value.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rfind('@') {
        Some(at) => format!("{scheme}://…{}", &rest[at..]),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_a_file_without_secrets() {
        let env = |name: &str| match name {
            "ANTHROPIC_API_KEY" => Some("hunter2".to_owned()),
            "ANTHROPIC_BASE_URL" => Some("http://user:hunter2@models.example/v1".to_owned()),
            "STUDIO_DEV_MODE" => Some("1".to_owned()),
            _ => None,
        };
        let dir = tempfile::tempdir().unwrap();
        let args =
            ServeArgs::default().with("port", "0").with("data-dir", dir.path().to_str().unwrap());
        let shown = show_config(args.clone(), env).unwrap();
        assert!(!shown.contains("hunter2"), "{shown}");
        for line in [
            "port = 0 # --port\n",
            "dev_mode = true # STUDIO_DEV_MODE\n",
            "# anthropic_api_key: set, not shown (ANTHROPIC_API_KEY)\n",
            "anthropic_base_url = \"http://…@models.example/v1\" # ANTHROPIC_BASE_URL\n",
            "# sandbox: auto (default)\n",
        ] {
            assert!(shown.contains(line), "{line} is missing: {shown}");
        }
        shown.parse::<toml::Table>().unwrap();
        let told = check_config(args, env).unwrap();
        assert!(told.starts_with("The configuration is good: 5 of "), "{told}");
    }
}
