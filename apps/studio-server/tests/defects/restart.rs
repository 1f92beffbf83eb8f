//! Servers that die with sessions in every state: all of them are back, each time, and health says
//! so no sooner.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use studio_testkit::{StudioServer, wait_for};

use crate::studio::{SOON, Session, hooked, is_sound, post, with_script};

/// How often the server is killed.
const ROUNDS: u32 = 50;

/// Does what it is told: ask, ask for leave to call a tool, hang, sleep (and hear nothing more), or
/// anything else, which it does at once; each turn costs two cents.
const AGENT: &str = r#"#!/bin/sh
end() { echo '{"type":"result","subtype":"'$1'","is_error":'$2',"num_turns":1,"duration_ms":1,"total_cost_usd":'$cost',"session_id":"5d1f0c1e-0000-4000-8000-000000000003"}'; }
request() { echo '{"type":"control_request","request_id":"'$1'","request":{"subtype":"can_use_tool","tool_name":"'$2'","tool_use_id":"'$1'","input":'$3'}}'; }
turns=0; cost=0
while IFS= read -r line; do
    case $line in
    *'"subtype":"interrupt"'*)
        id=$(printf '%s' "$line" | sed 's/.*"request_id":"\([^"]*\)".*/\1/')
        echo '{"type":"control_response","response":{"subtype":"success","request_id":"'$id'"}}'
        end error_during_execution true; continue ;;
    *'"type":"control_response"'*) end success false; continue ;;
    *'"type":"user"'*) ;;
    *) continue ;;
    esac
    turns=$((turns + 1)); cost=0.0$((turns * 2))
    echo '{"type":"system","subtype":"init","session_id":"5d1f0c1e-0000-4000-8000-000000000003","cwd":"/","tools":[],"model":"m"}'
    case $line in
    *please-ask*) request q1 AskUserQuestion '{"questions":[{"question":"Colour?","header":"C","options":[{"label":"Red","description":""},{"label":"Blue","description":""}],"multiSelect":false}]}' ;;
    *please-leave*) request p1 Bash '{"command":"true"}' ;;
    *please-hang*) ;;
    *please-sleep*) exec sleep 100000 ;;
    *) end success false ;;
    esac
done
"#;

/// What must be the same after every restart.
async fn stands(server: &StudioServer, session: &Session) -> Value {
    let (status, info) = session.ask(server, "").await;
    assert_eq!(status, 200, "{info}");
    let gates = session.ask(server, "gates").await.1["gates"].clone();
    let gate = |gate: &Value| json!([gate["id"], gate["gate"], gate["deadline"], gate["asked"]]);
    let gates: Vec<Value> = gates.as_array().unwrap().iter().map(gate).collect();
    let queue = session.ask(server, "queue").await.1["messages"].clone();
    let word = |message: &Value| json!([message["id"], message["text"], message["state"]]);
    let queue: Vec<Value> = queue.as_array().unwrap().iter().map(word).collect();
    let usage = session.ask(server, "usage").await.1;
    json!({
        "status": info["status"], "needsInput": info["needsInput"], "gates": gates,
        "queue": queue, "cost": usage["totalCostUsd"], "budget": usage["budgetUsd"],
    })
}

