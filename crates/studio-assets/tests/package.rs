//! What is in the crate as it would be published (`D30-64`): every file that the code embeds.
#![allow(clippy::unwrap_used, reason = "a test's helpers are tests")]

use std::{collections::BTreeSet, fs, path::Path, process::Command};

/// The paths, from the crate's directory, of everything that the sources embed.
fn embedded() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir("src").unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        for part in text.split("include_str!(\"").skip(1) {
            let name = part.split('"').next().unwrap();
            let name = name.strip_prefix("../").map_or(format!("src/{name}"), str::to_owned);
            assert!(Path::new(&name).is_file(), "{name}");
            found.insert(name);
        }
    }
    found
}

fn files(folder: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(files(&name));
        } else {
            found.insert(name);
        }
    }
    found
}

#[test]
fn d30_64_the_package_has_every_text() {
    let list = Command::new(env!("CARGO"))
        .args(["package", "--list", "--allow-dirty", "--offline"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&list.stderr);
    assert!(list.status.success(), "{told}");
    let packed: BTreeSet<&str> = str::from_utf8(&list.stdout).unwrap().lines().collect();
    let embedded = embedded();
    assert!(embedded.len() > 40, "{embedded:?}");
    let missing: Vec<_> = embedded.iter().filter(|name| !packed.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "not in the package: {missing:?}");
}

#[test]
fn every_text_is_used() {
    let all = files("src/texts").into_iter().chain(files("template"));
    let embedded = embedded();
    let unused: Vec<_> = all.filter(|name| !embedded.contains(name)).collect();
    assert!(unused.is_empty(), "never embedded: {unused:?}");
}

#[test]
fn the_template_names_no_registry() {
    let lock = fs::read_to_string("template/package-lock.json").unwrap();
    assert!(!lock.contains("\"resolved\""), "npm install --omit-lockfile-registry-resolved");
    let manifest = fs::read_to_string("template/package.json").unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    for kind in ["dependencies", "devDependencies"] {
        for (name, version) in manifest[kind].as_object().unwrap() {
            let version = version.as_str().unwrap();
            assert!(version.starts_with(|c: char| c.is_ascii_digit()), "{name}: {version}");
        }
    }
    let lock: serde_json::Value = serde_json::from_str(&lock).unwrap();
    let packages = lock["packages"].as_object().unwrap();
    assert!(packages.len() < 100, "{} packages", packages.len());
    let without = packages.iter().filter(|(path, package)| {
        !path.is_empty()
            && package["integrity"].as_str().is_none_or(|hash| !hash.starts_with("sha512-"))
    });
    assert_eq!(without.map(|(path, _)| path).collect::<Vec<_>>(), Vec::<&String>::new());
}
