//! Whole conversations: from `POST /api/sessions` to `session_end`, the question answered, the
//! files written, the conversation gone on with.

use serde_json::json;

use crate::{
    in_both,
    world::{Place, World},
};

in_both! {
    a_session_answers_and_its_follow_up_goes_on_with_the_same_conversation
    an_agent_edits_files_in_its_sandbox
    a_to_do_list_is_told_whole
    a_question_is_answered_and_the_agent_sees_the_answer
    a_permission_is_asked_and_both_answers_are_obeyed
    a_sub_agent_is_told_apart
    two_hundred_steps_are_told_in_order
    a_model_that_fails_ends_the_turn_with_the_truth_and_not_the_session
    a_warning_of_limits_does_not_end_anything
    a_mebibyte_of_multi_byte_output_goes_through
    an_app_begins_with_the_infrastructure_gate
}

async fn a_session_answers_and_its_follow_up_goes_on_with_the_same_conversation(place: Place) {
    let world = World::start(place, "hello").await;
    let session = world.session("say hello").await;
    let mut watch = world.watch(&session).await;
    let end = watch.turn_end().await;
    assert_eq!(end.event["success"], true, "{}", watch.told());
    assert!(watch.last_words().contains("I read your prompt: “say hello”"), "{}", watch.told());
    let conversation = watch.all("session_start")[0].text("session_id").to_owned();
    let agents = world.agents(&session);
    assert_eq!(agents.len(), 1, "{:?}", world.processes(&session));

    world.tell(&session, "iterate", json!({ "request": "once again" })).await;
    let end = watch.turn_end().await;
    assert_eq!(end.event["success"], true, "{}", watch.told());
    assert!(watch.last_words().contains("Assistant turns before this one: 1"), "{}", watch.told());
    let started = watch.texts("session_start", "session_id");
    assert!(started.iter().all(|id| *id == conversation), "{started:?}");
    assert_eq!(world.agents(&session), agents, "one process serves all turns");

    let told = world.rests(&session).await;
    assert_eq!(told["status"], "complete", "{told}");
    assert_eq!(told["lastCoderSessionId"], json!(conversation), "{told}");
    assert_eq!(told["totalTurns"], 2, "{told}");
    watch.is_in_order();
    world.is_sound();
}

async fn an_agent_edits_files_in_its_sandbox(place: Place) {
    let world = World::start(place, "edit-file").await;
    let session = world.session("write notes").await;
    let mut watch = world.watch(&session).await;
    let end = watch.turn_end().await;
    assert_eq!(end.event["success"], true, "{}", watch.told());
    let notes = world.file(&session, "notes.md").await;
    assert_eq!(notes, "# Notes\n\nfirst line – grüße, 漢字, 🙂\nsecond line, edited\n");
    let tools = watch.texts("pre_tool_use", "tool_name");
    assert_eq!(tools, ["Bash", "Write", "Read", "Edit", "Bash"]);
    let failed: Vec<_> = watch
        .all("post_tool_use")
        .into_iter()
        .filter(|seen| seen.event.get("error").is_some())
        .collect();
    assert_eq!(failed.len(), 1, "{}", watch.told());
    assert!(failed[0].text("tool_response").contains("to-stderr"), "{failed:?}");
    world.is_sound();
}

async fn a_to_do_list_is_told_whole(place: Place) {
    let world = World::start(place, "todo").await;
    let session = world.session("plan the tasks").await;
    let mut watch = world.watch(&session).await;
    watch.turn_end().await;
    assert!(watch.last_words().contains("Both tasks are done."), "{}", watch.told());
    assert_eq!(world.file(&session, "hello.txt").await, "hello\n");
    let tools = watch.texts("pre_tool_use", "tool_name");
    let wanted = ["TaskCreate", "TaskCreate", "TaskUpdate", "Bash", "TaskUpdate", "TaskUpdate"];
    assert_eq!(tools[..6], wanted, "{}", watch.told());
    world.is_sound();
}

async fn a_question_is_answered_and_the_agent_sees_the_answer(place: Place) {
    let world = World::start(place, "ask-user").await;
    let session = world.session("make a page").await;
    let mut watch = world.watch(&session).await;
    let asked = watch.next("ask_user_question").await;
    assert_eq!(asked.event["questions"].as_array().map(Vec::len), Some(2), "{asked:?}");
    let gates = world.gates(&session).await;
    assert_eq!(gates.len(), 1, "{gates:?}");
    assert_eq!(world.ask(&session, "").await["needsInput"], true);
    let tool_use = asked.text("tool_use_id");
    assert_eq!(gates[0]["id"], tool_use);

    let respond = |colour: &str| {
        json!({
            "gate": "ask_user_question",
            "toolUseId": tool_use,
            "answers": {
                "Which colour should the page have?": colour,
                "Which parts do you want?": "Header, Sidebar"
            },
        })
    };
    world.tell(&session, "respond", respond("Blue")).await;
    let end = watch.turn_end().await;
    assert_eq!(end.event["success"], true, "{}", watch.told());
    let words = watch.last_words();
    assert!(words.contains("Blue") && words.contains("Header, Sidebar"), "{words}");
    assert_eq!(watch.texts("gate_resolved", "gate"), ["ask_user_question"]);
    assert!(world.gates(&session).await.is_empty());
    assert_eq!(world.ask(&session, "").await["needsInput"], false);

    world.tell(&session, "respond", respond("Blue")).await;
    let (status, answer) = world.try_to_tell(&session, "respond", respond("Red")).await;
    assert_eq!((status, &answer["code"]), (409, &json!("gate_conflict")), "{answer}");
    world.is_sound();
}

