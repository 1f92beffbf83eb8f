//! `studio streams …`: work on streams without a server.

use std::{
    io::{self, BufWriter, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};
use studio_server::tools::{self, CopyProgress, CopyReport, DumpError, Place, Progress, ToolError};

use crate::show::out;

/// The exit code of what was done and found something wrong with the streams.
const NOT_SOUND: u8 = 3;
/// The exit code of what ctrl-c ended.
const INTERRUPTED: u8 = 130;
/// How often it is told how far something has come.
const TELL_EVERY: Duration = Duration::from_secs(1);
const A_DAY: u64 = 24 * 60 * 60;

/// Work on streams without a server.
#[derive(Subcommand)]
pub(crate) enum StreamsCommand {
    /// Read everything and tell whether it is sound; changes nothing
    ///
    /// Exit codes: 0 sound, 1 it could not be looked at (a server runs, no such directory),
    /// 3 something is wrong.
    Check {
        #[command(flatten)]
        of: DataDir,
    },
    /// Write the records of all streams to stdout, one JSON object a line; changes nothing
    ///
    /// Exit codes: as for check.
    Dump {
        /// Only the streams whose paths begin so: `session/`, `registry`
        #[arg(default_value = "")]
        prefix: String,
        #[command(flatten)]
        of: DataDir,
    },
    /// Give room that is not used any more back to the disk
    ///
    /// Exit codes: 0 done, 1 it could not be done. Ended in the middle, everything is as before.
    Compact {
        #[command(flatten)]
        of: DataDir,
    },
    /// Copy all streams from one place to another, and compare them at the end
    ///
    /// A place is a data directory, or the URL of a Durable Streams service whose id and secret
    /// are in the environment: FROM_DS_SERVICE_ID and FROM_DS_SECRET, TO_DS_SERVICE_ID and
    /// TO_DS_SECRET, or DS_SERVICE_ID and DS_SECRET for whichever is not set. No server may use
    /// either place meanwhile. Ended in the middle, the same command goes on where it was.
    ///
    /// Exit codes: 0 all is there and alike, 1 broken off, 3 some streams could not be copied or
    /// are not alike.
    Copy {
        /// Where the streams are
        #[arg(long, value_name = "DIR|URL")]
        from: String,
        /// Where they shall be
        #[arg(long, value_name = "DIR|URL")]
        to: String,
    },
    /// Print a token that opens /v1/stream of the server, all streams
    ///
    /// Made with the server's key: that of the data directory, or of STUDIO_TOKEN_KEY or
    /// DS_SECRET if the server has it from there. A new key in front of the old one and then
    /// without the old one revokes it.
    Token {
        /// How long it lasts, in days
        #[arg(long, default_value_t = 30, value_name = "DAYS",
              value_parser = clap::value_parser!(u64).range(1..=36_500))]
        days: u64,
        #[command(flatten)]
        of: DataDir,
    },
}

/// Whose streams.
#[derive(Args)]
pub(crate) struct DataDir {
    /// The server's data directory
    #[arg(long, env = "DATA_DIR", default_value = ".agent-studio", value_name = "DIR")]
    data_dir: PathBuf,
}

