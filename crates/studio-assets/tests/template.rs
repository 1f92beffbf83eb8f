//! The app that a project begins with, as files.
#![allow(clippy::unwrap_used, reason = "a test's helpers are tests")]

use serde_json::Value;
use studio_assets::template_files;

fn file(name: &str, path: &str) -> String {
    let files = template_files(&name.parse().unwrap());
    let (_, bytes) = files.into_iter().find(|(at, _)| at == path).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_app_has_the_projects_name() {
    for (project, package) in [
        ("tea-list", "tea-list"),
        ("Tea.List_2", "tea-list_2"),
        ("app", "app"),
        ("node_modules", "node_modules-app"),
        (&"x".repeat(100), &"x".repeat(100)),
    ] {
        let manifest: Value = serde_json::from_str(&file(project, "package.json")).unwrap();
        assert_eq!(manifest["name"], package);
        let lock: Value = serde_json::from_str(&file(project, "package-lock.json")).unwrap();
        assert_eq!(
            (&lock["name"], &lock["packages"][""]["name"]),
            (&package.into(), &package.into())
        );
        let kinds = ["dependencies", "devDependencies"];
        for kind in kinds {
            assert_eq!(manifest[kind], lock["packages"][""][kind], "{kind}");
        }
        assert!(file(project, "README.md").starts_with(&format!("# {project}\n")));
    }
}

#[test]
fn the_app_has_the_scripts_that_the_studio_and_its_texts_name() {
    let manifest: Value = serde_json::from_str(&file("tea", "package.json")).unwrap();
    for script in [
        "dev",
        "dev:start",
        "dev:stop",
        "dev:restart",
        "build",
        "check",
        "test",
        "test:watch",
        "test:integration",
    ] {
        assert!(manifest["scripts"][script].is_string(), "{script}");
    }
}

#[test]
fn what_is_secret_is_not_committed() {
    let ignored = file("tea", ".gitignore");
    let ignored: Vec<&str> = ignored.lines().collect();
    for line in [
        "node_modules/",
        "_agent/",
        "drizzle/meta/",
        ".env",
        ".claude/hooks/",
        ".claude/settings.local.json",
    ] {
        assert!(ignored.contains(&line), "{line}");
    }
    assert!(file("tea", ".env.example").contains("VITE_PORT=5173"));
}

#[test]
fn all_paths_stay_in_the_project() {
    for (path, _) in template_files(&"tea".parse().unwrap()) {
        let bad =
            path.starts_with('/') || path.split('/').any(|part| part.is_empty() || part == "..");
        assert!(!bad, "{path}");
    }
}
