//! The small app that a project begins with until it has one of its own: it installs, builds and
//! passes its tests with npm. Exact versions, and a lock file without addresses.

use studio_ids::ProjectName;

use crate::File;

/// What the app is called in the files below.
const NAME: &str = "app";
/// How often the lock file says it.
const NAMES_IN_LOCK: usize = 2;

/// The app's files, with the project's name in them. Installing packages is left to whoever
/// works with it.
pub fn template_files(name: &ProjectName) -> Vec<File> {
    let package = package_name(name);
    let (said, says) = (format!(r#""name": "{NAME}""#), format!(r#""name": "{package}""#));
    let manifest = include_str!("../template/package.json").replacen(&said, &says, 1);
    let lock = include_str!("../template/package-lock.json");
    let lock = lock.replacen(&said, &says, NAMES_IN_LOCK);
    let readme = include_str!("../template/README.md").replace("@NAME@", name.as_str());
    let named = [("package.json", manifest), ("package-lock.json", lock), ("README.md", readme)];
    let fixed = [
        (".env.example", include_str!("../template/.env.example")),
        (".gitignore", include_str!("../template/gitignore")),
        ("index.html", include_str!("../template/index.html")),
        ("scripts/dev.mjs", include_str!("../template/scripts/dev.mjs")),
        ("src/App.tsx", include_str!("../template/src/App.tsx")),
        ("src/main.tsx", include_str!("../template/src/main.tsx")),
        ("src/styles.css", include_str!("../template/src/styles.css")),
        ("src/vite-env.d.ts", include_str!("../template/src/vite-env.d.ts")),
        ("tests/app.test.tsx", include_str!("../template/tests/app.test.tsx")),
        ("tsconfig.json", include_str!("../template/tsconfig.json")),
        ("vite.config.ts", include_str!("../template/vite.config.ts")),
    ];
    let fixed = fixed.map(|(path, text)| (path, text.to_owned()));
    let files = named.into_iter().chain(fixed);
    files.map(|(path, text)| (path.to_owned(), text.into_bytes())).collect()
}

/// A project's name as npm takes it: small letters, digits, `_` and `-`.
fn package_name(name: &ProjectName) -> String {
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || c == '_' => c,
        _ => '-',
    };
    let name: String = name.as_str().chars().map(plain).collect();
    // The one name npm has for something else that a project may have, too.
    if name == "node_modules" { format!("{name}-app") } else { name }
}
