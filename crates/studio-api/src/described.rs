//! What bodies look like, for the OpenAPI document: each schema says what the body's `decode`
//! takes. They are written by hand because the bodies are read by hand, in the reference's words.

use serde_json::{Value, json};

use crate::{
    AppendEvent, ChangeSession, CreateLocalSession, CreateSandbox, CreateSession, Iterate, Respond,
    ResumeSession, SetUpHooks,
    limits::{ANSWERS_MAX, DIRECTORY_UNITS_MAX, KEY_UNITS_MAX, SHORT_UNITS_MAX, TEXT_UNITS_MAX},
};

/// A body that the OpenAPI document tells of.
pub trait Described {
    /// Its name among the document's schemas.
    const NAME: &'static str;

    /// JSON Schema (2020-12): every value that it takes is a body that is taken.
    fn schema() -> Value;

    /// A body as a client would send it.
    fn example() -> Value;
}

/// Text without control characters.
const PLAIN: &str = r"^[^\u0000-\u001f\u007f-\u009f]*$";
/// An id that an agent or the studio gave.
const GATE: &str = r"^[A-Za-z0-9][A-Za-z0-9._:-]*$";
/// GitHub's names of owners.
const OWNER: &str = r"^[A-Za-z0-9]([A-Za-z0-9]|-[A-Za-z0-9]){0,18}$";
/// GitHub's names of repositories.
const REPOSITORY: &str = r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,98}$";
/// Addresses of repositories.
const REPOSITORY_URL: &str = r"^https://github\.com/[A-Za-z0-9]([A-Za-z0-9]|-[A-Za-z0-9]){0,18}/[A-Za-z0-9_][A-Za-z0-9_-]{0,98}$";
/// What is taken for an address of a database.
const POSTGRES: &str = r"^(postgres|postgresql)://([a-z0-9_]+(:[A-Za-z0-9_%]+)?@)?[a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*)*(:[1-9][0-9]{0,3})?(/[A-Za-z0-9_-]*)?$";
/// What is taken for an address of a sync service.
const HTTP: &str =
    r"^https?://[a-z][a-z0-9-]*(\.[a-z][a-z0-9-]*)*(:[1-9][0-9]{0,3})?(/[A-Za-z0-9_-]*)*$";

fn text(min: usize) -> Value {
    json!({ "type": "string", "minLength": min, "maxLength": TEXT_UNITS_MAX })
}

fn plain(min: usize, max: usize) -> Value {
    json!({ "type": "string", "minLength": min, "maxLength": max, "pattern": PLAIN })
}

fn matching(pattern: &str, max: usize) -> Value {
    json!({ "type": "string", "maxLength": max, "pattern": pattern })
}

fn told(mut schema: Value, about: &str) -> Value {
    schema["description"] = about.into();
    schema
}

fn key(about: &str) -> Value {
    told(plain(0, KEY_UNITS_MAX), about)
}

fn gate_id(about: &str) -> Value {
    told(matching(GATE, 200), about)
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties })
}

impl Described for CreateSession {
    const NAME: &'static str = "CreateSession";

    fn schema() -> Value {
        let short = json!({
            "type": "string", "maxLength": SHORT_UNITS_MAX, "deprecated": true,
            "description": "Checked and ignored.",
        });
        object(
            &["description"],
            json!({
                "description": told(text(1), "What the agent is to do."),
                "freeform": {
                    "type": "boolean",
                    "description": "The description alone is the prompt: no question about infrastructure. In development mode only.",
                },
                "apiKey": key("The agent's key; the server's own when absent or empty."),
                "oauthToken": key("In place of a key."),
                "ghToken": key("A GitHub token of the user's."),
                "model": {
                    "type": "string", "maxLength": SHORT_UNITS_MAX,
                    "pattern": "^[A-Za-z0-9][A-Za-z0-9._:/@\\[\\]-]*$",
                    "description": "The model; the server's choice when absent.",
                },
                "budgetUsd": {
                    "type": "number", "exclusiveMinimum": 0,
                    "description": "US dollars that the session may cost.",
                },
                "permissions": {
                    "enum": ["allow_listed", "ask"],
                    "description": "`ask`: a person is asked about everything that changes something.",
                },
                "name": short.clone(),
                "baseDir": short,
            }),
        )
    }

    fn example() -> Value {
        json!({ "description": "Build me a small todo app", "permissions": "ask", "budgetUsd": 2.5 })
    }
}

impl Described for ResumeSession {
    const NAME: &'static str = "ResumeSession";

    fn schema() -> Value {
        let url = json!({
            "type": "string", "minLength": 1, "maxLength": KEY_UNITS_MAX, "pattern": REPOSITORY_URL,
        });
        let branch = matching("^[A-Za-z0-9_][A-Za-z0-9_-]{0,99}$", SHORT_UNITS_MAX);
        object(
            &["repoUrl"],
            json!({
                "repoUrl": told(url, "A repository of the studio's GitHub, as people copy its address."),
                "branch": told(branch, "What is checked out; the repository's own choice when absent."),
                "apiKey": key("The agent's key; the server's own when absent or empty."),
                "oauthToken": key("In place of a key."),
                "ghToken": key("A GitHub token of the user's, for a repository that not everybody may read."),
            }),
        )
    }

