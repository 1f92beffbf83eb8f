//! All targets with the corpus, with what is made from it, and with bytes made up.
//!
//! `FUZZ_INPUTS=100000` tries so many of each target instead of 2,000.
#![allow(clippy::unwrap_used)] // A test fails by panicking.

use std::{fs, path::Path};

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
    test_runner::{Config, TestRunner},
};
use studio_fuzz::TARGETS;

const BYTES_MAX: usize = 400;

fn inputs() -> u32 {
    std::env::var("FUZZ_INPUTS").map_or(2_000, |text| text.parse().unwrap())
}

/// The files in a target's folder of the corpus.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut files: Vec<_> = fs::read_dir(&dir)
        .unwrap_or_else(|error| panic!("{}: {error}", dir.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", dir.display());
    files.into_iter().map(|file| fs::read(file).unwrap()).collect()
}

/// What becomes of an input in one step.
#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// A piece of it once more.
    Repeat(Index, usize, Index),
    /// A piece of another one of the corpus.
    Splice(Index, Index, Index, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let (at, len) = (any::<Index>, 1..40_usize);
    prop_oneof![
        3 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        2 => (at(), words()).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        2 => (at(), len.clone()).prop_map(|(at, len)| Edit::Remove(at, len)),
        1 => (at(), len.clone(), at()).prop_map(|(at, len, to)| Edit::Repeat(at, len, to)),
        2 => (at(), at(), at(), len).prop_map(|(to, other, at, len)| Edit::Splice(to, other, at, len)),
    ]
}

/// Words that mean something to one target or another, and a few bytes that mean nothing.
fn words() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        "-1",
        "now",
        "0",
        "18446744073709551615",
        "18446744073709551616",
        "-",
        "\n",
        "\n\n",
        "\r\n",
        "%%",
        "%2F",
        "%00",
        "..",
        "//",
        "?",
        "&",
        "=",
        "offset=",
        "live=sse",
        "live=long-poll",
        "cursor=",
        "true",
        "null",
        "[]",
        "[[]]",
        "{}",
        "\"",
        "\\u0000",
        "1e999",
        "-0",
        "data:",
        "event:",
        "id:",
        ":",
        ": ",
        "\u{feff}",
        "é",
        "stream-closed: true\n",
        "stream-ttl: 0\n",
        "producer-id: a\n",
        "producer-epoch: 0\n",
        "producer-seq: 1\n",
        "if-none-match: *\n",
        "stream-seq: a\n",
        "content-type: application/json\n",
        "stream-forked-from: /v1/stream/a\n",
        "last-event-id: ",
        "authorization: Bearer ",
        "token=",
        "ticket=",
        "{session}",
        "{ticket}",
        "{other}",
        "{place}",
    ];
    prop_oneof![
        select(known.to_vec()).prop_map(|word| word.as_bytes().to_vec()),
        vec(any::<u8>(), 1..6),
    ]
}

fn apply(edit: &Edit, input: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    let place = |at: &Index, len: usize| at.index(len + 1);
    match edit {
        Edit::Set(at, byte) if !input.is_empty() => {
            let at = at.index(input.len());
            input[at] = *byte;
        }
        Edit::Set(..) => {}
        Edit::Insert(at, bytes) => {
            let at = place(at, input.len());
            input.splice(at..at, bytes.iter().copied());
        }
        Edit::Remove(at, len) => {
            let at = place(at, input.len());
            input.drain(at..(at + len).min(input.len()));
        }
        Edit::Repeat(at, len, to) => {
            let at = place(at, input.len());
            let piece = input[at..(at + len).min(input.len())].to_vec();
            let to = place(to, input.len());
            input.splice(to..to, piece);
        }
        Edit::Splice(to, other, at, len) => {
            let other = &corpus[other.index(corpus.len())];
            let at = place(at, other.len());
            let piece = other[at..(at + len).min(other.len())].to_vec();
            let to = place(to, input.len());
            input.splice(to..to, piece);
        }
    }
}

fn run(name: &str) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let corpus = corpus(name);
    corpus.iter().for_each(|input| target(input));
    let config = Config { cases: inputs(), failure_persistence: None, ..Config::default() };
    let made_up = vec(any::<u8>(), 0..BYTES_MAX);
    let changed =
        (select(corpus.clone()), vec(edit(), 1..6)).prop_map(move |(mut input, edits)| {
            edits.iter().for_each(|edit| apply(edit, &mut input, &corpus));
            input
        });
    let input = prop_oneof![1 => made_up, 4 => changed];
    TestRunner::new(config)
        .run(&input, |input| {
            target(&input);
            Ok(())
        })
        .unwrap();
}

macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_tried_and_has_a_file_for_cargo_fuzz() {
            assert_eq!(TARGETS.map(|(name, _)| name), [$(stringify!($name)),*]);
            for (name, _) in TARGETS {
                let file = Path::new(env!("CARGO_MANIFEST_DIR"))
                    .join("../../fuzz/fuzz_targets")
                    .join(format!("{name}.rs"));
                let text = fs::read_to_string(&file).unwrap();
                assert!(text.contains(&format!("studio_fuzz::{name}(bytes)")), "{name}");
            }
        }
    };
}

targets! { requests offsets json producers changes journal rows events hooks appends answers watches }
