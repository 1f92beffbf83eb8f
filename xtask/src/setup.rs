//! What the tests need of a machine, installed where it is missing. Each step first looks whether
//! there is anything to do, so that a second run takes about a second.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::machine::{
    cache_dir, engine_socket, has_program, is_debian, is_root, ping_engine, pinned, root,
};
use crate::node;
use crate::python;
use crate::step::{Done, run_quietly, step};

/// A program that the tests or the image recipes start, and the Debian package that has it.
const PROGRAMS: &[(&str, &str)] = &[
    ("git", "git"),
    ("tar", "tar"),
    ("bwrap", "bubblewrap"),
    ("mmdebstrap", "mmdebstrap"),
    ("setsid", "util-linux"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("openssl", "openssl"),
    ("python3", "python3"),
    ("pip3", "python3-pip"),
    ("curl", "curl"),
    ("docker", "docker.io"),
];

/// The version of the crate `durable-streams`.
const RUST_SERVER: &str = "0.1.5";

/// How long an engine may take to answer after its start.
const ENGINE_DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn run() -> Done {
    let start = Instant::now();
    step("system packages", packages)?;
    step("Docker engine", engine)?;
    let claude = step("Claude Code", claude)?;
    step("sandbox images", || images(&claude))?;
    step("npm packages", node::packages)?;
    step("Python packages", python::packages)?;
    println!("==> setup: ready after {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}

/// What only the benchmarks need: the official Rust server of the streams' protocol, to be measured
/// beside. `contestant.rs` of the benchmark looks in the same place.
pub(crate) fn for_bench() -> Done {
    step("the official Rust server of Durable Streams", || {
        let root = cache_dir()?.join("durable-streams");
        if root.join("bin/durable-streams-server").is_file() {
            return Ok(());
        }
        println!("    installing durable-streams {RUST_SERVER}");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["install", "--quiet", "--locked", "durable-streams", "--version", RUST_SERVER]);
        run_quietly(cargo.arg("--root").arg(root)).map(drop)
    })
}

fn packages() -> Done {
    let mut missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !has_program(program))
        .map(|(_, package)| *package)
        .collect();
    // A client may be here without an engine, and a busybox that is not static is of no use.
    if ping_engine().is_err() && !has_program("dockerd") && !missing.contains(&"docker.io") {
        missing.push("docker.io");
    }
    if is_debian() && !has_package("busybox-static") {
        missing.push("busybox-static");
    }
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if !is_debian() {
        return Err(format!(
            "these are missing (under the names of Debian's packages): {list}. \
             Install them with this system's package manager, then run this again"
        ));
    }
    if !is_root() {
        return Err(format!(
            "missing: {list}. Run `sudo apt-get install {list}`, then run this again"
        ));
    }
    println!("    installing {list}");
    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
        apt
    };
    run_quietly(apt().arg("update"))?;
    run_quietly(apt().args(["install", "--yes", "--no-install-recommends"]).args(&missing))?;
    Ok(())
}

fn has_package(name: &str) -> bool {
    let status =
        run_quietly(Command::new("dpkg-query").args(["-W", "-f=${db:Status-Abbrev}", name]));
    status.is_ok_and(|status| status.starts_with("ii"))
}

