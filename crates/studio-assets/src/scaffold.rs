/// What a project begins with, and by which commands its package manager is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaffold {
    /// The small app of [`template_files`](crate::template_files), with npm.
    Small,
    /// A whole app on Electric, with pnpm: its files are there already.
    Electric,
}

impl Scaffold {
    /// `text` with the package manager's words in the places that ask for them: `{{do}}` (own
    /// scripts), `{{run}}` (`build`, `check`), `{{exec}}` (programs of packages), `{{test}}`,
    /// `{{install}}`.
    pub(crate) fn fill(self, text: &str) -> String {
        let words = match self {
            Self::Small => ["npm run", "npm run", "npx", "npm test", "npm ci"],
            Self::Electric => ["pnpm", "pnpm run", "pnpm", "pnpm test", "pnpm install"],
        };
        let places = ["{{do}}", "{{run}}", "{{exec}}", "{{test}}", "{{install}}"];
        let put = |text: String, (place, word): (&str, &str)| text.replace(place, word);
        places.into_iter().zip(words).fold(text.to_owned(), put)
    }
}
