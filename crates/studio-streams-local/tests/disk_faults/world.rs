//! One seed: lives of a store on a simulated disk, each with a fault and an end of its own, and
//! what must hold whatever happens.
//!
//! The store must show what the memory store shows after the same commands: all that were
//! answered, and of those that nobody knows of (they were under way when the life ended) as many
//! as come first. So nothing that was acknowledged is missing, nothing is there twice or in part,
//! and the order is kept. Every answer must be the memory store's, so what was fenced, closed or
//! deleted stays so.

use std::sync::Arc;

use studio_streams::{MemoryStreams, Offset, StreamPath, StreamStore};
use studio_streams_local::{LocalStreams, Options, engine::DiskEngine};

use super::{
    commands::{Command, Outcome, Source, View, in_full, is_made, look},
    disk::SimDisk,
    plan::{Plan, Tally},
    random::Random,
    watcher::Watcher,
};

const LIVES_MAX: u64 = 6;
const STEPS_MAX: u64 = 40;
/// Commands that are given at once, at most.
const GROUP_MAX: u64 = 6;
/// Room on the disk, in bytes, until a plan says otherwise.
const ROOM: u64 = 64 * 1024 * 1024;
/// Room that others leave on a full disk.
const ROOM_LEFT_MAX: u64 = 300 * 1024;

/// What a seed came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) commands: u64,
    pub(crate) unknown: u64,
    pub(crate) lives: u64,
    pub(crate) opens_failed: u64,
    pub(crate) blind: u64,
    pub(crate) disk: Tally,
}

impl Figures {
    pub(crate) fn add(&mut self, other: &Self) {
        self.commands += other.commands;
        self.unknown += other.unknown;
        self.lives += other.lives;
        self.opens_failed += other.opens_failed;
        self.blind += other.blind;
        self.disk.add(&other.disk);
    }
}

/// What is in the way of a store's promise.
pub(crate) type Violation = String;

struct World {
    random: Random,
    source: Source,
    disk: SimDisk,
    options: Options,
    /// Commands that were answered, in order.
    history: Vec<Command>,
    /// What a store is like that took them.
    model: MemoryStreams,
    /// Commands that may have been taken, all after the history.
    unknown: Vec<Command>,
    /// Before the first unknown command.
    reads_failed_before: u64,
    /// A command of the last step was refused because the disk is full.
    refused_for_room: bool,
    trace: Vec<String>,
    figures: Figures,
}

