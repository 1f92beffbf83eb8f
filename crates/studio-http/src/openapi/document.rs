use std::collections::BTreeMap;

use axum::http::Method;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};
use studio_api::{ErrorCode, ProblemBody};
use studio_events::Stamped;

use super::{
    operation::{Operation, Shape},
    operations, streams,
};
use crate::{Policy, routes};

/// Where the schemas stand.
const SCHEMAS: &str = "/components/schemas";

/// The OpenAPI 3.1 document of all routes.
pub fn openapi() -> Value {
    let settings = SchemaSettings::draft2020_12().for_serialize();
    let mut schemas = settings.with(|s| s.definitions_path = SCHEMAS.into()).into_generator();
    let policies: BTreeMap<_, _> = routes()
        .into_iter()
        .map(|route| ((route.path, route.method.to_string()), route.policy))
        .collect();
    let mut paths = Map::new();
    let mut given = Map::new();
    for operation in operations::all() {
        // One that is in no table of routes is found by a test.
        let key = (operation.path, operation.method.to_string());
        let Some(policy) = policies.get(&key).copied() else { continue };
        if let Some((name, schema)) = &operation.defines {
            given.insert((*name).to_owned(), schema.clone());
        }
        let path = operation.path.replace("{*", "{");
        let method = operation.method.as_str().to_ascii_lowercase();
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        entry[method] = told(operation, policy, &mut schemas);
    }
    // What a stream of events has in its `data`.
    schemas.subschema_for::<Stamped>();
    schemas.subschema_for::<ProblemBody>();
    let mut all = schemas.take_definitions(true);
    all.extend(given);
    all.insert(streams::PROBLEM.to_owned(), streams::problem());
    if let Some(event) = all.remove("Stamped") {
        all.insert("SessionEvent".to_owned(), event);
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Agent Studio",
            "version": env!("CARGO_PKG_VERSION"),
            "description": ABOUT,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": { "schemas": all, "securitySchemes": schemes() },
    });
    without_links(&mut document);
    document
}

const ABOUT: &str = "Describe a task, a real coding agent does it in a sandbox. Bodies are JSON in \
    UTF-8. Failures are `application/problem+json`: match on `code`, whose meaning never changes. \
    Unknown fields of a request are dropped; answers may get new fields.";

/// One operation.
fn told(operation: Operation, policy: Policy, schemas: &mut SchemaGenerator) -> Value {
    let failures = failures(&operation, policy);
    let mut responses = Map::new();
    for answer in operation.answers {
        let mut response = json!({ "description": answer.about });
        if answer.about.is_empty() {
            response["description"] = "Done.".into();
        }
        if answer.headers.as_object().is_some_and(|headers| !headers.is_empty()) {
            response["headers"] = answer.headers;
        }
        for (media, shape, example) in answer.content {
            let schema = match shape {
                Shape::Type(schema) => schema(schemas).to_value(),
                Shape::Given(schema) => schema,
            };
            response["content"][media]["schema"] = schema;
            if let Some(example) = example {
                response["content"][media]["example"] = example;
            }
        }
        join(&mut responses, answer.status, response);
    }
    for (status, codes) in failures {
        join(&mut responses, status, failure(status, &codes));
    }
    let mut parameters = path_parameters(operation.path);
    parameters.extend(operation.parameters);
    let mut entry = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [tag(operation.path)],
        "security": security(policy, &operation.method),
        "responses": responses,
    });
    if !operation.about.is_empty() {
        entry["description"] = operation.about.into();
    }
    if !parameters.is_empty() {
        entry["parameters"] = parameters.into();
    }
    if let Some(body) = operation.body {
        entry["requestBody"] = body;
    }
    entry
}

/// Adds a response; two of one status have their kinds of bodies side by side.
fn join(responses: &mut Map<String, Value>, status: u16, response: Value) {
    let Some(there) = responses.get_mut(&status.to_string()) else {
        responses.insert(status.to_string(), response);
        return;
    };
    for part in ["content", "headers"] {
        let more = response.get(part).and_then(Value::as_object);
        for (name, value) in more.into_iter().flatten() {
            there[part][name.as_str()] = value.clone();
        }
    }
}

