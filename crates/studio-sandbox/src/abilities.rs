use serde::Serialize;

/// How strongly what runs inside is kept from the rest of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Not at all: a process of the same user.
    None,
    /// File access is limited by the kernel; processes and network are shared.
    Filesystem,
    /// Own process, mount and IPC namespaces; shared kernel and network.
    Namespaces,
    /// A container with limits and without capabilities.
    Container,
    /// A machine of its own.
    VirtualMachine,
}

/// Which wishes of a [`crate::SandboxSpec`] the provider really enforces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Enforced {
    /// Memory limit.
    pub memory: bool,
    /// CPU limit.
    pub cpus: bool,
    /// Process count limit.
    pub pids: bool,
}

/// What a provider can do. Callers branch on an ability, never on a vendor's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Abilities {
    /// How strong the wall is.
    pub isolation: Isolation,
    /// A sentence for people: what keeps the agent in, and what does not.
    pub notice: String,
    /// Which limits hold.
    pub enforced: Enforced,
    /// Whether sandboxes go on while the studio is away.
    pub outlives_server: bool,
    /// Whether ports can be reached from the studio's machine.
    pub ports: bool,
}
