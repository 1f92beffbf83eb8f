//! The files of a session over HTTP, as they lie in its sandbox: lists, contents, links that lead
//! outside, the repository.

use reqwest::header::{ACCEPT_RANGES, CONTENT_RANGE, RANGE};
use serde_json::{Value, json};

use crate::{
    in_both,
    world::{Place, Session, World},
};

in_both! {
    the_files_of_a_session_are_listed_and_read
    nothing_outside_of_the_project_is_read
    the_repository_is_told_as_it_stands
}

/// A session at rest whose agent has said its word.
async fn at_rest(place: Place) -> (World, Session) {
    let world = World::start(place, "hello").await;
    let session = world.session("say hello").await;
    world.watch(&session).await.turn_end().await;
    (world, session)
}

async fn content(world: &World, session: &Session, path: &str) -> (u16, Value) {
    content_of(world, session, path, "").await
}

async fn content_of(world: &World, session: &Session, path: &str, more: &str) -> (u16, Value) {
    let path: String = form(path);
    world.get(&session.path(&format!("file-content?path={path}{more}")), &session.token).await
}

fn form(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

async fn the_files_of_a_session_are_listed_and_read(place: Place) {
    let (world, session) = at_rest(place).await;
    let project = world.ask(&session, "").await["sandboxProjectDir"].as_str().unwrap().to_owned();
    let said = world
        .shell(
            &session,
            "mkdir -p src 'a b' node_modules/x .git/objects dist .electric/x &&
            printf 'let x = 1;\\n' >src/main.ts && printf 'grüße, 漢字, 🙂\\n' >'a b/-rf' &&
            : >node_modules/x/index.js && : >.git/config && : >dist/out.js && : >.electric/x/y &&
            : >package-lock.json && : >pnpm-lock.yaml && ln -s /etc/hostname link &&
            printf 'a\\377b\\0c' >binary && : >empty && printf x >\"$(printf 'two\\nlines')\" &&
            dd if=/dev/zero of=big bs=1048576 count=24 2>/dev/null",
        )
        .await;
    assert_eq!(said, "");
    let list = world.ask(&session, "files").await;
    let at = |name: &str| json!(format!("{project}/{name}"));
    let all: Vec<Value> =
        ["a b/-rf", "big", "binary", "empty", "src/main.ts", "two\nlines"].map(at).into();
    assert_eq!(list, json!({ "files": all, "prefix": project }));

    // Page by page it is the same.
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = world.ask(&session, &format!("files?limit=2&after={}", form(&after))).await;
        seen.extend(page["files"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, all);

    let (status, told) = content(&world, &session, &format!("{project}/src/main.ts")).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(
        told,
        json!({ "content": "let x = 1;\n", "size": 11, "offset": 0, "truncated": false, "binary": false })
    );
    let text = |answer: (u16, Value)| answer.1["content"].as_str().unwrap().to_owned();
    assert_eq!(text(content(&world, &session, "a b/-rf").await), "grüße, 漢字, 🙂\n");
    assert_eq!(text(content(&world, &session, "two\nlines").await), "x");
    assert_eq!(text(content(&world, &session, "./src/../empty").await), "");
    let (_, told) = content(&world, &session, "binary").await;
    assert_eq!((&told["content"], &told["binary"]), (&json!("a\u{fffd}b\0c"), &json!(true)));
    let (_, told) = content_of(&world, &session, "src/main.ts", "&offset=4&limit=3").await;
    assert_eq!(
        told,
        json!({ "content": "x =", "size": 11, "offset": 4, "truncated": true, "binary": false })
    );

    // A large file is cut, and says so; it is no 404.
    let (status, told) = content(&world, &session, "big").await;
    assert_eq!((status, &told["size"], &told["truncated"]), (200, &json!(24 << 20), &json!(true)));
    assert_eq!(told["content"].as_str().unwrap().len(), 16 << 20);
    let (_, told) = content_of(&world, &session, "big", &format!("&offset={}", 16 << 20)).await;
    assert_eq!(
        (told["content"].as_str().unwrap().len(), &told["truncated"]),
        (8 << 20, &json!(false))
    );
    let (_, told) = content_of(&world, &session, "big", &format!("&offset={}", 99 << 20)).await;
    assert_eq!((&told["content"], &told["truncated"]), (&json!(""), &json!(false)));

    // The bytes themselves.
    let raw = async |path: &str, range: Option<&str>| {
        let url = session.path(&format!("file-content?raw=1&path={}", form(path)));
        let mut request = world.server.client().get(world.server.url(&url));
        if let Some(range) = range {
            request = request.header(RANGE, range);
        }
        let answer = request.bearer_auth(&session.token).send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        (status, headers, answer.bytes().await.unwrap())
    };
    let (status, headers, bytes) = raw("binary", None).await;
    assert_eq!((status, bytes.as_ref()), (200, b"a\xffb\0c".as_slice()));
    assert_eq!(headers["content-type"], "application/octet-stream");
    assert_eq!(headers["content-disposition"], "attachment");
    assert_eq!(headers[ACCEPT_RANGES], "bytes");
    let (status, headers, bytes) = raw("binary", Some("bytes=1-2")).await;
    assert_eq!((status, bytes.as_ref()), (206, b"\xffb".as_slice()));
    assert_eq!(headers[CONTENT_RANGE], "bytes 1-2/5");
    let (status, _, bytes) = raw("binary", Some("bytes=-1")).await;
    assert_eq!((status, bytes.as_ref()), (206, b"c".as_slice()));
    let (status, headers, _) = raw("binary", Some("bytes=5-")).await;
    assert_eq!((status, &headers[CONTENT_RANGE]), (416, &"bytes */5".parse().unwrap()));
    let (status, _, bytes) = raw("big", None).await;
    assert_eq!(status, 413, "{}", String::from_utf8_lossy(&bytes));
    let (status, _, bytes) = raw("big", Some("bytes=20971520-")).await;
    assert_eq!((status, bytes.len()), (206, 4 << 20));

    world.tell(&session, "cancel", json!({})).await;
    assert_eq!(world.ask(&session, "files").await["files"], json!([]));
    let (status, told) = content(&world, &session, "empty").await;
    assert_eq!((status, &told["error"]), (404, &json!("Container not available")));
    world.is_sound();
}

async fn nothing_outside_of_the_project_is_read(place: Place) {
    let (world, session) = at_rest(place).await;
    let said = world
        .shell(
            &session,
            "printf secret >../secret && mkdir ../app2 && printf secret >../app2/x &&
            ln -s ../secret up && ln -s /etc/passwd out && ln -s .. dir && ln -s nowhere broken &&
            ln -s inner-file inner && printf inner >inner-file && mkfifo pipe && mkdir folder &&
            ln -s /proc/self/environ environ && ln -s /dev/zero zero && ln -s loop loop",
        )
        .await;
    assert_eq!(said, "");
    let (status, told) = content(&world, &session, "inner").await;
    assert_eq!((status, &told["content"]), (200, &json!("inner")), "a link inside: {told}");
    let project = world.ask(&session, "").await["sandboxProjectDir"].as_str().unwrap().to_owned();
    let sibling = format!("{project}2/x");
    let long = "a/".repeat(2_500);
    let outside = (403, "Path outside project directory");
    let none = (404, "File not found or unreadable");
    for (path, expected) in [
        ("../secret", outside),
        ("../app2/x", outside),
        ("src/../../secret", outside),
        ("/etc/passwd", outside),
        ("/etc/../etc/passwd", outside),
        (sibling.as_str(), outside),
        ("up", outside),
        ("out", outside),
        ("dir/secret", outside),
        ("environ", outside),
        ("broken", none),
        ("loop", none),
        ("zero", none),
        ("pipe", none),
        ("folder", none),
        (".", none),
        ("-rf", none),
        ("a\nb", none),
        ("$(id)", none),
        ("`id`;'\"", none),
        ("nothing", none),
        ("a\0b", (400, "path is not valid")),
        (long.as_str(), (400, "path is not valid")),
        ("", (400, "path query parameter required")),
    ] {
        let (status, told) = content(&world, &session, path).await;
        assert_eq!((status, told["error"].as_str().unwrap()), expected, "{path:.60}: {told}");
    }
    let raw = world.get(&session.path("file-content?path=%ff%fe"), &session.token).await;
    assert_eq!(raw.0, 404, "{raw:?}");

    // An agent that puts a link in the place of its whole project shows nothing new.
    let said = world
        .shell(&session, "cd .. && mv \"$OLDPWD\" moved && ln -s \"$PWD/app2\" \"$OLDPWD\"")
        .await;
    assert_eq!(said, "");
    let (status, told) = content(&world, &session, "x").await;
    assert_eq!(status, 404, "{told}");
    assert_eq!(world.ask(&session, "files").await["files"], json!([]));
    world.is_sound();
}

async fn the_repository_is_told_as_it_stands(place: Place) {
    let (world, session) = at_rest(place).await;
    let git = async || world.ask(&session, "git-status").await;
    let none = json!({
        "initialized": false, "branch": null, "hasUncommitted": false,
        "lastCommitHash": null, "lastCommitMessage": null,
    });
    assert_eq!(git().await, none);
    let said = world.shell(&session, "git init -q -b trunk . && echo 1 >file").await;
    assert_eq!(said, "");
    let told = git().await;
    assert_eq!(
        told,
        json!({
            "initialized": true, "branch": "trunk", "hasUncommitted": true,
            "lastCommitHash": null, "lastCommitMessage": null,
        }),
        "before the first commit"
    );
    let commit = "git add file && git -c user.name=a -c user.email=a@b commit -q -m \
                  'add “it”: $(id)' -m 'more words' && git rev-parse HEAD";
    let hash = world.shell(&session, commit).await.trim().to_owned();
    assert_eq!(
        git().await,
        json!({
            "initialized": true, "branch": "trunk", "hasUncommitted": false,
            "lastCommitHash": hash, "lastCommitMessage": "add “it”: $(id)",
        })
    );
    world.shell(&session, "echo 2 >file; git checkout -q --detach").await;
    let told = git().await;
    assert_eq!((&told["branch"], &told["hasUncommitted"]), (&json!("HEAD"), &json!(true)));
    world.shell(&session, "echo nonsense >.git/HEAD").await;
    assert_eq!(git().await, none, "a repository that is none");
    world.tell(&session, "cancel", json!({})).await;
    let (status, told) = world.get(&session.path("git-status"), &session.token).await;
    assert_eq!((status, &told["error"]), (404, &json!("Container not available")));
    world.is_sound();
}