/// Waits until a session stands so.
async fn until(server: &StudioServer, session: &Session, status: &str, gates: usize) {
    let patience = Instant::now() + SOON;
    loop {
        let told = stands(server, session).await;
        let open = told["gates"].as_array().unwrap().len();
        if told["status"] == status && open == gates {
            return;
        }
        if patience < Instant::now() {
            let log = session.ask(server, "export").await.1;
            panic!("not {status} with {gates} gates: {told}\n{log}\n{}", server.output());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn healthy(server: &StudioServer) {
    wait_for("health", SOON, async || {
        let answer = server.client().get(server.url("/api/health")).send().await.ok()?;
        (answer.status() == 200).then_some(())
    })
    .await;
}

async fn said(server: &StudioServer, session: &Session, words: &str) -> u16 {
    session.tell(server, "iterate", &json!({ "request": words })).await.0
}

/// Issue "Restart", D30-30, D30-61, D30-67: 50 kills at random moments with sessions in every
/// state; at the moment when health says so, every one of them stands as it stood.
#[tokio::test]
async fn d30_30_d30_67_sessions_in_every_state_outlive_fifty_kills() {
    let (builder, _agent) = with_script(AGENT);
    let mut server = builder.start().await;
    let freeform = |words: &str| json!({ "description": words, "freeform": true });
    let infra = Session::create(&server, &json!({ "description": "an app" })).await;
    let asks = Session::create(&server, &freeform("please-ask")).await;
    let leave = Session::create(&server, &freeform("please-leave")).await;
    let runs = Session::create(&server, &freeform("please-hang")).await;
    let held = Session::create(&server, &freeform("one")).await;
    let done = Session::create(&server, &freeform("one")).await;
    let over = json!({ "description": "one", "freeform": true, "budgetUsd": 0.01 });
    let over = Session::create(&server, &over).await;
    let gone = Session::create(&server, &freeform("please-hang")).await;
    let (local, _hook) = hooked(&server).await;
    until(&server, &infra, "running", 1).await;
    until(&server, &asks, "running", 1).await;
    until(&server, &leave, "running", 1).await;
    until(&server, &done, "complete", 0).await;
    until(&server, &over, "error", 0).await;
    until(&server, &held, "complete", 0).await;
    for session in [&gone, &runs] {
        wait_for("a started agent", SOON, async || {
            let (_, git) = session.ask(&server, "").await;
            git["lastCoderSessionId"].is_string().then_some(())
        })
        .await;
    }
    // Two messages are held: the agent heard neither to its end before it was stopped.
    assert_eq!(said(&server, &held, "please-sleep").await, 200);
    assert_eq!(said(&server, &held, "hold this").await, 200);
    assert_eq!(held.tell(&server, "interrupt", &json!({})).await.0, 200);
    until(&server, &held, "complete", 0).await;
    assert_eq!(gone.tell(&server, "cancel", &json!({})).await.0, 200);

    let all = [&infra, &asks, &leave, &runs, &held, &done, &over, &gone, &local];
    let mut before = Vec::new();
    for session in all {
        before.push(stands(&server, session).await);
    }
    let held_now = &before[4]["queue"];
    assert_eq!(held_now[1][1], "hold this", "{held_now}");
    assert_eq!((&before[6]["cost"], &before[7]["status"]), (&json!(0.02), &json!("cancelled")));

    let mut dice = Dice::new();
    for round in 0..ROUNDS {
        // One more is somewhere between its creation and the end of its turn when the server dies.
        let new = Session::create(&server, &freeform("two")).await;
        tokio::time::sleep(dice.millis(120)).await;
        server.crash().await;
        server.restart().await;
        healthy(&server).await;
        for (session, stood) in all.iter().zip(&before) {
            assert_eq!(&stands(&server, session).await, stood, "round {round}");
        }
        until(&server, &new, "complete", 0).await;
        assert_eq!(stands(&server, &new).await["cost"], json!(0.02), "round {round}");
        assert_eq!(new.delete(&server).await.0, 200, "round {round}");
    }

    // And all of them go on from there.
    let answer =
        json!({ "gate": "ask_user_question", "toolUseId": "q1", "answers": { "Colour?": "Red" } });
    assert_eq!(asks.tell(&server, "respond", &answer).await.0, 200);
    let answer = json!({ "gate": "permission", "toolUseId": "p1", "decision": "allow" });
    assert_eq!(leave.tell(&server, "respond", &answer).await.0, 200);
    let answer = json!({ "gate": "infra_config", "mode": "local" });
    assert_eq!(infra.tell(&server, "respond", &answer).await.0, 200);
    for session in [&asks, &leave, &infra] {
        until(&server, session, "complete", 0).await;
    }
    assert_eq!(runs.tell(&server, "interrupt", &json!({})).await.0, 200);
    until(&server, &runs, "complete", 0).await;
    assert_eq!(said(&server, &over, "more").await, 402);
    is_sound(&server);
}

/// A message on which the agent dies each time is dropped by a person, and the session is of use
/// again.
#[tokio::test]
async fn a_message_on_which_the_agent_dies_can_be_dropped() {
    const DIES: &str = r#"#!/bin/sh
while IFS= read -r line; do
    case $line in *poison*) exit 3 ;; *'"type":"user"'*) ;; *) continue ;; esac
    echo '{"type":"system","subtype":"init","session_id":"5d1f0c1e-0000-4000-8000-000000000004","cwd":"/","tools":[],"model":"m"}'
    echo '{"type":"result","subtype":"success","is_error":false,"num_turns":1,"duration_ms":1,"total_cost_usd":0.01,"session_id":"5d1f0c1e-0000-4000-8000-000000000004"}'
done
"#;
    let (builder, _agent) = with_script(DIES);
    let mut server = builder.start().await;
    let session = Session::freeform(&server, "one").await;
    until(&server, &session, "complete", 0).await;
    assert_eq!(said(&server, &session, "poison").await, 200);
    until(&server, &session, "error", 0).await;
    server.crash().await;
    server.restart().await;
    let queue = session.ask(&server, "queue").await.1["messages"].clone();
    assert_eq!(
        (&queue[0]["text"], &queue[0]["state"]),
        (&json!("poison"), &json!("held")),
        "{queue}"
    );
    let id = queue[0]["id"].as_str().unwrap().to_owned();
    let drop_it = async |server: &StudioServer, id: &str, token: &str| {
        let url = server.url(&session.path(&format!("queue/{id}")));
        server.client().delete(url).bearer_auth(token).send().await.unwrap().status().as_u16()
    };
    assert_eq!(drop_it(&server, &id, "").await, 401);
    for bad in ["00000000-0000-4000-8000-000000000009", "x", "-1", "%0a", "'; rm -rf %2F"] {
        assert_eq!(drop_it(&server, bad, &session.token).await, 404, "{bad}");
    }
    assert_eq!(drop_it(&server, &id, &session.token).await, 200);
    assert_eq!(drop_it(&server, &id, &session.token).await, 404, "once");
    server.crash().await;
    server.restart().await;
    assert_eq!(session.ask(&server, "queue").await.1["messages"], json!([]));
    assert_eq!(said(&server, &session, "two").await, 200);
    until(&server, &session, "complete", 0).await;
    is_sound(&server);
}

