//! What a data directory holds beside the streams and the sandboxes:
//!
//! * `key`: what signs tokens; one key a line, the first one signs, all are accepted.
//! * `owner`: which studio this is, so that it finds its containers again.
//! * `operator-token`: opens the routes of who runs the studio; written anew at every start.
//!
//! All are for this user alone (0600, below a directory of 0700).

use std::{
    fs, io,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use studio_auth::{Keys, Scope, ServerKey};
use uuid::Uuid;

use crate::{Config, StartError};

/// How long the operator's token lasts: a server is started anew more often than that.
const OPERATOR_LIFETIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A data directory that is there.
pub(crate) struct DataDir(PathBuf);

impl DataDir {
    pub(crate) fn make(dir: &Path) -> Result<Self, StartError> {
        let failed = |source| StartError::DataDir { dir: dir.to_owned(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        // Absolute: sandboxes are told of it, and their working directory is another.
        let made = dir.canonicalize().map(Self).map_err(failed)?;
        // The directory may have been there before, open to others; what people and agents said
        // lies in this one, which is ours alone.
        let streams = made.file("streams");
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&streams).map_err(failed)?;
        fs::set_permissions(&streams, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        Ok(made)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The keys in force: those that were configured, else the directory's own, made at first.
    ///
    /// Where keys are made, to be called by the one process that holds the directory's lock; a
    /// stream service brings its own key, its secret.
    pub(crate) fn keys(&self, config: &Config) -> Result<Keys, StartError> {
        let file = self.file("key");
        let (text, told) = match &config.token_key {
            Some(key) => {
                (key.expose().to_owned(), PathBuf::from("STUDIO_TOKEN_KEY (or DS_SECRET)"))
            }
            None => (self.kept("key", random_key)?, file),
        };
        let bad = |reason: String| StartError::Key { file: told.clone(), reason };
        let lines = text.lines().filter(|line| !line.is_empty());
        let keys: Result<Vec<_>, _> = lines.map(ServerKey::new).collect();
        let mut keys = keys.map_err(|error| bad(error.to_string()))?.into_iter();
        let current = keys.next().ok_or_else(|| bad("no key in it".to_owned()))?;
        let keys = keys.fold(Keys::new(current), Keys::accepting);
        Ok(keys.with_reference_tokens(config.reference_tokens).with_lifetime(config.token_lifetime))
    }

    /// Which studio this is: a random word, made at first.
    pub(crate) fn owner(&self) -> Result<String, StartError> {
        let text = self.kept("owner", || Uuid::new_v4().to_string())?;
        Ok(text.trim().to_owned())
    }

    /// Keeps another word for which studio this is.
    pub(crate) fn keep_owner(&self, owner: &str) -> Result<(), StartError> {
        let written = write_private(&self.file("owner"), &format!("{owner}\n"));
        written.map_err(|source| self.failed(source))
    }

    /// Writes a new token for the operator and tells where.
    pub(crate) fn write_operator_token(&self, keys: &Keys) -> Result<PathBuf, StartError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let token = keys.mint_own(Scope::Operator, now, OPERATOR_LIFETIME);
        let file = self.file("operator-token");
        write_private(&file, &format!("{token}\n")).map_err(|source| self.failed(source))?;
        Ok(file)
    }

    /// The text of a file that is made if it is not there.
    fn kept(&self, name: &str, make: impl FnOnce() -> String) -> Result<String, StartError> {
        let file = self.file(name);
        match fs::read_to_string(&file) {
            Ok(text) => return Ok(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(self.failed(error)),
        }
        let text = make();
        write_private(&file, &format!("{text}\n")).map_err(|source| self.failed(source))?;
        Ok(text)
    }

    fn failed(&self, source: io::Error) -> StartError {
        StartError::DataDir { dir: self.0.clone(), source }
    }
}

fn random_key() -> String {
    let [one, two] = [Uuid::new_v4(), Uuid::new_v4()].map(|id| id.simple().to_string());
    format!("{one}{two}")
}

/// Whole or not at all, on stable storage, readable by this user alone.
fn write_private(file: &Path, text: &str) -> io::Result<()> {
    let part = file.with_extension("part");
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut open = options.open(&part)?;
    open.write_all(text.as_bytes())?;
    open.sync_all()?;
    fs::rename(&part, file)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::ServeArgs;

    fn config() -> Config {
        Config::read(ServeArgs::default(), |_| None).unwrap()
    }

    #[test]
    fn a_key_is_made_once_and_for_this_user_alone() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = DataDir::make(&temporary.path().join("a/b")).unwrap();
        let token = dir.keys(&config()).unwrap().mint(Scope::Operator, 1);
        assert!(dir.keys(&config()).unwrap().opens(Scope::Operator, &token, 1));
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&dir.file("key")), 0o600);
        assert_eq!(mode(dir.path()), 0o700);
        assert_eq!(dir.owner().unwrap(), dir.owner().unwrap());
    }

    #[test]
    fn a_second_line_of_the_key_file_is_accepted_and_a_missing_one_is_not() {
        let temporary = tempfile::tempdir().unwrap();
        let dir = DataDir::make(temporary.path()).unwrap();
        let token = dir.keys(&config()).unwrap().mint(Scope::Operator, 1);
        let old = fs::read_to_string(dir.file("key")).unwrap();
        fs::write(dir.file("key"), format!("the new key\n{old}")).unwrap();
        assert!(dir.keys(&config()).unwrap().opens(Scope::Operator, &token, 1));
        fs::write(dir.file("key"), "the new key\n").unwrap();
        assert!(!dir.keys(&config()).unwrap().opens(Scope::Operator, &token, 1));
        fs::write(dir.file("key"), "\n").unwrap();
        assert!(dir.keys(&config()).unwrap_err().to_string().contains("no key in it"));
    }
}
