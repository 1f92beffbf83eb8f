//! The tables that name tests, held to their word.

use std::path::Path;

use studio_testkit::needs;

/// Every name of a test in these documents is that of a function in some crate.
#[test]
fn every_test_that_a_table_names_is_there() {
    let root = needs::workspace_root();
    let mut sources = String::new();
    for dir in ["apps", "crates"] {
        gather(&root.join(dir), &mut sources);
    }
    for (document, at_least) in [("requirements", 100), ("security", 20)] {
        let table = std::fs::read_to_string(root.join(format!("docs/{document}.md"))).unwrap();
        let quoted = |mark| table.split(mark).skip(1).step_by(2);
        let is_name =
            |text: &&str| 2 < text.matches('_').count() && !text.contains(['\n', ' ', '/']);
        let names: Vec<&str> = quoted('`').chain(quoted('*')).filter(is_name).collect();
        assert!(at_least < names.len(), "{document}: {names:?}");
        let is_there = |name: &&str| match name.strip_suffix('…') {
            Some(start) => sources.contains(&format!("fn {start}")),
            None => sources.contains(&format!("fn {name}(")),
        };
        let missing: Vec<&str> = names.into_iter().filter(|name| !is_there(name)).collect();
        assert!(missing.is_empty(), "{document}: no such tests: {missing:#?}");
    }
}

fn gather(dir: &Path, sources: &mut String) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