async fn a_permission_is_asked_and_both_answers_are_obeyed(place: Place) {
    let world = World::start(place, "permission").await;
    let ask = json!({ "description": "clean up", "freeform": true, "permissions": "ask" });
    let session = world.session_of(ask).await;
    let mut watch = world.watch(&session).await;
    let asked = watch.next("permission_request").await;
    assert_eq!(asked.text("tool_name"), "Bash", "{asked:?}");
    assert!(asked.event["tool_input"]["command"].as_str().unwrap().contains("rm gone.txt"));
    let allow = json!({
        "gate": "permission", "toolUseId": asked.text("tool_use_id"), "decision": "allow",
    });
    world.tell(&session, "respond", allow).await;

    let asked = watch.next("permission_request").await;
    assert_eq!(asked.text("tool_name"), "Write", "{asked:?}");
    let removed = |text: &&str| text.contains("removed");
    assert!(watch.texts("post_tool_use", "tool_response").iter().any(removed), "{}", watch.told());
    let deny = json!({
        "gate": "permission", "toolUseId": asked.text("tool_use_id"), "decision": "deny",
        "message": "Stay inside.",
    });
    world.tell(&session, "respond", deny).await;
    watch.turn_end().await;
    assert!(watch.last_words().contains("Stay inside."), "{}", watch.told());
    world.is_sound();
}

async fn a_sub_agent_is_told_apart(place: Place) {
    let world = World::start(place, "subagent").await;
    let session = world.session("have it counted").await;
    let mut watch = world.watch(&session).await;
    let end = watch.turn_end().await;
    assert_eq!(end.event["success"], true, "{}", watch.told());
    let task = watch.all("pre_tool_use")[0].text("tool_use_id").to_owned();
    let inner: Vec<_> = watch
        .all("pre_tool_use")
        .into_iter()
        .filter(|seen| seen.event["parent_tool_use_id"] == task)
        .collect();
    assert_eq!(inner.len(), 1, "{}", watch.told());
    assert_eq!(inner[0].text("tool_name"), "Bash");
    assert!(watch.last_words().contains("The subagent said: "), "{}", watch.told());
    world.is_sound();
}

async fn two_hundred_steps_are_told_in_order(place: Place) {
    let world = World::start(place, "long").await;
    let session = world.session("do all of it").await;
    let mut watch = world.watch(&session).await;
    let end = watch.turn_end().await;
    assert_eq!(end.event["success"], true, "{}", watch.told());
    let lines: Vec<String> = (1..=200).map(|n| format!("line {n}")).collect();
    assert_eq!(watch.texts("post_tool_use", "tool_response"), lines);
    watch.is_in_order();
    world.is_sound();
}

async fn a_model_that_fails_ends_the_turn_with_the_truth_and_not_the_session(place: Place) {
    let world = World::start(place, "error").await;
    let session = world.session("an invalid request").await;
    let mut watch = world.watch(&session).await;
    let end = watch.turn_end().await;
    assert_eq!(end.event["success"], false, "{}", watch.told());
    let told = world.rests(&session).await;
    assert_eq!(told["status"], "error", "{told}");
    world.tell(&session, "iterate", json!({ "request": "is it busy?" })).await;
    let end = watch.turn_end().await;
    assert_eq!(end.event["success"], true, "{}", watch.told());
    assert!(watch.last_words().contains("The model is back."), "{}", watch.told());
    world.is_sound();
}

async fn a_warning_of_limits_does_not_end_anything(place: Place) {
    let world = World::start(place, "rate-limit").await;
    let session = world.session("go on").await;
    let mut watch = world.watch(&session).await;
    let end = watch.turn_end().await;
    assert_eq!(end.event["success"], true, "{}", watch.told());
    assert_eq!(watch.last_words(), "Your limit is near.");
    world.is_sound();
}

async fn a_mebibyte_of_multi_byte_output_goes_through(place: Place) {
    let world = World::start(place, "big-output").await;
    let session = world.session("write it").await;
    let mut watch = world.watch(&session).await;
    let end = watch.turn_end().await;
    assert_eq!(end.event["success"], true, "{}", watch.told());
    let line = "grüße 漢字かな 🙂👩‍👩‍👧 €½\n";
    assert!(world.file(&session, "big.txt").await == line.repeat(20_972), "the file differs");
    let written = &watch.all("pre_tool_use")[0].event["tool_input"]["content"];
    assert!(written.as_str() == Some(&line.repeat(20_972)), "the call differs");
    world.is_sound();
}

async fn an_app_begins_with_the_infrastructure_gate(place: Place) {
    let world = World::start(place, "edit-file").await;
    let session = world.session_of(json!({ "description": "a list of things" })).await;
    let mut watch = world.watch(&session).await;
    let asked = watch.next("infra_config_prompt").await;
    assert!(asked.text("projectName").starts_with("electric-"), "{asked:?}");
    assert_eq!(world.gates(&session).await[0]["gate"], "infra_config");
    assert_eq!(world.ask(&session, "").await["needsInput"], true);
    let early = world.try_to_tell(&session, "iterate", json!({ "request": "now!" })).await;
    assert_eq!(early.0, 400, "{early:?}");

    world.tell(&session, "respond", json!({ "gate": "infra_config", "mode": "local" })).await;
    let end = watch.turn_end().await;
    assert_eq!(end.event["success"], true, "{}", watch.told());
    let logs = watch.texts("log", "message");
    assert!(logs.contains(&"Project ready"), "{logs:?}");
    assert!(world.file(&session, "CLAUDE.md").await.contains("electric"), "no instructions");
    assert!(world.file(&session, "notes.md").await.contains("second line, edited"));
    world.is_sound();
}
