//! The tests that every provider passes. [`crate::contract_tests!`] makes one test of each.
//!
//! They need nothing inside but a POSIX shell with the usual small programs, in the kind of
//! busybox. Each makes its own sandbox and removes it, also when it fails.

#![expect(clippy::unwrap_used, reason = "this module is made of tests")]

pub mod commands;
pub mod files;
pub mod journal;
pub mod leases;
pub mod lifecycle;
pub mod relay;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use studio_ids::SessionId;

use crate::{
    Command, ExecOutput, Limits, Output, ProgressSink, Sandbox, SandboxError, SandboxProvider,
    SandboxSpec,
};

/// Makes the contract's tests for a provider. Given the name of an
/// `async fn() -> Arc<dyn SandboxProvider>`; the crate needs tokio with its macros.
#[macro_export]
macro_rules! contract_tests {
    ($provider:path) => {
        $crate::contract_tests! { @each $provider;
            lifecycle: {
                a_new_sandbox_runs_commands_in_its_home,
                a_session_has_one_sandbox,
                a_sandbox_is_found_again,
                what_is_gone_is_gone_for_good,
                what_never_was_is_removed_without_complaint,
                a_creation_that_is_dropped_leaves_nothing,
                abilities_say_what_holds,
                processes_of_another_sandbox_are_not_seen,
                files_of_another_sandbox_are_not_read,
                the_servers_environment_stays_outside,
                ports_inside_are_reached_from_outside,
                many_verbs_at_once_do_not_mix,
            }
            leases: {
                an_older_lease_removes_nothing_of_a_newer_one,
                a_newer_lease_removes_what_an_older_one_made,
                a_run_that_is_ruled_out_is_never_started,
                two_servers_at_once_leave_the_newer_ones,
            }
            commands: {
                hostile_arguments_arrive_untouched,
                input_arrives_to_its_end,
                environment_and_directory_are_as_asked,
                exit_codes_and_signals_are_told,
                output_over_the_limit_is_dropped,
                a_deadline_kills_the_program,
                a_program_that_is_not_there_is_not_started,
                a_spawned_program_talks_both_ways,
                a_spawned_program_that_is_dropped_ends,
                output_of_a_spawned_program_waits_for_its_reader,
                a_detached_program_goes_on_alone,
            }
            files: {
                bytes_come_back_as_they_went_in,
                odd_names_are_only_names,
                large_files_go_in_and_out,
                modes_and_owner_are_those_of_the_user,
                a_file_is_replaced,
                what_cannot_be_read_says_why,
                a_link_leads_nowhere_outside,
            }
            journal: {
                a_process_is_followed_to_its_end,
                a_process_is_never_started_twice,
                a_program_that_is_not_there_leaves_no_run,
                arguments_environment_and_directory_reach_the_process,
                lines_go_on_at_any_offset,
                lines_arrive_soon,
                a_last_line_without_a_break_arrives,
                lines_over_the_limit_are_cut,
                binary_lines_arrive_untouched,
                input_is_written_once,
                large_input_arrives_whole,
                input_that_is_not_read_times_out_and_arrives_later,
                input_to_an_ended_process_is_refused,
                two_readers_hear_the_same,
                signals_reach_the_whole_group,
                stopping_leaves_nothing,
                stopping_escalates,
                killing_children_spares_the_process,
                errors_are_kept,
                a_run_is_removed_only_after_its_end,
                a_process_survives_its_handle_and_its_provider,
            }
            relay: {
                what_is_asked_inside_is_answered,
                bad_requests_are_refused_inside,
                requests_wait_while_the_studio_is_away,
                a_request_without_a_client_is_dropped,
                a_lost_link_is_told,
            }
        }
    };
    (@each $provider:path; $($group:ident: { $($test:ident,)* })*) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                $crate::contract::$group::$test($provider().await).await;
            }
        )*)*
    };
}

/// How long something may take that has no event to wait for.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is asked for of the contract's sandboxes.
pub fn spec() -> SandboxSpec {
    SandboxSpec {
        session: SessionId::random(),
        project: "app".parse().unwrap(),
        env: BTreeMap::from([("STUDIO_TEST".to_owned(), "from the spec".to_owned())]),
        limits: Limits { memory_bytes: 512 * 1024 * 1024, cpus: 1.0, pids: 256 },
        ports: vec![],
        lease: 0,
    }
}

/// Listens to no progress.
pub fn silence() -> ProgressSink {
    Arc::new(|_progress| ())
}

/// Runs `test` with a new sandbox, removes it, and only then lets a failure out.
async fn with_sandbox<F>(
    provider: Arc<dyn SandboxProvider>,
    spec: SandboxSpec,
    test: impl FnOnce(Arc<dyn Sandbox>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let session = spec.session;
    let sandbox = match provider.create(&spec, silence()).await {
        Ok(sandbox) => sandbox,
        Err(error) => panic!("no sandbox: {}", causes(&error)),
    };
    let tested = tokio::spawn(test(sandbox)).await;
    let removed = provider.destroy_session(session).await;
    if let Err(failed) = tested {
        std::panic::resume_unwind(failed.into_panic());
    }
    removed.unwrap();
}

/// `outer: inner: innermost`.
fn causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |&error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Runs `command` with the usual limits.
async fn run(sandbox: &dyn Sandbox, command: Command) -> Result<ExecOutput, SandboxError> {
    sandbox.exec(command, Bytes::new(), Output::default()).await
}

/// What a script that must succeed prints.
async fn said(
    sandbox: &dyn Sandbox,
    script: &'static str,
    arguments: impl IntoIterator<Item = &str>,
) -> String {
    match run(sandbox, Command::script(script, arguments)).await.and_then(|o| o.success(script)) {
        Ok(output) => output.text(),
        Err(error) => panic!("{}", causes(&error)),
    }
}

/// Asks again and again until `is_so`, for what the outside tells by no event.
async fn until<F>(what: &str, mut is_so: impl FnMut() -> F)
where
    F: Future<Output = bool>,
{
    let start = Instant::now();
    while !is_so().await {
        assert!(start.elapsed() < PATIENCE, "waited {PATIENCE:?} until {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
