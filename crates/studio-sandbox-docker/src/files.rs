use std::{iter, time::Duration};

use bytes::Bytes;
use studio_sandbox::{Command, ExecOutput, Exit, NewFile, Output, SandboxError, SandboxPath};

use crate::{engine::Engine, exec};

/// Longest transfer of files in one call.
const FILES_DEADLINE: Duration = Duration::from_secs(120);
/// Size of a tar block.
const BLOCK: usize = 512;

/// Unpacks as the sandbox's user: what the agent may not write, nobody writes for it, however its
/// symlinks lie. (The engine's own upload works as root and follows them.) Existing files are
/// replaced, missing directories made; times are those of the unpacking.
const UNPACK: &str = "cd / && exec tar -x -m -p -f -";

/// `$1` is the path, `$2` the most bytes that are wanted.
const READ: &str = r#"[ -e "$1" ] || exit 3
[ -f "$1" ] || exit 4
[ -r "$1" ] || exit 5
exec head -c "$2" <"$1""#;

pub(crate) async fn put(
    engine: &Engine,
    container: &str,
    files: Vec<NewFile>,
) -> Result<(), SandboxError> {
    let Some(first) = files.first() else { return Ok(()) };
    let path = match files.len() {
        1 => first.path.to_string(),
        n => format!("{} and {} more", first.path, n - 1),
    };
    let mut archive = Vec::new();
    for file in files {
        pack(file, &mut archive).map_err(|error| SandboxError::File {
            path: path.clone(),
            reason: format!("cannot be packed: {error}"),
        })?;
    }
    archive.push(Bytes::from_static(&[0; 2 * BLOCK]));
    let output = Output { deadline: FILES_DEADLINE, ..Output::default() };
    let command = Command::script(UNPACK, iter::empty::<String>());
    let done = exec::run(engine, container, command, archive, &output).await?;
    if done.exit.is_success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr);
    let said: String = said.trim_end().chars().take(500).collect();
    Err(SandboxError::File { path, reason: format!("could not be written: {said}") })
}

pub(crate) async fn read(
    engine: &Engine,
    container: &str,
    path: &SandboxPath,
    bytes_max: usize,
) -> Result<Bytes, SandboxError> {
    let wanted = bytes_max.saturating_add(1);
    let command = Command::script(READ, [path.to_string(), wanted.to_string()]);
    let output = Output { bytes_max: wanted, deadline: FILES_DEADLINE };
    let ExecOutput { exit, stdout, stderr, .. } =
        exec::run(engine, container, command, Vec::new(), &output).await?;
    let reason = match exit {
        Exit::Code(0) if stdout.len() <= bytes_max => return Ok(stdout),
        Exit::Code(0) => format!("is larger than {bytes_max} bytes"),
        Exit::Code(3) => "is not there".to_owned(),
        Exit::Code(4) => "is not a regular file".to_owned(),
        Exit::Code(5) => "may not be read by the sandbox's user".to_owned(),
        other @ (Exit::Code(_) | Exit::Unknown) => {
            format!("could not be read ({other}): {}", String::from_utf8_lossy(&stderr))
        }
    };
    Err(SandboxError::File { path: path.to_string(), reason })
}

/// One file as pieces of a tar archive; its content is not copied.
fn pack(file: NewFile, archive: &mut Vec<Bytes>) -> std::io::Result<()> {
    let relative = file.path.as_str().trim_start_matches('/');
    let mut header = tar::Header::new_gnu();
    if header.set_path(relative).is_err() {
        // Longer than a header holds: an entry of its own carries the name, as GNU tar has it.
        let mut name = relative.as_bytes().to_vec();
        name.push(0);
        let mut long = tar::Header::new_gnu();
        long.set_path("././@LongLink")?;
        long.set_entry_type(tar::EntryType::GNULongName);
        entry(long, name.into(), archive);
        let short: String = relative.chars().filter(char::is_ascii_alphanumeric).take(20).collect();
        header.set_path(short)?;
    }
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(file.mode & 0o777);
    entry(header, file.data, archive);
    Ok(())
}

fn entry(mut header: tar::Header, data: Bytes, archive: &mut Vec<Bytes>) {
    header.set_size(data.len() as u64);
    header.set_uid(1000);
    header.set_gid(1000);
    header.set_cksum();
    archive.push(Bytes::copy_from_slice(header.as_bytes()));
    let padding = data.len().next_multiple_of(BLOCK) - data.len();
    archive.push(data);
    archive.push(Bytes::from_static(&[0; BLOCK]).slice(..padding));
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_packed_file_is_what_tar_reads() {
        let long = format!("/home/agent/{}/x.txt", ["directory"; 30].join("/"));
        let data = [Bytes::new(), Bytes::from(vec![7; BLOCK]), Bytes::from_static(b"a\0b\n")];
        let paths = ["/home/agent/a b", "/home/agent/\u{fc}\u{2603}", long.as_str()];
        let mut archive = Vec::new();
        for (path, data) in paths.iter().zip(&data) {
            let path = path.parse().unwrap();
            pack(NewFile { path, data: data.clone(), mode: 0o104_755 }, &mut archive).unwrap();
        }
        archive.push(Bytes::from_static(&[0; 2 * BLOCK]));
        let bytes = archive.concat();
        let mut reader = tar::Archive::new(bytes.as_slice());
        let mut seen = 0;
        for (index, entry) in reader.entries().unwrap().enumerate() {
            let mut entry = entry.unwrap();
            assert_eq!(format!("/{}", entry.path().unwrap().display()), paths[index]);
            assert_eq!(entry.header().mode().unwrap(), 0o755, "no set-user-id bit travels");
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            assert_eq!(content, data[index]);
            seen += 1;
        }
        assert_eq!(seen, 3);
    }
}