/// D30-61: a person raises the budget of a session that has spent it, and it goes on; before that
/// it does not, after it only so far.
#[tokio::test]
async fn d30_61_a_person_raises_the_budget_and_the_session_goes_on() {
    let (builder, _agent) = with_script(AGENT);
    let mut server = builder.start().await;
    let body = json!({ "description": "one", "freeform": true, "budgetUsd": 0.01 });
    let session = Session::create(&server, &body).await;
    until(&server, &session, "error", 0).await;
    assert_eq!(said(&server, &session, "two").await, 402);
    let raise = async |server: &StudioServer, body: Value| {
        let url = server.url(&session.path(""));
        let request = server.client().patch(url).bearer_auth(&session.token).json(&body);
        request.send().await.unwrap().status().as_u16()
    };
    for bad in [json!(0), json!(-5), json!("9"), json!({})] {
        assert_eq!(raise(&server, json!({ "budgetUsd": bad })).await, 400);
    }
    assert_eq!(raise(&server, json!({ "budgetUsd": 0.05 })).await, 200);
    assert_eq!(session.ask(&server, "usage").await.1["leftUsd"].as_f64().map(cents), Some(3));
    server.crash().await;
    server.restart().await;
    healthy(&server).await;
    assert_eq!(said(&server, &session, "two").await, 200);
    until(&server, &session, "complete", 0).await;
    let usage = session.ask(&server, "usage").await.1;
    assert_eq!(usage["totalCostUsd"].as_f64().map(cents), Some(4), "{usage}");
    assert_eq!(said(&server, &session, "three").await, 200);
    until(&server, &session, "error", 0).await;
    assert_eq!(said(&server, &session, "four").await, 402);
    let (status, _) = post(&server, "/api/sessions/x/iterate", &session.token, &body).await;
    assert_eq!(status, 401);
    is_sound(&server);
}

fn cents(usd: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "a few cents")]
    let cents = (usd * 100.0).round() as i64;
    cents
}

/// Small, seeded by the clock; the seed is in the output of a test that fails.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let seed = u64::from(now.subsec_nanos()) | 1;
        #[expect(clippy::print_stdout, reason = "to try it again")]
        {
            println!("the dice begin with {seed}");
        }
        Self(seed)
    }

    fn millis(&mut self, below: u64) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(self.0 % below)
    }
}