fn tag(path: &str) -> &'static str {
    match path {
        _ if path.starts_with("/v1/") => "streams",
        _ if path.ends_with("/tokens") || path.contains("/tokens/") => "tokens",
        _ if path.starts_with("/api/sandboxes") => "sandboxes",
        _ if path.starts_with("/api/sessions") => "sessions",
        _ if path.starts_with("/api/shared-sessions") => "shared sessions",
        _ if path.starts_with("/api/github") => "github",
        _ if path.starts_with("/api/hook") => "hooks",
        _ => "studio",
    }
}

fn path_parameters(path: &str) -> Vec<Value> {
    let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameters = names.map(|name| match name.strip_prefix('*') {
        Some(name) => json!({
            "name": name, "in": "path", "required": true,
            "schema": { "type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": 512 },
            "example": "notes",
        }),
        None if matches!(name, "owner" | "repo") => json!({
            "name": name, "in": "path", "required": true,
            "schema": { "type": "string", "pattern": "^[A-Za-z0-9_-]+$", "maxLength": 100 },
            "example": if name == "owner" { "acme" } else { "kites" },
        }),
        None if name == "code" => json!({
            "name": name, "in": "path", "required": true,
            "schema": { "type": "string", "pattern": "^[0-9a-f]{64}$", "maxLength": 64 },
        }),
        None => json!({
            "name": name, "in": "path", "required": true,
            "schema": { "type": "string", "format": "uuid" },
        }),
    });
    parameters.collect()
}

/// What can go wrong, by status.
fn failures(operation: &Operation, policy: Policy) -> BTreeMap<u16, Vec<ErrorCode>> {
    use ErrorCode::{
        BadRequest, BodyTooLarge, ForeignHost, ForeignOrigin, Internal, InvalidJson, NotLocal,
        RateLimited, RequestTimeout, SessionEnded, SessionNotFound, SharedSessionNotFound,
        Stopping, StreamsUnavailable, TakenOver, Unauthenticated, UnsupportedMediaType,
        ValidationFailed,
    };
    let mut codes = vec![ForeignHost, ForeignOrigin, Internal];
    codes.extend_from_slice(match policy {
        Policy::Open => &[],
        Policy::Create => &[Unauthenticated, RateLimited],
        Policy::Operator | Policy::ReadStream | Policy::WriteStream => &[Unauthenticated],
        Policy::LocalUser => &[Unauthenticated, NotLocal],
        Policy::LoginCode | Policy::SetupCode => {
            &[Unauthenticated, StreamsUnavailable, TakenOver, Stopping]
        }
        Policy::ProjectHook => {
            &[Unauthenticated, StreamsUnavailable, TakenOver, Stopping, SessionEnded]
        }
        Policy::InviteCode => &[SharedSessionNotFound, RateLimited, StreamsUnavailable],
        Policy::Room | Policy::WatchRoom => {
            &[Unauthenticated, SharedSessionNotFound, StreamsUnavailable, Stopping]
        }
        Policy::Session | Policy::Read | Policy::Watch | Policy::Hook | Policy::Git => {
            &[Unauthenticated, SessionNotFound, StreamsUnavailable, TakenOver, Stopping]
        }
    });
    if operation.takes_json {
        codes.extend([InvalidJson, ValidationFailed, BadRequest]);
        codes.extend([RequestTimeout, BodyTooLarge, UnsupportedMediaType]);
    }
    codes.extend_from_slice(&operation.fails);
    let mut by_status: BTreeMap<u16, Vec<ErrorCode>> = BTreeMap::new();
    for code in codes {
        let of_status = by_status.entry(code.status()).or_default();
        if !of_status.contains(&code) {
            of_status.push(code);
        }
    }
    by_status
}

fn failure(status: u16, codes: &[ErrorCode]) -> Value {
    let names: Vec<_> = codes.iter().map(|code| code.as_str()).collect();
    let examples: Map<_, _> =
        codes.iter().map(|&code| (code.as_str().to_owned(), example(code))).collect();
    let titles: Vec<_> = codes.iter().map(|code| code.title()).collect();
    let mut response = json!({
        "description": format!("{}.", titles.join("; ").trim_end_matches('.')),
        "content": { ProblemBody::CONTENT_TYPE: {
            "schema": { "allOf": [
                { "$ref": "#/components/schemas/ProblemBody" },
                { "properties": { "code": { "enum": names }, "status": { "const": status } } },
            ] },
            "examples": examples,
        } },
    });
    let header = |about: &str, schema: Value| json!({ "description": about, "schema": schema });
    if status == 401 {
        response["headers"]["WWW-Authenticate"] = header("`Bearer`.", json!({ "type": "string" }));
    }
    if codes.iter().any(|code| code.retry_after_seconds().is_some()) {
        let about = "Seconds after which another try makes sense.";
        response["headers"]["Retry-After"] = header(about, json!({ "type": "integer" }));
    }
    response
}

