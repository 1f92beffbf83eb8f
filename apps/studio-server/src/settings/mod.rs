//! Everything that can be set about the server, in one table: `--help`, `docs/configuration.md`
//! and the checks of values are made of it.
//!
//! Reading order: [`Setting`] and [`Kind`], [`table`] (all settings), [`layers`] (which source
//! wins), [`file`] (the configuration file), [`args`] (the command line), [`show`] (what is set).

mod args;
mod file;
mod kind;
mod layers;
mod show;
mod table;

pub use args::ServeArgs;
pub(crate) use kind::Kind;
pub(crate) use layers::{Layers, Origin};
pub use show::{check_config, show_config};
pub(crate) use table::SETTINGS;

/// The configuration file in the data directory.
pub(crate) const FILE: &str = "studio.toml";

/// One thing that can be set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Its name in the file.
    pub(crate) key: &'static str,
    /// Its variable.
    pub(crate) variable: &'static str,
    /// Its option, without the dashes.
    pub(crate) option: Option<&'static str>,
    /// Under which heading of the documentation it stands.
    pub(crate) group: &'static str,
    /// What it takes.
    pub(crate) kind: Kind,
    /// The default as people read it; empty = not set.
    pub(crate) default: &'static str,
    /// What it does, in a line.
    pub(crate) about: &'static str,
}

impl Setting {
    const fn option(mut self, option: &'static str) -> Self {
        self.option = Some(option);
        self
    }

    /// The one of this variable.
    pub(crate) fn of_variable(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.variable == name)
    }
}

/// The tables of `docs/configuration.md`.
#[cfg(test)]
fn documented() -> String {
    use std::fmt::Write as _;

    let mut text = String::new();
    let mut group = "";
    for setting in SETTINGS {
        if setting.group != group {
            group = setting.group;
            let head = "| variable | in the file | option | default | takes | |\n|---|---|---|---|---|---|";
            let _ = writeln!(text, "\n### {group}\n\n{head}");
        }
        let code = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
        let option = setting.option.map(|option| format!("`--{option}`")).unwrap_or_default();
        let default = setting.default.replace('|', "\\|");
        let (variable, key) = (code(setting.variable), code(setting.key));
        let takes = setting.kind.wanted().replace('|', "\\|");
        let _ = writeln!(
            text,
            "| {variable} | {key} | {option} | {default} | {takes} | {} |",
            setting.about
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_setting_has_one_name_in_each_place() {
        let mut names = BTreeSet::new();
        for setting in SETTINGS {
            assert!(names.insert(setting.variable) && names.insert(setting.key), "{setting:?}");
            let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
            assert!(setting.key.chars().all(good), "{setting:?}");
            assert!(!setting.about.is_empty() && !setting.about.contains('|'), "{setting:?}");
            let secret = matches!(setting.kind, Kind::Secret);
            assert!(!secret || setting.option.is_none(), "others see options: {setting:?}");
        }
    }

    #[test]
    fn the_documentation_is_current() {
        const BEGIN: &str = "<!-- Made of apps/studio-server/src/settings/table.rs. -->\n";
        const END: &str = "<!-- End of what is made. -->";
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        let text = std::fs::read_to_string(path).unwrap();
        let (before, rest) = text.split_once(BEGIN).unwrap();
        let (found, after) = rest.split_once(END).unwrap();
        let wanted = format!("{}\n", documented());
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, format!("{before}{BEGIN}{wanted}{END}{after}")).unwrap();
        } else {
            assert_eq!(
                found, wanted,
                "make it anew: UPDATE_DOCS=1 cargo test -p studio-server --lib"
            );
        }
    }
}
