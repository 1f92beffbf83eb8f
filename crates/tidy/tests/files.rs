//! What holds for files: how long, which paths they name, where their links lead.

use std::path::Path;

use tidy::{assert_none, files, read, root};

/// The longest Rust file, in lines. Longer ones hold two things.
const LINES_MAX: usize = 600;

/// Folders of one developer's machine, each in two parts so that this file does not name them.
const PLACES: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/.c"),
    concat!("/ro", "ot/.rustup"),
    concat!("../sha", "red/"),
    concat!("/tmp/t", "-"),
];

fn ends_with(file: &Path, end: &str) -> bool {
    file.extension().is_some_and(|extension| extension == end)
}

#[test]
fn no_rust_file_is_too_long() {
    let mut breaches = Vec::new();
    for file in files().iter().filter(|file| ends_with(file, "rs")) {
        let lines = read(&root().join(file)).lines().count();
        if lines > LINES_MAX {
            breaches.push(format!("{}: {lines} lines", file.display()));
        }
    }
    assert_none(&format!("files of more than {LINES_MAX} lines"), &breaches);
}

#[test]
fn no_file_names_a_place_on_somebodys_machine() {
    let mut breaches = Vec::new();
    for file in files() {
        let text = read(&root().join(&file));
        for place in PLACES {
            for (at, _) in text.match_indices(place) {
                // A longer path that goes on to the left is another place.
                let before = text[..at].chars().next_back();
                let inside = place.starts_with('/')
                    && before.is_some_and(|char| char.is_alphanumeric() || "_-.}".contains(char));
                if !inside {
                    let line = text[..at].lines().count().max(1);
                    breaches.push(format!("{}:{line}: {place}", file.display()));
                }
            }
        }
    }
    assert_none("paths of one machine", &breaches);
}

#[test]
fn every_link_of_the_documentation_leads_somewhere() {
    let mut breaches = Vec::new();
    for file in files().iter().filter(|file| ends_with(file, "md")) {
        let folder = root().join(file).parent().map(Path::to_owned).unwrap_or_default();
        for link in links(&read(&root().join(file))) {
            let (target, _) = link.split_once('#').unwrap_or((&link, ""));
            let is_far = target.contains("://") || target.starts_with("mailto:");
            if !target.is_empty() && !is_far && !folder.join(target).exists() {
                breaches.push(format!("{}: {link}", file.display()));
            }
        }
    }
    assert_none("links to files that are not there", &breaches);
}

/// The targets of `[text](target)` outside of code.
fn links(markdown: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // Every second part between backticks is code.
        for prose in line.split('`').step_by(2) {
            for part in prose.split("](").skip(1) {
                if let Some((target, _)) = part.split_once(')') {
                    found.push(target.split_whitespace().next().unwrap_or("").to_owned());
                }
            }
        }
    }
    found
}

#[test]
fn links_are_read_from_prose_and_not_from_code() {
    let text = "a [b](c.md) and `[d](e.md)` [f](g.md \"title\")\n```\n[h](i.md)\n```\n[j](k.md#l)";
    assert_eq!(links(text), ["c.md", "g.md", "k.md#l"]);
}