/// Runs a seed; on a violation says what it was and what led to it.
pub(crate) fn run(seed: u64) -> Result<Figures, (Violation, Vec<String>)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut world = World::new(seed);
    let result = runtime.block_on(world.run());
    let mut figures = world.figures;
    figures.disk = world.disk.tally();
    match result {
        Ok(()) => Ok(figures),
        Err(violation) => Err((violation, world.trace)),
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let options = Options {
            journal_bytes_max: random.pick(&[2_000, 20_000, 200_000]),
            cache_bytes: random.pick(&[0, 64 * 1024, 1024 * 1024]),
            reserve_bytes: random.pick(&[0, 0, 64 * 1024]),
            ring_frames_max: random.pick(&[2, 100]),
            ..Options::default()
        };
        let disk = SimDisk::new(random.fork(), ROOM);
        Self {
            source: Source::new(random.fork()),
            random,
            disk,
            options,
            history: Vec::new(),
            model: MemoryStreams::new(),
            unknown: Vec::new(),
            reads_failed_before: 0,
            refused_for_room: false,
            trace: Vec::new(),
            figures: Figures::default(),
        }
    }

    async fn run(&mut self) -> Result<(), Violation> {
        let lives = 1 + self.random.below(LIVES_MAX);
        for _ in 0..lives {
            self.live().await?;
            let wrong = self.disk.wrong();
            if !wrong.is_empty() {
                return Err(wrong.join("; "));
            }
        }
        // Nothing goes wrong any more: everything must be there, and the store must write on.
        self.disk.set_room(ROOM);
        let store = self.open().await?.ok_or("a disk without faults could not be opened")?;
        self.find_out(&store).await?;
        for _ in 0..5 {
            self.step(&store, &mut Watcher::default()).await?;
        }
        if !self.unknown.is_empty() {
            return Err("a write failed on a disk without faults".to_owned());
        }
        store.stop().await;
        self.disk.stopped();
        let store = self.open().await?.ok_or("a disk without faults could not be opened")?;
        self.find_out(&store).await?;
        store.stop().await;
        Ok(())
    }

    fn say(&mut self, what: impl Into<String>) {
        self.trace.push(what.into());
    }

    /// A plan with at most one kind of fault, within about so many operations.
    fn plan(&mut self, within: u64) -> Plan {
        let at = Some(1 + self.random.below(within));
        let mut plan = Plan { stays: self.random.chance(50), ..Plan::default() };
        match self.random.below(12) {
            0..5 => plan.cut_at = at,
            5..7 => plan.sync_fails_at = at,
            7 => plan.write_fails_at = at,
            8 => plan.read_fails_at = at,
            9..11 => plan.full_at = at.map(|at| (at, self.random.below(ROOM_LEFT_MAX))),
            _ => {}
        }
        plan
    }

    /// From an open to the end of a life.
    async fn live(&mut self) -> Result<(), Violation> {
        self.figures.lives += 1;
        if self.random.chance(30) {
            let plan = self.plan(30);
            self.say(format!("it opens with {plan:?}"));
            self.disk.plan(plan);
        }
        let before = self.disk.tally();
        let Some(store) = self.open().await? else {
            self.figures.opens_failed += 1;
            if self.disk.is_powered() && faults(&before) == faults(&self.disk.tally()) {
                return Err("a disk without faults could not be opened".to_owned());
            }
            self.disk.set_room(ROOM);
            self.end(None).await;
            return Ok(());
        };
        if self.disk.is_powered() {
            self.disk.plan(Plan::default());
            self.disk.set_room(ROOM);
            // A failed operation that the open survived may show only now.
            if faults(&before) == faults(&self.disk.tally()) {
                self.find_out(&store).await?;
                let plan = self.plan(150);
                self.say(format!("it lives with {plan:?}"));
                self.disk.plan(plan);
                self.steps(&store).await?;
            }
        }
        self.end(Some(store)).await;
        Ok(())
    }

    async fn open(&mut self) -> Result<Option<LocalStreams>, Violation> {
        let (files, options) = (self.disk.files(), self.options.clone());
        let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            DiskEngine::over(files, &options)
        }));
        let opened = opened.map_err(|_panic| "the open panicked")?;
        let store = match opened {
            Ok(engine) => {
                LocalStreams::over(Arc::new(engine), &self.options).map_err(|error| in_full(&error))
            }
            Err(error) => Err(in_full(&error)),
        };
        match store {
            Ok(store) => Ok(Some(store)),
            // How the engine tells of a panic.
            Err(error) if error.contains("a page cannot be read") => {
                Err(format!("the open panicked: {error}"))
            }
            Err(error) => {
                self.say(format!("it does not open: {error}"));
                Ok(None)
            }
        }
    }

    async fn steps(&mut self, store: &LocalStreams) -> Result<(), Violation> {
        let faults_before = faults(&self.disk.tally());
        let mut watcher = Watcher::default();
        let steps = 1 + self.random.below(STEPS_MAX);
        for _ in 0..steps {
            let went_on = self.step(store, &mut watcher).await?;
            if !self.disk.is_powered() {
                break;
            }
            let faulty = faults_before != faults(&self.disk.tally());
            if !went_on {
                if !faulty && !self.refused_for_room {
                    return Err("a write failed on a disk without faults".to_owned());
                }
                self.after_a_failure(store, &mut watcher).await?;
                break;
            }
        }
        // What was seen by who follows must be there for good.
        watcher.check(&self.model).await
    }

    /// One command, or some at once. Says whether all were answered.
    async fn step(
        &mut self,
        store: &LocalStreams,
        watcher: &mut Watcher,
    ) -> Result<bool, Violation> {
        if self.random.chance(4) {
            let path = self.source.path();
            watcher.follow(store, path).await;
        }
        if self.random.chance(4) {
            let compacted = store.compact().await.map(drop);
            let compacted = compacted.map_err(|error| in_full(&error));
            self.say(format!("compact -> {compacted:?}"));
            // It may want more room than there is; appends may still find enough.
            if compacted.is_err()
                && let Err(error) = store.ready().await
            {
                self.refused_for_room = is_for_room(&error.to_string());
                return Ok(false);
            }
        }
        let count = if self.random.chance(25) { 2 + self.random.below(GROUP_MAX - 1) } else { 1 };
        let commands: Vec<_> = (0..count).map(|_| self.source.command()).collect();
        let outcomes = self.give(store, &commands).await;
        let mut went_on = true;
        self.refused_for_room = false;
        for (command, outcome) in commands.into_iter().zip(outcomes) {
            self.say(format!("{} -> {outcome:?}", command.short()));
            self.figures.commands += 1;
            went_on &= matches!(outcome, Outcome::Answered(_));
            self.refused_for_room |=
                matches!(&outcome, Outcome::Refused(reason) if is_for_room(reason));
            if let Command::Delete(path) | Command::Create(path, _) = &command
                && outcome.changes()
            {
                watcher.forget(path);
            }
            self.take(command, outcome).await?;
        }
        if went_on {
            watcher.catch_up(&self.model).await?;
        }
        Ok(went_on)
    }

    /// Gives these to the store at once; the committer takes them together.
    async fn give(&mut self, store: &LocalStreams, commands: &[Command]) -> Vec<Outcome> {
        let (first, rest) = commands.split_first().unwrap();
        if rest.is_empty() {
            return vec![first.clone().send(store).await];
        }
        // The first one is held at its sync until the others wait.
        let hold = self.disk.hold_next_sync();
        let mut first = Box::pin(first.clone().send(store));
        let early = tokio::select! {
            biased;
            outcome = &mut first => Some(outcome),
            () = hold.reached() => None,
        };
        let mut rest: Vec<_> =
            rest.iter().map(|command| Box::pin(command.clone().send(store))).collect();
        let mut early_rest = Vec::new();
        for future in &mut rest {
            early_rest.push(futures_now(future.as_mut()));
        }
        drop(hold);
        let mut outcomes = vec![match early {
            Some(outcome) => outcome,
            None => first.await,
        }];
        for (future, early) in rest.into_iter().zip(early_rest) {
            outcomes.push(match early {
                Some(outcome) => outcome,
                None => future.await,
            });
        }
        outcomes
    }

    async fn take(&mut self, command: Command, outcome: Outcome) -> Result<(), Violation> {
        match outcome {
            Outcome::Answered(words) if !self.unknown.is_empty() => {
                // What the rules refuse is refused also then.
                match Outcome::Answered(words).changes() {
                    true => Err("something was written after a write had failed".to_owned()),
                    false => Ok(()),
                }
            }
            Outcome::Answered(words) => {
                let expected = command.clone().send(&self.model).await;
                let outcome = Outcome::Answered(words);
                if outcome != expected {
                    return Err(format!("the memory store says {expected:?}"));
                }
                if let (Command::Create(path, _), true) = (&command, is_made(&outcome)) {
                    self.source.forget(path);
                }
                self.history.push(command);
                Ok(())
            }
            Outcome::Refused(_) => Ok(()),
            Outcome::Unknown(words)
                if words.contains("panic") || words.contains("ended before") =>
            {
                Err(format!("a thread of the store is gone: {words}"))
            }
            Outcome::Unknown(_) => {
                self.figures.unknown += 1;
                self.unknown.push(command);
                Ok(())
            }
        }
    }

    /// The views that a store may have now, each with the unknown commands that it took then: the
    /// first few. Where reads fail a command may fail by itself, and what came with it is taken.
    async fn candidates(&self) -> Vec<(View, Vec<Command>)> {
        let count = self.unknown.len();
        let choices: Vec<u64> = if self.disk.tally().failed_reads == self.reads_failed_before {
            (0..=count).map(|taken| (1 << taken) - 1).collect()
        } else {
            (0..1 << count).collect()
        };
        let mut candidates = Vec::new();
        for choice in choices {
            let taken = self.unknown.iter().enumerate().filter(|(at, _)| choice & (1 << at) != 0);
            let taken: Vec<Command> = taken.map(|(_, command)| command.clone()).collect();
            let model = MemoryStreams::new();
            for command in self.history.iter().chain(&taken) {
                command.clone().send(&model).await;
            }
            candidates.push((look(&model).await.unwrap(), taken));
        }
        candidates
    }

    /// Finds out what became of the unknown commands; the view must be one that can be.
    async fn find_out(&mut self, store: &LocalStreams) -> Result<(), Violation> {
        let view =
            look(store).await.map_err(|error| format!("it cannot be read: {}", in_full(&error)))?;
        let mut candidates = self.candidates().await;
        // The longest: a command that changes nothing to be seen counts as taken.
        let Some(found) = candidates.iter().rposition(|(candidate, _)| *candidate == view) else {
            return Err(difference(&view, &candidates[0].0, self.unknown.len()));
        };
        let (_, taken) = candidates.swap_remove(found);
        if !self.unknown.is_empty() {
            let count = self.unknown.len();
            self.say(format!("of {count} unknown commands {} were taken", taken.len()));
        }
        self.unknown.clear();
        self.reads_failed_before = self.disk.tally().failed_reads;
        for command in taken {
            let outcome = command.clone().send(&self.model).await;
            if let (Command::Create(path, _), true) = (&command, is_made(&outcome)) {
                self.source.forget(path);
            }
            self.history.push(command);
        }
        Ok(())
    }

    /// A write failed or was refused, and the power is on.
    async fn after_a_failure(
        &mut self,
        store: &LocalStreams,
        watcher: &mut Watcher,
    ) -> Result<(), Violation> {
        let tally = self.disk.tally();
        self.disk.pause_plan();
        let ready = store.ready().await.map_err(|error| in_full(&error));
        self.say(format!("after a failure: {ready:?}"));
        match look(store).await {
            Ok(view) => {
                let candidates = self.candidates().await;
                if !candidates.iter().any(|(candidate, _)| *candidate == view) {
                    return Err(difference(&view, &candidates[0].0, self.unknown.len()));
                }
            }
            Err(error) => {
                self.say(format!("it cannot be read: {}", in_full(&error)));
                self.figures.blind += 1;
                if tally.failed_reads == self.reads_failed_before {
                    return Err(format!("it cannot be read: {}", in_full(&error)));
                }
            }
        }
        self.disk.set_room(ROOM);
        let ready = store.ready().await.map_err(|error| in_full(&error));
        self.say(format!("with room again: {ready:?}"));
        match ready {
            Ok(())
                if !self.unknown.is_empty() && tally.failed_reads == self.reads_failed_before =>
            {
                Err("it would write on after a failed write".to_owned())
            }
            Ok(()) if self.unknown.is_empty() => {
                for _ in 0..3 {
                    if !self.step(store, watcher).await? {
                        return Err("it does not write on when there is room again".to_owned());
                    }
                }
                Ok(())
            }
            Ok(()) => Ok(()),
            Err(reason) if is_for_room(&reason) => {
                Err("it takes the disk for full when there is room again".to_owned())
            }
            Err(_for_good) => Ok(()),
        }
    }

    async fn end(&mut self, store: Option<LocalStreams>) {
        let stopped = self.disk.is_powered() && store.is_some() && self.random.chance(25);
        if !stopped {
            self.disk.freeze();
        }
        if let Some(store) = store {
            store.stop().await;
        }
        // Also a stop may have run into the power cut of its plan.
        if stopped && self.disk.is_powered() {
            self.say("it is stopped");
            self.disk.stopped();
        } else if self.random.chance(70) {
            self.say("the power is cut");
            self.disk.cut();
        } else {
            self.say("the process is killed");
            self.disk.kill();
        }
    }
}

