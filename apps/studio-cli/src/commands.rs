use std::process::ExitCode;

use serde_json::{Value, json};
use studio_api::answers::{Done, GateList, LoginLink, OpenGate, SessionCreated, SessionList};
use studio_ids::SessionId;

use crate::{
    Command,
    client::{Client, ClientError},
    follow::{Go, follow},
    show::{Show, harmless, out},
};

/// The exit code of what ctrl-c ended before its end was known.
const INTERRUPTED: u8 = 130;

/// Everything but `serve`.
pub(crate) async fn run(command: Command) -> Result<ExitCode, ClientError> {
    // To stop looking is the ordinary end of looking; elsewhere it leaves the end unknown.
    let interrupted = if matches!(command, Command::Tail { .. }) { 0 } else { INTERRUPTED };
    let work = async {
        match command {
            Command::Create { description, freeform, model, detach, to } => {
                let mut body = json!({ "description": description, "freeform": freeform });
                if let Some(model) = model {
                    body["model"] = Value::from(model);
                }
                create(Client::new(&to)?, &body, detach).await
            }
            Command::Tail { session, from, json, to } => {
                tail(&Client::new(&to)?, session, &from, json).await
            }
            Command::Say { session, request, to } => {
                let path = format!("/api/sessions/{session}/iterate");
                let body = json!({ "request": request });
                let Done { .. } = Client::new(&to)?.post(&path, &body).await?;
                Ok(ExitCode::SUCCESS)
            }
            Command::Answer { session, answer, gate, to } => {
                self::answer(&Client::new(&to)?, session, &answer, gate.as_deref()).await
            }
            Command::Sessions { json, to } => sessions(&Client::new(&to)?, json).await,
            Command::LoginLink { to } => {
                let LoginLink { url, .. } =
                    Client::new(&to)?.post("/api/login-links", &json!({})).await?;
                out(&url);
                Ok(ExitCode::SUCCESS)
            }
            // Not for a runtime of ours: see `main`.
            Command::Serve(args) => Ok(studio_server::main(args)),
            Command::Streams { .. } => Err(ClientError::Usage("see `studio streams`".to_owned())),
            Command::Doctor { .. } => Err(ClientError::Usage("see `studio doctor`".to_owned())),
            Command::Config { .. } => Err(ClientError::Usage("see `studio config`".to_owned())),
        }
    };
    tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::from(interrupted)),
    }
}

