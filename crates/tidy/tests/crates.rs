//! What every crate of this workspace has.

use tidy::{Member, assert_none, files, members, read, root};
use toml::Value;

/// The shortest README text, in characters below the title, that can tell what a crate is for.
const README_CHARS_MIN: usize = 80;

/// Breaches of one rule over all crates.
fn check(rule: &str, has: impl Fn(&Member) -> bool) {
    let without = members().into_iter().filter(|member| !has(member));
    assert_none(rule, &without.map(|member| member.name).collect::<Vec<_>>());
}

fn package<'a>(member: &'a Member, key: &str) -> Option<&'a Value> {
    member.manifest.get("package").and_then(|package| package.get(key))
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    check("crates without `[lints] workspace = true`", |member| {
        let lints = member.manifest.get("lints").and_then(|lints| lints.get("workspace"));
        lints == Some(&Value::Boolean(true))
    });
}

#[test]
fn every_crate_says_what_it_is() {
    check("crates without a description", |member| {
        package(member, "description").and_then(Value::as_str).is_some_and(|text| text.len() > 10)
    });
}

#[test]
fn every_crate_shares_version_edition_and_license() {
    check("crates with a version, edition or license of their own", |member| {
        ["version", "edition", "license"].iter().all(|key| {
            package(member, key).and_then(|value| value.get("workspace"))
                == Some(&Value::Boolean(true))
        })
    });
}

#[test]
fn every_crate_has_a_readme_that_says_more_than_its_name() {
    check("crates whose README.md says too little", |member| {
        let path = member.dir.join("README.md");
        if !path.is_file() {
            return false;
        }
        let text = read(&path);
        let text = text.lines().filter(|line| !line.starts_with('#'));
        // The description repeated says nothing new.
        let description = package(member, "description").and_then(Value::as_str).unwrap_or("");
        text.filter(|line| *line != description).map(|line| line.chars().count()).sum::<usize>()
            >= README_CHARS_MIN
    });
}

#[test]
fn every_library_has_an_example() {
    check("libraries without examples/*.rs", |member| {
        !member.dir.join("src/lib.rs").is_file() || !member.rust_files("examples").is_empty()
    });
}

#[test]
fn every_crate_has_tests() {
    check("crates without a test", |member| {
        let files = ["src", "tests"].iter().flat_map(|folder| member.rust_files(folder));
        files.map(|file| read(&file)).any(|text| {
            ["#[test]", "#[tokio::test", "proptest!"].iter().any(|mark| text.contains(mark))
        })
    });
}

#[test]
fn no_test_is_skipped() {
    // In two parts, so that this line is not found.
    let mark = concat!("#[ign", "ore");
    let mut breaches = Vec::new();
    for member in members() {
        for folder in ["src", "tests"] {
            for file in member.rust_files(folder) {
                if read(&file).contains(mark) {
                    breaches.push(file.display().to_string());
                }
            }
        }
    }
    assert_none("a test that cannot run must fail and say what is missing", &breaches);
}

#[test]
fn no_example_stands_where_nothing_runs_it() {
    // One program of documentation tests a crate would be built and started for nothing.
    check("crates whose `[lib]` does not say `doctest = false`", |member| {
        let is_library = member.dir.join("src/lib.rs").is_file();
        let says = member.manifest.get("lib").and_then(|lib| lib.get("doctest"));
        !is_library || says == Some(&Value::Boolean(false))
    });
    let mut breaches = Vec::new();
    for file in files().iter().filter(|file| file.extension().is_some_and(|end| end == "rs")) {
        let mut fenced = false;
        for (at, line) in read(&root().join(file)).lines().enumerate() {
            let line = line.trim_start();
            let Some(said) = line.strip_prefix("///").or_else(|| line.strip_prefix("//!")) else {
                continue;
            };
            let Some(kind) = said.trim_start().strip_prefix("```") else { continue };
            if !fenced && !kind.starts_with("text") {
                breaches.push(format!("{}:{}", file.display(), at + 1));
            }
            fenced = !fenced;
        }
    }
    assert_none("code in comments (it belongs into the crate's `examples`)", &breaches);
}