fn example(code: ErrorCode) -> Value {
    let is_of_fields = code == ErrorCode::ValidationFailed;
    let details = is_of_fields.then(|| "description: Required".to_owned()).into_iter().collect();
    json!({ "value": ProblemBody::new(code, code.title(), details) })
}

fn security(policy: Policy, method: &Method) -> Value {
    let one = |name: &str| json!({ name: [] });
    match policy {
        Policy::Open | Policy::InviteCode => json!([]),
        Policy::Create => json!([{}, one("operator"), one("login"), one("program")]),
        Policy::Operator => json!([one("operator"), one("login")]),
        Policy::Session => json!([one("session"), one("operator"), one("login")]),
        Policy::Read => json!([one("session"), one("operator"), one("login"), one("read")]),
        Policy::Watch => json!([
            one("session"),
            one("operator"),
            one("login"),
            one("read"),
            one("inQuery"),
            one("ticket")
        ]),
        Policy::Hook => json!([one("hook")]),
        Policy::Git => json!([one("git"), one("session"), one("operator")]),
        Policy::Room => json!([one("room"), one("operator"), one("login")]),
        Policy::WatchRoom => {
            json!([one("room"), one("operator"), one("login"), one("inQuery")])
        }
        Policy::ProjectHook => json!([one("projectHooks")]),
        Policy::SetupCode => json!([one("setupCode")]),
        Policy::LoginCode => json!([one("loginCode")]),
        Policy::LocalUser => json!([{}, one("operator")]),
        Policy::ReadStream if *method == Method::GET => {
            json!([one("streams"), one("operator"), one("session"), one("inQuery")])
        }
        Policy::ReadStream | Policy::WriteStream => json!([one("streams"), one("operator")]),
    }
}

fn schemes() -> Value {
    let bearer = |about: &str| json!({ "type": "http", "scheme": "bearer", "description": about });
    json!({
        "session": bearer("The session's token, given out when the session is made."),
        "operator": bearer("Who runs the studio: the token in its data directory. In development mode a connection from the same machine needs none."),
        "read": bearer("A token for looking at the session: `POST /api/sessions/{id}/tokens`."),
        "room": bearer("The shared session's token, given out when it is made and to who has its invite code."),
        "program": bearer("A key of a program that may create sessions: `POST /api/tokens`."),
        "hook": bearer("The session's hook token. It opens nothing else."),
        "git": bearer("What a sandbox's git asks for tokens with, for the session's one repository. It opens nothing else."),
        "projectHooks": bearer("The secret of a project whose agents tell the studio what they do."),
        "setupCode": bearer("The code in the installer's script: good once, for ten minutes."),
        "login": {
            "type": "apiKey", "in": "cookie", "name": "studio_login",
            "description": "A browser in which the operator has logged in. Counts only with an `Origin`, or a `Sec-Fetch-Site`, of the studio's own page.",
        },
        "loginCode": {
            "type": "apiKey", "in": "query", "name": "code",
            "description": "The code of a link that logs in, in the form: good once, for ten minutes.",
        },
        "ticket": {
            "type": "apiKey", "in": "query", "name": "ticket",
            "description": "What `POST /api/sessions/{id}/events-ticket` gave: good once, for thirty seconds.",
        },
        "streams": bearer("A token for the streams themselves: `studio streams token`."),
        "inQuery": {
            "type": "apiKey", "in": "query", "name": "token",
            "description": "The same token in the query, because a browser's EventSource sends no headers.",
        },
    })
}

/// Links between comments of the code mean nothing here.
fn without_links(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                without_links(value);
                if let (Value::String(text), "description") = (value, name.as_str()) {
                    *text = text.replace("[`crate::", "`").replace("[`", "`").replace("`]", "`");
                }
            }
        }
        Value::Array(all) => all.iter_mut().for_each(without_links),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
