//! Finding and killing processes by a mark in their environment. Blocking: reads all of `/proc`.

use std::{
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// Between two looks at whether killed processes are gone.
const PAUSE: Duration = Duration::from_millis(5);

/// The start time of `pid` in ticks since boot; `None` when it is gone or only waits to be reaped.
pub(crate) fn born(pid: i32) -> Option<u64> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so the fields count from its end.
    let end = stat.iter().rposition(|&byte| byte == b')')?;
    let rest = String::from_utf8_lossy(stat.get(end + 1..)?);
    let mut fields = rest.split_ascii_whitespace();
    match fields.next()? {
        "Z" | "X" | "x" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

/// All processes whose environment holds `mark` (`NAME=value`), each with its start time.
fn marked(mark: &str) -> Vec<(i32, u64)> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        // What may not be read belongs to somebody else.
        let environ = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        let mut variables = environ.split(|&byte| byte == 0);
        variables.any(|variable| variable == mark.as_bytes()).then(|| Some((pid, born(pid)?)))?
    })
    .collect()
}

/// Kills everything that carries `mark`, again and again until nothing does. Returns what is left
/// after `patience`: nothing, unless a process cannot die.
pub(crate) fn sweep(mark: &str, patience: Duration) -> Vec<i32> {
    let end = Instant::now() + patience;
    // A process that ends loses its environment some time before it is gone.
    let mut ending = Vec::<(i32, u64)>::new();
    loop {
        let all = marked(mark);
        // One that was killed may have forked after it was listed: only a look that finds nothing
        // says that nothing is left.
        let nothing_new = all.is_empty();
        for found in all {
            // It may have ended between the look and the signal.
            kill(Pid::from_raw(found.0), Signal::SIGKILL).ok();
            if !ending.contains(&found) {
                ending.push(found);
            }
        }
        ending.retain(|&(pid, since)| born(pid) == Some(since));
        if (nothing_new && ending.is_empty()) || end <= Instant::now() {
            return ending.into_iter().map(|(pid, _since)| pid).collect();
        }
        thread::sleep(PAUSE);
    }
}
