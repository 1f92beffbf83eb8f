//! git in a sandbox gets its token from the studio, through the relay, and nothing of it stays.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use studio_assets::git::{
    CREDENTIAL_HELPER, CREDENTIAL_VERB, GitOrigin, credential_answer, credential_config,
    credential_helper, credential_refusal, credential_request,
};
use studio_sandbox::{Command, NewFile, Output, Relay, RelayHandler, Sandbox, contract::spec};
use studio_sandbox_local::Jail;
use studio_testkit::GitHubServer;
use tokio_util::sync::CancellationToken;

/// The studio's end: it has a token for `ada/app` alone.
struct Studio {
    origin: GitOrigin,
    token: String,
}

#[async_trait]
impl RelayHandler for Studio {
    async fn handle(&self, verb: &str, body: Bytes) -> Bytes {
        assert_eq!(verb, CREDENTIAL_VERB);
        let wanted = credential_request(&self.origin, &body).map(|one| one.to_string());
        let answer = match wanted.as_deref() {
            Some("ada/app") => credential_answer(&self.token, 4_000_000_000),
            Some(other) => credential_refusal(&format!("this session has no part in {other}")),
            None => credential_refusal("that is no repository"),
        };
        Bytes::from(answer)
    }
}

async fn run(sandbox: &dyn Sandbox, command: Command) -> (bool, String) {
    let output = sandbox.exec(command, Bytes::new(), Output::default()).await.unwrap();
    let text = [output.stdout.as_ref(), output.stderr.as_ref()].concat();
    (output.exit.is_success(), String::from_utf8_lossy(&text).into_owned())
}

/// $1 address. Makes a commit and pushes it.
const PUSH: &str = "\
rm -rf app && git init --quiet --initial-branch=main app && cd app && echo hello >README.md &&
git add . && git -c user.name=agent -c user.email=a@b.example commit --quiet -m first &&
GIT_TERMINAL_PROMPT=0 git push \"$1\" main";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn git_in_a_sandbox_pushes_with_a_token_that_comes_through_the_relay() {
    let server = GitHubServer::start().await;
    let token = server.add_user("ada", &[], &["repo"]);
    server.add_repo("ada", "app", true, false);
    server.add_repo("ada", "other", true, false);
    let port = server.url().rsplit_once(':').unwrap().1.parse().unwrap();
    let origin = GitOrigin::http_here(port);
    let provider = support::provider(Jail::Bubblewrap).await;
    let spec = spec();
    let sandbox = provider.create(&spec, Arc::new(|_| {})).await.unwrap();

    Relay::install(&*sandbox).await.unwrap();
    let path = sandbox.home().join(&format!(".studio/bin/{CREDENTIAL_HELPER}")).unwrap();
    let data = Bytes::from(credential_helper(&origin));
    let file = NewFile { path: path.clone(), data, mode: 0o755 };
    sandbox.put_files(vec![file]).await.unwrap();
    for command in credential_config(&origin, &path.to_string()) {
        let (good, told) = run(&*sandbox, Command::new(command)).await;
        assert!(good, "{told}");
    }
    let cancel = CancellationToken::new();
    let studio = Arc::new(Studio { origin, token: token.clone() });
    let serving = tokio::spawn(Relay::serve(sandbox.clone(), studio, cancel.clone()));

    let push = |name: &str| {
        let url = format!("{}/ada/{name}.git", server.url());
        Command::script(PUSH, [url]).in_dir(sandbox.home())
    };
    let (good, told) = run(&*sandbox, push("app")).await;
    assert!(good, "{told}");
    let main = server.git_dir("ada", "app").join("refs/heads/main");
    assert_eq!(std::fs::read_to_string(main).unwrap().len(), 41);
    let (good, told) = run(&*sandbox, push("other")).await;
    assert!(!good, "{told}");
    assert!(
        told.contains("git-credential-studio: this session has no part in ada/other"),
        "{told}"
    );
    let search = Command::script("grep -r -l -e \"$1\" \"$HOME\" || true", [token.clone()]);
    let (_, found) = run(&*sandbox, search).await;
    assert_eq!(found, "", "a token was left behind");

    cancel.cancel();
    serving.await.unwrap().unwrap();
    provider.destroy_session(spec.session).await.unwrap();
}