    fn example() -> Value {
        json!({ "repoUrl": "https://github.com/acme/kites", "branch": "main" })
    }
}

impl Described for CreateLocalSession {
    const NAME: &'static str = "CreateLocalSession";

    fn schema() -> Value {
        object(&[], json!({ "description": told(text(0), "What the session is about.") }))
    }

    fn example() -> Value {
        json!({ "description": "kites" })
    }
}

impl Described for ChangeSession {
    const NAME: &'static str = "ChangeSession";

    fn schema() -> Value {
        let name = json!({
            "anyOf": [plain(1, SHORT_UNITS_MAX), { "type": "null" }],
            "description": "What a person calls it; null takes the name away.",
        });
        let mut schema = object(
            &[],
            json!({
                "name": name,
                "archived": { "type": "boolean", "description": "Whether it is put away." },
                "budgetUsd": {
                    "anyOf": [{ "type": "number", "exclusiveMinimum": 0 }, { "type": "null" }],
                    "description": "US dollars that it may spend in all; null leaves the server's limit alone.",
                },
            }),
        );
        schema["anyOf"] = json!([
            { "required": ["name"] }, { "required": ["archived"] }, { "required": ["budgetUsd"] }
        ]);
        schema
    }

    fn example() -> Value {
        json!({ "name": "The kite shop", "archived": false })
    }
}

impl Described for Iterate {
    const NAME: &'static str = "Iterate";

    fn schema() -> Value {
        object(&["request"], json!({ "request": told(text(1), "What is said to the agent.") }))
    }

    fn example() -> Value {
        json!({ "request": "Make the kites blue" })
    }
}

impl Described for Respond {
    const NAME: &'static str = "Respond";

    fn schema() -> Value {
        let mut schema = object(
            &["gate"],
            json!({ "_summary": told(text(0), "The answer in a line, for the log.") }),
        );
        schema["oneOf"] = json!([
            infra_config(),
            question(),
            permission(),
            outbound(),
            approval(),
            clarification(),
            go_on(),
            revision()
        ]);
        schema
    }

    fn example() -> Value {
        json!({
            "gate": "ask_user_question", "toolUseId": "toolu_01",
            "answers": { "Which colour?": "Blue" },
        })
    }
}

fn of_gate(name: &str, required: &[&str], mut properties: Value) -> Value {
    properties["gate"] = json!({ "const": name });
    let mut schema = object(required, properties);
    schema["title"] = name.into();
    schema
}

fn infra_config() -> Value {
    let mut schema = of_gate("infra_config", &["mode"], repository_properties());
    schema["oneOf"] = modes(&["local", "cloud", "claim"]);
    schema
}

fn repository_properties() -> Value {
    json!({
        "repoAccount": told(matching(OWNER, SHORT_UNITS_MAX), "Who owns the repository."),
        "repoName": told(matching(REPOSITORY, SHORT_UNITS_MAX), "Its name."),
        "repoVisibility": { "enum": ["private", "public"], "description": "`private` when absent." },
    })
}

/// Where data lives: one schema for each of `names`.
fn modes(names: &[&str]) -> Value {
    let all = names.iter().map(|name| {
        let mode = json!({ "const": name });
        if !matches!(*name, "cloud" | "claim") {
            return object(&["mode"], json!({ "mode": mode }));
        }
        let mut required = vec!["mode", "databaseUrl", "electricUrl", "sourceId", "secret"];
        if *name == "claim" {
            required.push("claimId");
        }
        object(
            &required,
            json!({
                "mode": mode,
                "databaseUrl": matching(POSTGRES, KEY_UNITS_MAX),
                "electricUrl": matching(HTTP, KEY_UNITS_MAX),
                "sourceId": plain(1, SHORT_UNITS_MAX),
                "secret": plain(1, KEY_UNITS_MAX),
                "claimId": plain(usize::from(*name == "claim"), SHORT_UNITS_MAX),
            }),
        )
    });
    all.collect()
}

fn question() -> Value {
    of_gate(
        "ask_user_question",
        &["toolUseId"],
        json!({
            "toolUseId": gate_id("The tool call that asked."),
            "answers": {
                "anyOf": [
                    { "type": "object", "additionalProperties": text(0), "maxProperties": ANSWERS_MAX },
                    { "type": "null" },
                ],
                "description": "Question → answer; several chosen labels are joined with a comma and a blank.",
            },
            "question": told(text(0), "The older form: the one question."),
            "answer": told(text(0), "The older form: its answer."),
        }),
    )
}

