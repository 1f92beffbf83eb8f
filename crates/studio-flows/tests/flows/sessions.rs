//! What a person can do with a session, from its creation to its end.

use std::{collections::BTreeMap, time::Duration};

use crate::support::{Watch, World, app, freeform};
use serde_json::json;
use studio_agent_codec::PermissionPolicy;
use studio_events::SessionStatus;
use studio_flows::{
    FlowError, Mode,
    words::{GateAnswer, HookReply, HookSource, Infra, NewSession, Response},
};
use studio_ids::SessionId;
use studio_testkit::wait_for;

fn answer(answer: GateAnswer) -> Response {
    Response { answer, summary: None, resolved_by: None }
}

fn local_infra() -> Response {
    answer(GateAnswer::Infra { infra: Infra::Local, repo: None })
}

async fn status_is(studio: &studio_flows::Studio, id: SessionId, wanted: SessionStatus) {
    wait_for("the session's status", Duration::from_secs(60), async || {
        (studio.session(id).ok()?.status == wanted).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_done_and_followed_up_in_the_same_conversation() {
    let world = World::of("hello").await;
    let studio = world.studio().await;
    let session = studio.create_session(freeform("say hello")).await.unwrap();
    let mut watch = Watch::open(&studio, &session).await;

    assert_eq!(watch.until("user_prompt").await["message"], "say hello");
    let conversation = watch.until("session_start").await["session_id"].clone();
    assert_eq!(watch.until("session_end").await["success"], true);
    status_is(&studio, session.id, SessionStatus::Complete).await;

    studio.iterate(session.id, "say hello again".to_owned()).await.unwrap();
    assert_eq!(watch.until("user_prompt").await["message"], "say hello again");
    let said = watch.until("assistant_message").await;
    assert!(said["text"].as_str().unwrap().contains("turns before this one: 1"), "{said}");
    watch.until("session_end").await;
    status_is(&studio, session.id, SessionStatus::Complete).await;
    let shown = studio.session(session.id).unwrap();
    assert_eq!(json!(shown.last_coder_session_id), conversation);
    assert!(shown.total_cost_usd.unwrap() > 0.0);
    assert_eq!(shown.total_turns, Some(2));
    studio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_waits_for_its_infrastructure_and_then_gets_its_files() {
    let world = World::of("hello").await;
    let studio = world.studio().await;
    let session = studio.create_session(app("a page with a clock")).await.unwrap();
    assert_eq!(session.needs_input, Some(true));
    let mut watch = Watch::open(&studio, &session).await;
    watch.until("infra_config_prompt").await;
    assert!(!world.has_sandbox(session.id).await, "nothing is made before the choice");

    studio.respond(session.id, local_infra()).await.unwrap();
    assert_eq!(watch.until("gate_resolved").await["gate"], "infra_config");
    watch.until("session_end").await;
    // The same answer again is a success, another one a conflict.
    studio.respond(session.id, local_infra()).await.unwrap();
    let other = Infra::Cloud {
        database_url: studio_sandbox::Secret::new("postgresql://u:p@h/d"),
        electric_url: "https://example.test".to_owned(),
        source_id: "s".to_owned(),
        secret: studio_sandbox::Secret::new("x"),
        claim_id: None,
    };
    let other = answer(GateAnswer::Infra { infra: other, repo: None });
    let conflict = studio.respond(session.id, other).await.unwrap_err();
    assert!(matches!(conflict, FlowError::GateConflict(_)), "{conflict}");
    studio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_is_answered_and_the_model_sees_the_answer() {
    let world = World::of("ask-user").await;
    let studio = world.studio().await;
    let session = studio.create_session(freeform("ask me")).await.unwrap();
    let mut watch = Watch::open(&studio, &session).await;
    let asked = watch.until("ask_user_question").await;
    let gate = asked["tool_use_id"].as_str().unwrap();
    let answers: BTreeMap<String, String> = [
        ("Which colour should the page have?", "Blue"),
        ("Which parts do you want?", "Header, Footer"),
    ]
    .map(|(question, answer)| (question.to_owned(), answer.to_owned()))
    .into();
    let answers = GateAnswer::Question { gate: gate.parse().unwrap(), answers };
    studio.respond(session.id, answer(answers)).await.unwrap();
    assert_eq!(watch.until("gate_resolved").await["gate_id"], gate);
    let said = watch.until("session_end").await;
    assert_eq!(said["success"], true);
    assert!(studio.pending_gates(session.id).await.unwrap().is_empty());
    let seen = serde_json::to_string(&world.model.requests().await).unwrap();
    assert!(seen.contains("Blue"), "the model saw the answer");
    studio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_call_waits_for_permission_and_a_refusal_is_heard() {
    let world = World::of("permission").await;
    let studio = world.studio().await;
    let new = NewSession { permissions: Some(PermissionPolicy::Ask), ..freeform("delete it") };
    let session = studio.create_session(new).await.unwrap();
    let mut watch = Watch::open(&studio, &session).await;
    for allow in [true, false] {
        let asked = watch.until("permission_request").await;
        let gate = asked["gate_id"].as_str().unwrap().parse().unwrap();
        let message = (!allow).then(|| "Not there.".to_owned());
        let permission = GateAnswer::Permission { gate, allow, always: false, message };
        studio.respond(session.id, answer(permission)).await.unwrap();
    }
    loop {
        let event = watch.next().await;
        if event["type"] == "assistant_message"
            && event["text"].as_str().unwrap().contains("Not there.")
        {
            break;
        }
    }
    watch.until("session_end").await;
    studio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_ends_the_turn_and_the_next_message_goes_on() {
    let world = World::of("slow").await;
    let studio = world.studio().await;
    let session = studio.create_session(freeform("run the command")).await.unwrap();
    let mut watch = Watch::open(&studio, &session).await;
    watch.until("pre_tool_use").await;
    studio.interrupt(session.id).await.unwrap();
    assert_eq!(watch.until("session_end").await["success"], false);
    status_is(&studio, session.id, SessionStatus::Complete).await;
    studio.iterate(session.id, "hello again".to_owned()).await.unwrap();
    let said = watch.until("assistant_message").await;
    assert!(said["text"].as_str().unwrap().contains("Here I am again"), "{said}");
    studio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ends_leaves_nothing() {
    let world = World::of("slow").await;
    let studio = world.studio().await;

    // Before the gate.
    let waiting = studio.create_session(app("an app")).await.unwrap();
    studio.cancel(waiting.id).await.unwrap();
    assert!(studio.pending_gates(waiting.id).await.unwrap().is_empty());
    let late = studio.respond(waiting.id, local_infra()).await.unwrap_err();
    assert!(matches!(late, FlowError::GateClosed { .. }), "{late}");

    // While the sandbox is made, and while the agent works.
    let early = studio.create_session(freeform("run the command")).await.unwrap();
    studio.cancel(early.id).await.unwrap();
    let late = studio.create_session(freeform("run the command")).await.unwrap();
    let mut watch = Watch::open(&studio, &late).await;
    watch.until("pre_tool_use").await;
    studio.delete(late.id).await.unwrap();
    for id in [waiting.id, early.id, late.id] {
        assert!(!world.has_sandbox(id).await, "{id}");
    }
    assert_eq!(studio.session(early.id).unwrap().status, SessionStatus::Cancelled);
    assert!(matches!(studio.session(late.id), Err(FlowError::NoSession(_))));
    let refused = studio.iterate(early.id, "go on".to_owned()).await.unwrap_err();
    assert!(matches!(refused, FlowError::NoSandbox(_)), "{refused}");
    studio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hook_that_asks_waits_for_the_answer() {
    let world = World::of("hello").await;
    let studio = world.studio().await;
    let session = studio.create_local_session(None).await.unwrap();
    let mut watch = Watch::open(&studio, &session).await;
    let question =
        json!({ "question": "Really?", "header": "Sure", "options": [], "multiSelect": false });
    let body = json!({
        "hook_event_name": "PreToolUse", "tool_name": "AskUserQuestion", "tool_use_id": "toolu_1",
        "tool_input": { "questions": [question] },
    });
    let asking = tokio::spawn({
        let studio = studio.clone();
        async move { studio.hook_event(session.id, body).await }
    });
    let asked = watch.until("ask_user_question").await;
    assert_eq!(asked["gate_id"], "toolu_1");
    let answers = BTreeMap::from([("Really?".to_owned(), "Yes".to_owned())]);
    let answers = GateAnswer::Question { gate: "toolu_1".parse().unwrap(), answers };
    studio.respond(session.id, answer(answers)).await.unwrap();
    let HookReply::Output(output) = asking.await.unwrap().unwrap() else { panic!("an answer") };
    assert_eq!(
        output["hookSpecificOutput"]["updatedInput"]["answers"],
        json!({ "Really?": "Yes" })
    );
    studio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d30_94_a_local_session_of_which_nothing_is_heard_ends() {
    let mut world = World::of("hello").await;
    world.settings.local_idle_after = Duration::from_millis(300);
    let studio = world.studio().await;
    let hook = |name: &str| {
        let body = json!({ "hook_event_name": name, "session_id": "c" });
        studio.hook(HookSource::Anybody, body)
    };
    let id = hook("SessionStart").await.unwrap().session;
    let session = studio.session(id).unwrap();
    let mut watch = Watch::open(&studio, &session).await;
    let end = watch.until("session_end").await;
    assert_eq!((&end["success"], &end["reason"]), (&json!(false), &json!("idle")));
    status_is(&studio, id, SessionStatus::Complete).await;
    // It was only quiet.
    assert_eq!(hook("UserPromptSubmit").await.unwrap().session, id);
    assert_eq!(studio.session(id).unwrap().status, SessionStatus::Running);
    watch.until("session_end").await;
    studio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_is_refused_with_a_reason() {
    let mut world = World::of("hello").await;
    world.settings.mode = Mode::Production;
    world.settings.agent.credentials.clear();
    let studio = world.studio().await;
    let refused = studio.create_session(freeform("x")).await.unwrap_err();
    assert!(matches!(refused, FlowError::FreeformNotAvailable));
    let unknown = SessionId::random();
    let refused = studio.iterate(unknown, "x".to_owned()).await.unwrap_err();
    assert!(matches!(refused, FlowError::NoSession(_)));
    studio.interrupt(unknown).await.unwrap();

    // Without a credential the session says what to do, and nothing is made.
    let session = studio.create_session(app("an app")).await.unwrap();
    let mut watch = Watch::open(&studio, &session).await;
    studio.respond(session.id, local_infra()).await.unwrap();
    let told = loop {
        let event = watch.next().await;
        if event["level"] == "error" {
            break event;
        }
    };
    assert!(told["message"].as_str().unwrap().contains("ANTHROPIC_API_KEY"), "{told}");
    assert_eq!(watch.until("session_end").await["success"], false);
    status_is(&studio, session.id, SessionStatus::Error).await;
    assert!(!world.has_sandbox(session.id).await);
    studio.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_session_costs_no_process_and_goes_on_with_its_conversation() {
    let mut world = World::of("hello").await;
    world.settings.idle_after = Duration::from_millis(300);
    let studio = world.studio().await;
    let session = studio.create_session(freeform("say hello")).await.unwrap();
    let mut watch = Watch::open(&studio, &session).await;
    watch.until("session_end").await;
    watch.until("agent_exit").await;

    studio.iterate(session.id, "say hello again".to_owned()).await.unwrap();
    let said = watch.until("assistant_message").await;
    assert!(said["text"].as_str().unwrap().contains("turns before this one: 1"), "{said}");
    studio.stop().await;
}