/// Whether the store takes no appends until there is room, and takes them then.
fn is_for_room(reason: &str) -> bool {
    reason.contains("no appends: the disk is full")
}

/// Faults so far.
fn faults(tally: &Tally) -> u64 {
    tally.failed_reads + tally.failed_syncs + tally.failed_writes + tally.no_room
}

/// What this future gives at once, if it does.
fn futures_now<F: Future>(future: std::pin::Pin<&mut F>) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match future.poll(&mut context) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

fn difference(found: &View, expected: &View, unknown: usize) -> Violation {
    let mut text = format!("it shows what cannot be ({unknown} unknown commands)");
    let paths: std::collections::BTreeSet<&StreamPath> =
        found.keys().chain(expected.keys()).collect();
    for path in paths {
        let short = |view: &View| {
            view.get(path).map(|(head, records)| {
                let ends = records.iter().map(|(end, data)| {
                    let text = String::from_utf8_lossy(data);
                    format!("{}@{end}", text.trim_end_matches(['x', '"']).trim_start_matches('"'))
                });
                (head.clone(), ends.collect::<Vec<_>>().join(" "))
            })
        };
        if found.get(path) != expected.get(path) {
            text += &format!(
                "\n  {path}: found {:?}\n    at least {:?}",
                short(found),
                short(expected)
            );
        }
    }
    text
}

/// For the watcher: all records of a stream.
pub(crate) async fn records(
    store: &dyn StreamStore,
    path: &StreamPath,
) -> Option<Vec<(Offset, bytes::Bytes)>> {
    look(store).await.ok()?.remove(path).map(|(_, records)| records)
}