async fn create(client: Client, body: &Value, detach: bool) -> Result<ExitCode, ClientError> {
    let created: SessionCreated = client.post("/api/sessions", body).await?;
    let session = created.session_id;
    out(&format!("session {session}"));
    out(&format!("token   {}", created.session_token));
    if detach {
        return Ok(ExitCode::SUCCESS);
    }
    let client = client.with_token(created.session_token);
    let show = Show::for_stdout();
    let success = follow(&client, session, "-1", |event| {
        let Ok(event) = serde_json::from_str::<Value>(&event.data) else { return Go::On };
        print_event(show, &event);
        hint(session, &event);
        match event["type"].as_str() {
            Some("session_end") => Go::Stop(event["success"] == true),
            _ => Go::On,
        }
    })
    .await?;
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tells how to answer what was just asked.
fn hint(session: SessionId, event: &Value) {
    let with = match event["type"].as_str() {
        Some("infra_config_prompt") => "local",
        Some("permission_request") => "allow|deny",
        Some("ask_user_question") => "\"your answer\"",
        _ => return,
    };
    out(&format!("           answer with: studio answer {session} {with}"));
}

async fn tail(
    client: &Client,
    session: SessionId,
    from: &str,
    json: bool,
) -> Result<ExitCode, ClientError> {
    let show = Show::for_stdout();
    follow(client, session, from, |event| {
        if json {
            out(&event.data);
        } else if let Ok(event) = serde_json::from_str::<Value>(&event.data) {
            print_event(show, &event);
        }
        Go::On
    })
    .await
}

fn print_event(show: Show, event: &Value) {
    if let Some(line) = show.event(event) {
        out(&line);
    }
}

async fn answer(
    client: &Client,
    session: SessionId,
    words: &[String],
    gate: Option<&str>,
) -> Result<ExitCode, ClientError> {
    let list: GateList = client.get(&format!("/api/sessions/{session}/gates")).await?;
    if words.is_empty() {
        list.gates.iter().for_each(print_gate);
        return Ok(ExitCode::SUCCESS);
    }
    let mut fitting =
        list.gates.iter().filter(|open| gate.is_none_or(|wanted| open.id.as_str() == wanted));
    let open = match (fitting.next(), fitting.next()) {
        (Some(open), None) => open,
        (None, _) => return Err(ClientError::Usage("nothing waits for an answer".to_owned())),
        (Some(_), Some(_)) => {
            list.gates.iter().for_each(print_gate);
            return Err(ClientError::Usage("several wait: choose one with --gate".to_owned()));
        }
    };
    let body = body_for(open, words).map_err(ClientError::Usage)?;
    let Done { .. } = client.post(&format!("/api/sessions/{session}/respond"), &body).await?;
    Ok(ExitCode::SUCCESS)
}

fn print_gate(open: &OpenGate) {
    out(&format!("{} {}", harmless(&open.gate), open.id));
    print_event(Show::for_stdout(), &open.asked);
}

/// What answers this gate with these words.
fn body_for(open: &OpenGate, words: &[String]) -> Result<Value, String> {
    let one = || match words {
        [word] => Ok(word.as_str()),
        _ => Err("this takes one word".to_owned()),
    };
    match open.gate.as_str() {
        "infra_config" => match one()? {
            "local" => Ok(json!({ "gate": "infra_config", "mode": "local", "_summary": "local" })),
            other => Err(format!("this command can answer `local` only, not {other}")),
        },
        "permission" => {
            let decision = match one()? {
                "allow" | "yes" | "y" => "allow",
                "deny" | "no" | "n" => "deny",
                other => return Err(format!("answer `allow` or `deny`, not {other}")),
            };
            Ok(json!({
                "gate": "permission", "toolUseId": open.id, "decision": decision,
                "_summary": decision,
            }))
        }
        "ask_user_question" => {
            let asked = questions(&open.asked);
            if asked.len() != words.len() {
                let (all, given) = (asked.len(), words.len());
                return Err(format!(
                    "{all} questions wait and {given} were answered: give each its own"
                ));
            }
            let answers: serde_json::Map<String, Value> =
                asked.into_iter().zip(words.iter().cloned().map(Value::from)).collect();
            Ok(json!({
                "gate": "ask_user_question", "toolUseId": open.id, "answers": answers,
                "_summary": words.join("; "),
            }))
        }
        other => Err(format!("this command cannot answer a gate of kind {other}")),
    }
}

fn questions(asked: &Value) -> Vec<String> {
    let text = |question: &Value| question["question"].as_str().map(str::to_owned);
    match asked["questions"].as_array() {
        Some(all) => all.iter().filter_map(text).collect(),
        None => text(asked).into_iter().collect(),
    }
}

async fn sessions(client: &Client, json: bool) -> Result<ExitCode, ClientError> {
    let mut path = "/api/sessions".to_owned();
    loop {
        let page: SessionList = client.get(&path).await?;
        for session in &page.sessions {
            if json {
                let line = serde_json::to_string(session).unwrap_or_default();
                out(&line);
                continue;
            }
            let status = serde_json::to_value(session.status).unwrap_or_default();
            let status = status.as_str().unwrap_or_default().to_owned();
            let waits = if session.needs_input == Some(true) { " (waits for you)" } else { "" };
            let what: String = session.description.split_whitespace().collect::<Vec<_>>().join(" ");
            let what: String = what.chars().take(80).collect();
            out(&format!("{} {status:9} {}{waits}", session.id, harmless(&what)));
        }
        match page.next {
            Some(next) => path = format!("/api/sessions?cursor={next}"),
            None => return Ok(ExitCode::SUCCESS),
        }
    }
}
