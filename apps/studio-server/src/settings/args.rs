use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};

use super::{SETTINGS, Setting};

/// The options of `serve`: those of the table, and `--config`. Each one wins over its variable.
#[derive(Clone, Debug, Default)]
pub struct ServeArgs {
    given: BTreeMap<&'static str, String>,
    config: Option<PathBuf>,
}

impl ServeArgs {
    /// With an option, as `with("port", "0")`; one that there is not is passed over.
    #[must_use]
    pub fn with(mut self, option: &str, value: impl Into<String>) -> Self {
        if let Some(setting) = options().find(|setting| setting.option == Some(option)) {
            self.given.insert(setting.variable, value.into());
        }
        self
    }

    /// With a configuration file, which has to be there.
    #[must_use]
    pub fn with_config(mut self, path: impl Into<PathBuf>) -> Self {
        self.config = Some(path.into());
        self
    }

    pub(super) fn get(&self, setting: &Setting) -> Option<&str> {
        self.given.get(setting.variable).map(String::as_str)
    }

    pub(super) fn config(&self) -> Option<&Path> {
        self.config.as_deref()
    }
}

fn options() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(|setting| setting.option.is_some())
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut args = Self::default();
        args.update_from_arg_matches(matches)?;
        Ok(args)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        for setting in options() {
            if let Some(text) = matches.get_one::<String>(setting.key) {
                self.given.insert(setting.variable, text.clone());
            }
        }
        if let Some(path) = matches.get_one::<PathBuf>("config") {
            self.config = Some(path.clone());
        }
        Ok(())
    }
}

impl Args for ServeArgs {
    fn augment_args(mut command: Command) -> Command {
        for setting in options() {
            let Some(long) = setting.option else { continue };
            let mut help = format!("{} [env: {}]", setting.about, setting.variable);
            if !setting.default.is_empty() {
                let _ = write!(help, " [default: {}]", setting.default);
            }
            let kind = setting.kind;
            let checked = move |text: &str| match kind.takes(text) {
                true => Ok(text.to_owned()),
                false => Err(format!("must be {}", kind.wanted())),
            };
            let mut arg =
                Arg::new(setting.key).long(long).help(help).value_name(kind.placeholder());
            arg = arg.value_parser(checked);
            if long == "port" {
                arg = arg.short('p');
            }
            command = command.arg(arg);
        }
        let help =
            "Configuration file, TOML [default: studio.toml in the data directory, if it is there]";
        let config = Arg::new("config").long("config").value_name("FILE").help(help);
        command.arg(config.value_parser(clap::value_parser!(PathBuf))).after_long_help(variables())
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

/// What else can be set, for `--help`.
fn variables() -> String {
    let mut text = "Variables, and their names in the configuration file. An option wins over its \
        variable, and that over the file:\n"
        .to_owned();
    for setting in SETTINGS {
        let _ = write!(text, "\n  {} ({})\n      {}", setting.variable, setting.key, setting.about);
        let _ = write!(text, "; takes {}", setting.kind.wanted());
        if !setting.default.is_empty() {
            let _ = write!(text, " [default: {}]", setting.default);
        }
    }
    text
}