fn permission() -> Value {
    let mut schema = of_gate(
        "permission",
        &["decision"],
        json!({
            "toolUseId": gate_id("The tool call that asked."),
            "gateId": gate_id("The same."),
            "decision": { "enum": ["allow", "deny"] },
            "always": { "type": "boolean", "description": "Calls of this kind are not asked about again." },
            "message": told(text(0), "Told to the agent on a refusal."),
        }),
    );
    schema["anyOf"] = json!([{ "required": ["toolUseId"] }, { "required": ["gateId"] }]);
    schema
}

fn outbound() -> Value {
    of_gate(
        "outbound_message_gate",
        &["gateId", "action"],
        json!({
            "gateId": gate_id("Which message."),
            "action": { "enum": ["approve", "edit", "drop"] },
            "editedBody": told(text(0), "The words to send instead."),
        }),
    )
}

fn approval() -> Value {
    of_gate("approval", &[], json!({ "decision": text(1) }))
}

fn clarification() -> Value {
    let answers =
        json!({ "type": "array", "minItems": 1, "maxItems": ANSWERS_MAX, "items": text(1) });
    of_gate("clarification", &["answers"], json!({ "answers": answers }))
}

fn go_on() -> Value {
    of_gate("continue", &[], json!({ "proceed": { "type": "boolean" } }))
}

fn revision() -> Value {
    let mut schema = of_gate("revision", &[], json!({}));
    schema["description"] =
        "The object without `gate` and `_summary` is the text that the agent gets.".into();
    schema
}

impl Described for CreateSandbox {
    const NAME: &'static str = "CreateSandbox";

    fn schema() -> Value {
        object(
            &[],
            json!({
                "sessionId": {
                    "type": "string",
                    "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
                    "description": "Under which id; a new one when absent.",
                },
                "projectName": {
                    "type": "string", "maxLength": 100,
                    "pattern": "^[A-Za-z0-9][A-Za-z0-9_-]*$",
                    "description": "The project directory's name.",
                },
                "infra": { "oneOf": modes(&["none", "local", "cloud", "claim"]) },
            }),
        )
    }

    fn example() -> Value {
        json!({ "projectName": "kites", "infra": { "mode": "none" } })
    }
}

impl Described for SetUpHooks {
    const NAME: &'static str = "SetUpHooks";

    fn schema() -> Value {
        let directory = json!({
            "type": "string", "minLength": 1, "maxLength": DIRECTORY_UNITS_MAX,
            "pattern": r"^(/|[A-Za-z]:\\)[^\u0000-\u001f\u007f-\u009f]*$",
            "description": "Where the project lies on its machine: an absolute path.",
        });
        object(&["directory"], json!({ "directory": directory }))
    }

    fn example() -> Value {
        json!({ "directory": "/home/me/kites" })
    }
}

impl Described for AppendEvent {
    const NAME: &'static str = "AppendEvent";

    fn schema() -> Value {
        let event = |name: &str, required: &[&str], mut properties: Value| {
            properties["type"] = json!({ "const": name });
            let mut all = vec!["type"];
            all.extend(required);
            object(&all, properties)
        };
        let (words, id) = (json!({ "type": "string" }), json!({ "type": "string" }));
        let maybe = json!({ "type": ["string", "null"] });
        let levels =
            ["plan", "approve", "task", "build", "fix", "done", "system", "error", "verbose"];
        json!({ "oneOf": [
            event("log", &["level", "message"], json!({ "level": { "enum": levels }, "message": words })),
            event("assistant_message", &["text"], json!({ "text": words, "agent": maybe })),
            event("assistant_thinking", &["text"], json!({ "text": words, "agent": maybe })),
            event("pre_tool_use", &["tool_name", "tool_use_id", "tool_input"],
                json!({ "tool_name": words, "tool_use_id": id, "tool_input": true, "agent": maybe })),
            event("post_tool_use", &["tool_use_id", "tool_response"],
                json!({ "tool_use_id": id, "tool_name": maybe, "tool_response": words, "error": maybe })),
            event("post_tool_use_failure", &["tool_use_id", "tool_name", "error"],
                json!({ "tool_use_id": id, "tool_name": words, "error": words, "agent": maybe })),
            event("todo_write", &["tool_use_id", "todos"],
                json!({ "tool_use_id": id, "todos": { "type": "array" } })),
            event("git_checkpoint", &["commitHash", "message"],
                json!({ "commitHash": words, "message": words })),
        ] })
    }

    fn example() -> Value {
        json!({ "type": "log", "level": "done", "message": "All kites are blue" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Body;

    fn example_is_taken<T: Body + Described>() {
        let told = T::decode(&T::example()).err().map(|error| error.to_string());
        assert_eq!(told, None, "{}", T::NAME);
        assert!(T::schema().is_object());
    }

    #[test]
    fn every_example_is_a_body_that_is_taken() {
        example_is_taken::<CreateSession>();
        example_is_taken::<CreateLocalSession>();
        example_is_taken::<ChangeSession>();
        example_is_taken::<ResumeSession>();
        example_is_taken::<Iterate>();
        example_is_taken::<Respond>();
        example_is_taken::<CreateSandbox>();
        example_is_taken::<AppendEvent>();
        example_is_taken::<SetUpHooks>();
    }
}
