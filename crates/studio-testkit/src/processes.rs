use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The processes that work below `dir`: `dir` stands in their command line, or they sit in it, or
/// it is mounted for them (a jail). For tests that assert that nothing is left running.
///
/// `dir` should be a fresh temporary directory, so that no stranger is meant.
#[must_use]
pub fn processes_under(dir: &Path) -> Vec<i32> {
    let Ok(list) = std::fs::read_dir("/proc") else { return Vec::new() };
    list.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| u32::try_from(*pid).is_ok_and(|pid| pid != std::process::id()))
        .filter(|pid| works_under(*pid, dir))
        .collect()
}

/// Ends what [`processes_under`] finds. New ones may be born meanwhile, and on a busy machine one
/// that was killed is there a while longer: it looks until nothing is left, five seconds at most.
pub(crate) fn kill_under(dir: &Path) {
    for _ in 0..250 {
        let found = processes_under(dir);
        if found.is_empty() {
            return;
        }
        for pid in found {
            // Fails for a process that is gone already, which is what is wanted.
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

fn works_under(pid: i32, dir: &Path) -> bool {
    let proc = Path::new("/proc").join(pid.to_string());
    // A zombie has no command line any more and only waits for its parent.
    let Ok(command) = std::fs::read(proc.join("cmdline")) else { return false };
    if command.is_empty() {
        return false;
    }
    names(&command, dir)
        || std::fs::read_link(proc.join("cwd")).is_ok_and(|cwd| cwd.starts_with(dir))
        || jailed(&proc) && std::fs::read(proc.join("mountinfo")).is_ok_and(|all| names(&all, dir))
}

/// Whether the process has mounts of its own: what is mounted for everybody tells nothing.
fn jailed(proc: &Path) -> bool {
    let mounts = |proc: &Path| std::fs::read_link(proc.join("ns/mnt")).ok();
    mounts(proc) != mounts(Path::new("/proc/self"))
}

/// Whether `dir` or something below it stands in the text; `/tmp/ab` does not name `/tmp/a`.
fn names(text: &[u8], dir: &Path) -> bool {
    let dir = dir.as_os_str().as_encoded_bytes();
    let starts = text.windows(dir.len().max(1)).enumerate().filter(|(_, part)| *part == dir);
    starts
        .map(|(at, _)| text.get(at + dir.len()))
        .any(|next| next.is_none_or(|next| !next.is_ascii_alphanumeric() && !b"-_.".contains(next)))
}
