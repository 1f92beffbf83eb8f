use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use studio_ids::{ProjectName, RunId, SessionId};
use studio_sandbox::{Limits, SandboxSpec};

use crate::{jail::Jail, sweep};

/// What is written down of a sandbox when it is made; `sandbox.json` beside its home.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) session: SessionId,
    pub(crate) project: ProjectName,
    pub(crate) jail: Jail,
    /// Nothing secret.
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) ports: Vec<u16>,
    /// Of the server that made it; sandboxes of older versions have none, which counts as 0.
    #[serde(default)]
    pub(crate) lease: u64,
    /// Which making it is of: another one of the same session has another name. Empty in those
    /// of older versions.
    #[serde(default)]
    pub(crate) making: String,
}

impl Record {
    /// Of a new sandbox.
    pub(crate) fn of(spec: &SandboxSpec, jail: Jail) -> Self {
        Self {
            session: spec.session,
            project: spec.project.clone(),
            jail,
            env: spec.env.clone(),
            ports: spec.ports.clone(),
            lease: spec.lease,
            making: RunId::random().to_string(),
        }
    }

    /// Of a sandbox that is made to see whether one can be made.
    pub(crate) fn probe(session: SessionId, jail: Jail) -> Result<Self, studio_ids::BadName> {
        let (project, env, ports) = ("probe".parse()?, BTreeMap::new(), Vec::new());
        let limits = Limits::default();
        let spec = SandboxSpec { session, project, env, limits, ports, lease: 0 };
        Ok(Self::of(&spec, jail))
    }
}

/// The process that keeps a sandbox's namespaces open; `holder.json` beside its home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// As this machine sees it; process 1 inside.
    pub(crate) pid: i32,
    /// Its start time in ticks since boot: a process id alone is given away again.
    pub(crate) born: u64,
    /// Which boot of the machine the start time counts from.
    pub(crate) boot: String,
}

impl Holder {
    /// The holder that `pid` is now.
    pub(crate) fn of(pid: i32) -> io::Result<Self> {
        let born = sweep::born(pid).ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { pid, born, boot: boot()? })
    }

    pub(crate) fn is_alive(&self) -> bool {
        boot().is_ok_and(|boot| boot == self.boot) && sweep::born(self.pid) == Some(self.born)
    }
}

fn boot() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// Where the parts of a sandbox lie.
#[derive(Clone, Debug)]
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(root: &Path, session: SessionId) -> Self {
        Self(root.join(session.to_string()))
    }

    /// A sandbox that is being made, before it is put where its session's lies.
    pub(crate) fn half_made(dir: PathBuf) -> Self {
        Self(dir)
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.0
    }

    /// Whether what lies here is of this making.
    pub(crate) fn is_of(&self, making: &str) -> io::Result<bool> {
        Ok(self.record()?.is_some_and(|found| found.making == making))
    }

    /// Under which lease what lies here was made. 0 when nothing says so: nothing lies here, or
    /// what an older version or nobody's disk left.
    pub(crate) fn lease(&self) -> io::Result<u64> {
        match self.record() {
            Ok(record) => Ok(record.map_or(0, |record| record.lease)),
            Err(error) if is_malformed(&error) => Ok(0),
            Err(error) => Err(error),
        }
    }

    pub(crate) fn home(&self) -> PathBuf {
        self.0.join("home")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.0.join("tmp")
    }

    /// `None` when there is no sandbox, or one whose making was cut off.
    pub(crate) fn record(&self) -> io::Result<Option<Record>> {
        read_json(&self.0.join("sandbox.json"))
    }

    pub(crate) fn write_record(&self, record: &Record) -> io::Result<()> {
        write_json(&self.0, "sandbox.json", record)
    }

    /// The holder that was written down, if it lives.
    pub(crate) fn holder(&self) -> io::Result<Option<Holder>> {
        Ok(read_json::<Holder>(&self.0.join("holder.json"))?.filter(Holder::is_alive))
    }

    pub(crate) fn write_holder(&self, holder: &Holder) -> io::Result<()> {
        write_json(&self.0, "holder.json", holder)
    }
}

/// Whether a file could be read and holds something else than it should.
fn is_malformed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match std::fs::read(path) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whole or not at all, and on stable storage before its name is.
fn write_json(dir: &Path, name: &str, value: &impl Serialize) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    serde_json::to_writer(&mut file, value)?;
    file.as_file().sync_all()?;
    file.persist(dir.join(name)).map_err(|error| error.error)?;
    Ok(())
}