fn engine() -> Done {
    let Err(error) = ping_engine() else { return Ok(()) };
    let socket = engine_socket();
    if error.kind() == std::io::ErrorKind::PermissionDenied {
        return Err(format!(
            "no leave to use {}: `sudo usermod -aG docker $USER`, log in again, run this again",
            socket.display()
        ));
    }
    if !is_root() {
        return Err(format!(
            "no Docker engine answers at {} ({error}): start it (`sudo systemctl start docker`), \
             then run this again",
            socket.display()
        ));
    }
    if std::env::var_os("DOCKER_HOST").is_some() {
        return Err(format!("no Docker engine answers at DOCKER_HOST ({error})"));
    }
    // Where services are started by an init system, the package's installation just did that.
    if Path::new("/run/systemd/system").exists() {
        run_quietly(Command::new("systemctl").args(["start", "docker"]))?;
        return wait_for_engine(|| "see `journalctl -u docker`".to_owned());
    }
    let log = cache_dir()?.join("dockerd.log");
    println!("    starting dockerd (log: {})", log.display());
    let place = |error: std::io::Error| format!("{}: {error}", log.display());
    std::fs::create_dir_all(cache_dir()?).map_err(place)?;
    let to_log = std::fs::File::create(&log).map_err(place)?;
    let errors = to_log.try_clone().map_err(place)?;
    // In a session of its own, so that it outlives this command and its terminal.
    Command::new("setsid")
        .args(["--fork", "dockerd"])
        .stdin(Stdio::null())
        .stdout(to_log)
        .stderr(errors)
        .status()
        .map_err(|error| format!("setsid dockerd: {error}"))?;
    wait_for_engine(|| {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    })
}

fn wait_for_engine(why: impl FnOnce() -> String) -> Done {
    let start = Instant::now();
    while let Err(error) = ping_engine() {
        if start.elapsed() > ENGINE_DEADLINE {
            return Err(format!("the Docker engine does not answer ({error}):\n{}", why()));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// The native program out of its npm package; npm itself runs nothing of it.
fn claude() -> Done<PathBuf> {
    let version = pinned("CLAUDE_VERSION")?;
    let agents = cache_dir()?.join("agents");
    let program = agents.join(format!("claude-{version}/claude"));
    if program.is_file() {
        return Ok(program);
    }
    let arch = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => return Err(format!("Claude Code has no program for {other}")),
    };
    let package = format!("@anthropic-ai/claude-code-linux-{arch}@{version}");
    println!("    fetching {package}");
    let fail = |error: std::io::Error| format!("{}: {error}", agents.display());
    let part = agents.join(format!("part-{}", std::process::id()));
    std::fs::create_dir_all(&part).map_err(fail)?;
    let fetched = fetch(&package, &part).and_then(|file| {
        let dir = agents.join(format!("claude-{version}"));
        std::fs::create_dir_all(&dir).map_err(fail)?;
        // Renamed when whole: an interrupted download is never taken for the program.
        std::fs::rename(file, &program).map_err(fail)
    });
    std::fs::remove_dir_all(&part).map_err(fail)?;
    fetched.map(|()| program)
}

fn fetch(package: &str, part: &Path) -> Done<PathBuf> {
    let packed =
        run_quietly(Command::new("npm").args(["pack", "--silent", package]).current_dir(part))?;
    let archive = packed.lines().last().unwrap_or_default();
    run_quietly(Command::new("tar").args(["-xzf", archive, "package/claude"]).current_dir(part))?;
    let program = part.join("package/claude");
    run_quietly(Command::new("chmod").arg("755").arg(&program))?;
    Ok(program)
}

fn images(claude: &Path) -> Done {
    let recipes = root().join("sandbox-image");
    let recipe = |name: &str| {
        let mut bash = Command::new("bash");
        bash.arg(recipes.join(name));
        bash
    };
    // As root on Debian no container registry is needed; elsewhere the Dockerfile makes the same.
    if is_root() && is_debian() {
        say(&run_quietly(recipe("build-agent-image.sh").arg("--claude").arg(claude))?);
    } else {
        let tag = format!("agent-studio-agent:{}", run_quietly(&mut recipe("tag.sh"))?);
        if run_quietly(Command::new("docker").args(["image", "inspect", &tag])).is_err() {
            run_quietly(Command::new("docker").args(["build", "--tag", &tag]).arg(&recipes))?;
        }
        say(&tag);
    }
    say(&run_quietly(&mut recipe("build-scripted-image.sh"))?);
    say(&run_quietly(recipe("build-test-image.sh").args(["--with", "bash,git"]))?);
    Ok(())
}

fn say(line: &str) {
    println!("    {line}");
}