pub(crate) fn run(command: StreamsCommand) -> Result<ExitCode, ToolError> {
    match command {
        StreamsCommand::Check { of } => {
            let report = tools::check(&of.data_dir, &mut teller())?;
            out(report.to_string().trim_end());
            Ok(code(report.is_sound()))
        }
        StreamsCommand::Dump { prefix, of } => dump(&of.data_dir, &prefix),
        StreamsCommand::Compact { of } => {
            let compacted = tools::compact(&of.data_dir, &mut teller())?;
            let (before, after) = (compacted.bytes_before, compacted.bytes_after);
            let took = compacted.took.as_secs_f64();
            out(&format!("{} before, {} now ({took:.1} s)", size(before), size(after)));
            Ok(ExitCode::SUCCESS)
        }
        StreamsCommand::Copy { from, to } => copy(&from, &to),
        StreamsCommand::Token { days, of } => {
            let lifetime = Duration::from_secs(days * A_DAY);
            out(&tools::token(&of.data_dir, lifetime, variable)?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Tells on stderr how far something has come, now and then.
fn teller() -> impl FnMut(&Progress) {
    let mut told_at = Instant::now();
    let is_terminal = io::stderr().is_terminal();
    move |progress: &Progress| {
        if told_at.elapsed() < TELL_EVERY {
            return;
        }
        told_at = Instant::now();
        let line = format!("{}: {} rows", progress.step, progress.rows);
        // On a terminal in one place; in a file one line each.
        if is_terminal { eprint!("\r{line}\x1b[K\r") } else { eprintln!("{line}") }
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn code(is_sound: bool) -> ExitCode {
    if is_sound { ExitCode::SUCCESS } else { ExitCode::from(NOT_SOUND) }
}

fn dump(dir: &Path, prefix: &str) -> Result<ExitCode, ToolError> {
    let mut output = BufWriter::new(io::stdout().lock());
    let dumped = tools::dump(dir, prefix, &mut teller(), &mut output)
        .and_then(|dumped| Ok(output.flush().map(|()| dumped).map_err(DumpError::Write)?));
    let dumped = match dumped {
        // Whoever read it has seen enough.
        Err(ToolError::Dump(DumpError::Write(error)))
            if error.kind() == io::ErrorKind::BrokenPipe =>
        {
            return Ok(ExitCode::SUCCESS);
        }
        other => other?,
    };
    let (streams, records) = (dumped.streams, dumped.records);
    eprintln!("{records} records of {streams} streams");
    dumped.problems.iter().for_each(|problem| eprintln!("{problem}"));
    Ok(code(dumped.problems.is_empty()))
}

fn copy(from: &str, to: &str) -> Result<ExitCode, ToolError> {
    let from = Place::named(from, "FROM_", variable)?;
    let to = Place::named(to, "TO_", variable)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(ToolError::Runtime)?;
    let progress = Arc::new(CopyProgress::default());
    let copied = runtime.block_on(async {
        let copying = tools::copy(&from, &to, Arc::clone(&progress));
        tokio::pin!(copying);
        // One for all the time: a ctrl-c while something is told counts, too.
        let interrupt = tokio::signal::ctrl_c();
        tokio::pin!(interrupt);
        let mut tell = tokio::time::interval(TELL_EVERY);
        loop {
            tokio::select! {
                copied = &mut copying => return Some(copied),
                _ = &mut interrupt => return None,
                _ = tell.tick() => tell_copy(&progress),
            }
        }
    });
    // What is under way may wait for a disk or a network; nothing of it is needed.
    runtime.shutdown_background();
    let Some(copied) = copied else {
        eprintln!("broken off; the same command goes on where it ended");
        return Ok(ExitCode::from(INTERRUPTED));
    };
    let report = copied?;
    summary(&report);
    Ok(code(report.failures == 0))
}

fn tell_copy(progress: &CopyProgress) {
    let [streams, records, bytes] = [&progress.streams, &progress.records, &progress.bytes]
        .map(|figure| figure.load(Ordering::Relaxed));
    if 0 < records + streams {
        eprintln!("{streams} streams, {records} records, {}", size(bytes));
    }
}

fn summary(report: &CopyReport) {
    let CopyReport { streams, records, bytes, records_before, .. } = report;
    out(&format!("{streams} streams with {records} records ({}) are alike", size(*bytes)));
    out(&format!("{records_before} of the records were there before"));
    for (count, what) in [
        (report.left_out, "left out: they are made anew or belong to the place"),
        (report.gone, "gone meanwhile"),
    ] {
        if 0 < count {
            out(&format!("{count} {what}"));
        }
    }
    out(&format!("checksum {:032x}", report.checksum));
    for failure in &report.failed {
        eprintln!("{}: {}", failure.path, causes(&failure.error));
    }
    if 0 < report.failures {
        eprintln!("{} streams could not be copied", report.failures);
    }
}

/// `outer: inner: innermost`.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// `1.5 MiB`.
#[expect(clippy::cast_precision_loss, reason = "for people")]
fn size(bytes: u64) -> String {
    let mut size = bytes as f64;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        if size < 1024.0 {
            return if unit == "bytes" {
                format!("{bytes} bytes")
            } else {
                format!("{size:.1} {unit}")
            };
        }
        size /= 1024.0;
    }
    format!("{size:.1} TiB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        assert_eq!(size(1_023), "1023 bytes");
        assert_eq!(size(1_536), "1.5 KiB");
        assert_eq!(size(1 << 50), "1024.0 TiB");
    }
}
