use std::collections::{BTreeMap, HashMap};

use bollard::models::{
    ContainerCreateBody, HostConfig, HostConfigLogConfig, PortBinding, RestartPolicy,
    RestartPolicyNameEnum, SystemInfo,
};
use studio_ids::{ProjectName, SessionId};
use studio_sandbox::{Abilities, Enforced, Isolation, Limits, SandboxPath, SandboxSpec};

use crate::Owner;

/// The user of everything that runs inside, as numbers: they hold whatever the image calls it.
pub(crate) const USER: &str = "1000:1000";
/// The user's home.
pub(crate) const HOME: &str = "/home/agent";
/// Projects lie below it.
pub(crate) const WORKSPACE: &str = "/home/agent/workspace";
/// Least share of a CPU that an engine accepts.
const CPUS_MIN: f64 = 0.01;

/// By what a container is known again. Names are only for people.
pub(crate) mod labels {
    /// The studio.
    pub(crate) const OWNER: &str = "studio.instance";
    /// The session.
    pub(crate) const SESSION: &str = "studio.session";
    /// The project's directory name.
    pub(crate) const PROJECT: &str = "studio.project";
    /// One call of `create`: a creation that lost its answer takes back its own work only.
    pub(crate) const CREATION: &str = "studio.creation";
    /// The lease of the server that made it, a decimal number. Older containers have none.
    pub(crate) const LEASE: &str = "studio.lease";
}

/// What a container does: it makes the project's directory (`$1`), says that commands run, and
/// stays. It runs below the engine's init process, which reaps whatever the agent leaves behind,
/// and ends at once when it is told to.
const IDLE: &str = r#"mkdir -p -- "$1" || exit 1
echo studio-ready
trap 'exit 0' TERM INT
while :; do sleep 3600 & wait $! || exit 0; done"#;
/// What it says.
pub(crate) const READY_WORD: &str = "studio-ready";

/// What the engine on the other side can hold a container to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    enforced: Enforced,
    swap: bool,
    cpus: f64,
}

impl Host {
    pub(crate) fn of(info: &SystemInfo) -> Self {
        let has = |flag: Option<bool>| flag.unwrap_or(false);
        let enforced = Enforced {
            memory: has(info.memory_limit),
            cpus: has(info.cpu_cfs_quota) && has(info.cpu_cfs_period),
            pids: has(info.pids_limit),
        };
        let cpus = info.ncpu.and_then(|n| u32::try_from(n).ok()).map_or(f64::MAX, f64::from);
        Self { enforced, swap: has(info.swap_limit), cpus }
    }

    pub(crate) fn abilities(&self) -> Abilities {
        let mut notice = "Each session runs in a container of its own: no capabilities, no new \
                          privileges, no host directories, an unprivileged user. The kernel is \
                          shared with this machine, and the network is not restricted."
            .to_owned();
        let Enforced { memory, cpus, pids } = self.enforced;
        for (holds, what) in [(memory, "memory"), (cpus, "CPUs"), (pids, "processes")] {
            if !holds {
                notice.push_str(" The engine cannot limit ");
                notice.push_str(what);
                notice.push('.');
            }
        }
        if memory && !self.swap {
            notice.push_str(" The memory limit leaves out swap.");
        }
        Abilities {
            isolation: Isolation::Container,
            notice,
            enforced: self.enforced,
            outlives_server: true,
            ports: true,
        }
    }

    /// The engine's spelling of `limits`. What it cannot enforce is left out: some engines refuse
    /// such a wish instead of ignoring it, and `abilities` says so anyway.
    fn limit(&self, limits: Limits, host_config: &mut HostConfig) {
        if self.enforced.memory {
            let bytes = i64::try_from(limits.memory_bytes).unwrap_or(i64::MAX);
            host_config.memory = Some(bytes);
            host_config.memory_swap = self.swap.then_some(bytes);
        }
        if self.enforced.cpus {
            // More CPUs than there are is an error to the engine and no limit to the kernel.
            let cpus = limits.cpus.min(self.cpus).max(CPUS_MIN);
            // Positive and at most the machine's CPUs: fits by far.
            #[expect(clippy::cast_possible_truncation)]
            let nano = (cpus * 1e9) as i64;
            host_config.nano_cpus = Some(nano);
        }
        if self.enforced.pids {
            host_config.pids_limit = Some(i64::from(limits.pids));
        }
    }
}

/// The container's name: unique, and readable in a list. The engine refuses a second one, so a
/// session has at most one container whoever asks.
pub(crate) fn name(owner: &Owner, session: SessionId) -> String {
    format!("studio-{owner}-{session}")
}

pub(crate) fn project_dir(project: &ProjectName) -> String {
    format!("{WORKSPACE}/{project}")
}

/// A path that is a constant or was built from checked parts.
pub(crate) fn path(text: &str) -> SandboxPath {
    #[expect(clippy::expect_used)]
    text.parse().expect("a constant or a checked name below one")
}

/// The sandbox of `spec`, as the engine is told. The image's entry point stays in charge.
pub(crate) fn body(
    owner: &Owner,
    image: &str,
    spec: &SandboxSpec,
    host: &Host,
    creation: &str,
) -> ContainerCreateBody {
    let mut host_config = HostConfig {
        init: Some(true),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        privileged: Some(false),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        // Nothing is said there that anyone reads, and a log would grow without a bound.
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        port_bindings: Some(spec.ports.iter().map(|&port| (port_key(port), loopback())).collect()),
        ..HostConfig::default()
    };
    host.limit(spec.limits, &mut host_config);
    let dir = project_dir(&spec.project);
    let idle = ["sh", "-c", IDLE, "sh", &dir];
    ContainerCreateBody {
        image: Some(image.to_owned()),
        user: Some(USER.to_owned()),
        working_dir: Some(HOME.to_owned()),
        env: Some(environment(&spec.env)),
        cmd: Some(idle.map(str::to_owned).to_vec()),
        labels: Some(HashMap::from([
            (labels::OWNER.to_owned(), owner.to_string()),
            (labels::SESSION.to_owned(), spec.session.to_string()),
            (labels::PROJECT.to_owned(), spec.project.to_string()),
            (labels::CREATION.to_owned(), creation.to_owned()),
            (labels::LEASE.to_owned(), spec.lease.to_string()),
        ])),
        exposed_ports: Some(spec.ports.iter().map(|&port| port_key(port)).collect()),
        host_config: Some(host_config),
        ..ContainerCreateBody::default()
    }
}

fn environment(wanted: &BTreeMap<String, String>) -> Vec<String> {
    let home = (!wanted.contains_key("HOME")).then(|| format!("HOME={HOME}"));
    home.into_iter().chain(variables(wanted)).collect()
}

/// `name=value`, as the engine wants it; see [`bad_variable`].
pub(crate) fn variables(wanted: &BTreeMap<String, String>) -> impl Iterator<Item = String> {
    wanted.iter().map(|(name, value)| format!("{name}={value}"))
}

/// The first variable that would arrive as another one. Its value is never part of an error.
pub(crate) fn bad_variable(wanted: &BTreeMap<String, String>) -> Option<&str> {
    let good = |name: &str, value: &str| {
        !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
    };
    wanted.iter().find(|(name, value)| !good(name, value)).map(|(name, _)| name.as_str())
}

pub(crate) fn port_key(port: u16) -> String {
    format!("{port}/tcp")
}

/// This machine only, the engine picks the port.
fn loopback() -> Option<Vec<PortBinding>> {
    Some(vec![PortBinding {
        host_ip: Some("127.0.0.1".to_owned()),
        host_port: Some("0".to_owned()),
    }])
}
