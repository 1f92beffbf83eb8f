//! The real sources of publishing and following (`src/live.rs`, `src/follow.rs`), run by shuttle
//! in many orders of their steps: no follower misses a record or gets one twice, each hears of the
//! end, nobody waits for ever, and nothing is left behind.
//!
//! `STREAMS_MODEL_SCHEDULES=100000` runs other than 1,000 orders of each scene and scheduler.
#![allow(clippy::unwrap_used, clippy::print_stdout)] // A test: it panics, and it tells.

#[path = "../src/follow.rs"]
#[allow(dead_code)]
mod follow;
#[path = "../src/live.rs"]
#[allow(dead_code)]
mod live;
#[path = "follow_model/store.rs"]
mod store;
#[path = "follow_model/sync.rs"]
mod sync;

use std::{sync::Arc, time::Instant};

use studio_streams::{FollowSource, Offset, StreamError};
use studio_streams_local::{Options, engine};

use engine::Place;
use store::{LocalStreams, Step};

/// Takes the place of `src/expiry.rs`.
mod expiry {
    pub(crate) struct Hold;
}

/// How a follower ended.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    /// It left by itself.
    Left,
    Closed,
    NotFound,
    Stopped,
}

/// A scene: what the committer does, and who follows meanwhile.
#[derive(Clone)]
struct Scene {
    name: &'static str,
    steps: Vec<Step>,
    page_bytes: usize,
    ring_frames_max: usize,
    followers: Vec<(Place, Option<u64>)>,
}

/// Follows from `place`, until the end or until `leave_at` was reached.
async fn follow(store: LocalStreams, place: Place, leave_at: Option<u64>) -> (u64, Ending) {
    let mut follow = match store.follow(place).await {
        Ok(follow) => follow,
        Err(error) => return (0, ending(&error)),
    };
    let mut at = follow.place;
    loop {
        if leave_at.is_some_and(|leave_at| leave_at <= at) {
            return (at, Ending::Left);
        }
        match follow.next().await {
            Ok(Some(frames)) => {
                for frame in frames.iter() {
                    at += 1;
                    assert_eq!(*frame.offset(), Offset::Position(at), "a gap, or twice");
                    assert_eq!(*frame.data(), LocalStreams::record(at));
                }
            }
            Ok(None) => return (at, Ending::Closed),
            Err(error) => return (at, ending(&error)),
        }
    }
}

fn ending(error: &StreamError) -> Ending {
    if matches!(error, StreamError::NotFound { .. }) {
        return Ending::NotFound;
    }
    assert!(matches!(error, StreamError::Failed { .. }), "{error}");
    Ending::Stopped
}

impl Scene {
    /// One order of its steps.
    fn play(&self) {
        let store = LocalStreams::new(self.page_bytes, self.ring_frames_max);
        let followers: Vec<_> = self
            .followers
            .iter()
            .map(|(place, leave_at)| {
                let follow = follow(store.clone(), *place, *leave_at);
                shuttle::thread::spawn(move || shuttle::future::block_on(follow))
            })
            .collect();
        store.run(&self.steps);
        let written = self.steps.iter().map(|step| match step {
            Step::Append(count) | Step::Close(count) => *count,
            Step::Delete | Step::Stop | Step::Rest => 0,
        });
        let written: u64 = written.sum();
        let expected = self.steps.iter().find_map(|step| match step {
            Step::Close(_) => Some(Ending::Closed),
            Step::Delete => Some(Ending::NotFound),
            Step::Stop => Some(Ending::Stopped),
            Step::Append(_) | Step::Rest => None,
        });
        for follower in followers {
            let (at, ending) = follower.join().unwrap();
            if ending == Ending::Closed {
                assert_eq!(at, written, "closed before everything was there");
            }
            assert!(ending == Ending::Left || Some(&ending) == expected.as_ref(), "{ending:?}");
        }
        assert_eq!(store.hub.followed(), 0, "a stream that nobody follows is kept");
    }
}

fn scenes() -> Vec<Scene> {
    use Step::{Append, Close, Delete, Rest, Stop};
    let (start, now) = (Place::Start, Place::End);
    let scene = |name, steps: &[Step], ring_frames_max, followers: &[(Place, Option<u64>)]| Scene {
        name,
        steps: steps.to_vec(),
        page_bytes: 2,
        ring_frames_max,
        followers: followers.to_vec(),
    };
    vec![
        scene(
            "followers that come at any time get every record once",
            &[Append(1), Append(2), Append(1)],
            100,
            &[(start, Some(4)), (start, Some(4))],
        ),
        scene(
            "who falls out of the ring reads pages and comes back",
            &[Append(1), Append(3), Append(1), Append(2)],
            1,
            &[(start, Some(7)), (start, Some(7)), (start, Some(3))],
        ),
        scene(
            "a ring that is freed meanwhile takes nothing away",
            &[Append(1), Rest, Append(1), Rest, Rest, Append(1)],
            100,
            &[(start, Some(3)), (start, Some(2))],
        ),
        scene(
            "who leaves leaves nothing behind and takes nothing from others",
            &[Append(1), Append(1), Append(1)],
            100,
            &[(start, Some(1)), (start, Some(1)), (start, Some(3)), (start, Some(0))],
        ),
        scene(
            "the end is heard after the last record",
            &[Append(1), Append(1), Close(1)],
            100,
            &[(start, None), (now, None)],
        ),
        scene(
            "the end alone is heard",
            &[Append(1), Close(0)],
            1,
            &[(start, None), (now, None), (start, None)],
        ),
        scene(
            "a deleted stream is gone for all",
            &[Append(1), Append(1), Delete],
            100,
            &[(start, None), (now, None)],
        ),
        scene(
            "a stop ends all",
            &[Append(1), Append(1), Stop],
            100,
            &[(start, None), (now, None), (start, Some(1))],
        ),
    ]
}

fn main() {
    let schedules = std::env::var("STREAMS_MODEL_SCHEDULES");
    let schedules: usize = schedules.map_or(1_000, |text| text.parse().unwrap());
    let began = Instant::now();
    let scenes = scenes();
    let count = scenes.len();
    for scene in scenes {
        println!("test {} ...", scene.name);
        let scene = Arc::new(scene);
        let play = scene.clone();
        shuttle::check_random(move || play.play(), schedules);
        let play = scene.clone();
        shuttle::check_pct(move || play.play(), schedules, 3);
    }
    println!("{} schedules of {count} scenes in {:.1?} ... ok", 2 * schedules, began.elapsed());
}
