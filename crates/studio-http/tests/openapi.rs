//! The document of all routes: whole, sound, and sent.
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod support;

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::Value;
use studio_flows::Mode;
use studio_http::{openapi, routes};
use support::{Ask, World};

/// Method and path of every operation.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let mut all = Vec::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            all.push((method.to_uppercase(), path.clone(), operation));
        }
    }
    all
}

fn all_values<'a>(value: &'a Value, see: &mut impl FnMut(&'a Value)) {
    see(value);
    match value {
        Value::Object(fields) => fields.values().for_each(|value| all_values(value, see)),
        Value::Array(all) => all.iter().for_each(|value| all_values(value, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_route_of_the_table_is_in_the_document_and_nothing_else() {
    // A route without a line in `src/openapi/operations.rs` is missing here.
    let document = openapi();
    let told: BTreeSet<_> =
        operations(&document).into_iter().map(|(method, path, _)| (method, path)).collect();
    let table: BTreeSet<_> = routes()
        .into_iter()
        .map(|route| (route.method.to_string(), route.path.replace("{*", "{")))
        .collect();
    assert_eq!(told, table);
}

#[test]
fn the_document_is_the_one_that_was_reviewed() {
    insta::assert_json_snapshot!(openapi());
}

#[test]
fn every_operation_tells_all_that_a_client_needs() {
    let document = openapi();
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{id} stands twice");
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{id}");
        assert!(operation["security"].is_array(), "{id}");
        let responses = operation["responses"].as_object().unwrap();
        assert!(responses.keys().any(|status| status.starts_with('2')), "{id}");
        assert!(responses.contains_key("403") && responses.contains_key("500"), "{id}");
        let open = operation["security"].as_array().unwrap().is_empty();
        assert_eq!(responses.contains_key("401"), !open, "{method} {path}");
        for (status, response) in responses {
            assert!(!response["description"].as_str().unwrap().is_empty(), "{id} {status}");
            for (media, body) in response["content"].as_object().into_iter().flatten() {
                let is_json = media.ends_with("json") && path != "/api/openapi.json";
                let shown = body["example"] != Value::Null || body["examples"].is_object();
                assert!(shown || !is_json, "{id} {status} has no example");
            }
        }
        if let Some(content) = operation["requestBody"]["content"].as_object() {
            let shown = |body: &Value| body["example"] != Value::Null;
            assert!(content.iter().all(|(media, body)| media == "*/*" || shown(body)), "{id}");
        }
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = openapi();
    let mut found = 0;
    all_values(&document, &mut |value| {
        if let Some(link) = value.get("$ref").and_then(Value::as_str) {
            let target = document.pointer(link.strip_prefix('#').unwrap());
            assert!(target.is_some_and(Value::is_object), "{link}");
            found += 1;
        }
    });
    assert!(found > 50, "{found}");
}

#[tokio::test]
async fn the_document_and_its_page_are_sent_to_everybody() {
    let world = World::new(Mode::Production).await;
    let told = world.send(Ask::get("/api/openapi.json")).await;
    assert_eq!(told.status, StatusCode::OK);
    assert_eq!(told.headers["content-type"], "application/json");
    assert_eq!(told.json, openapi());
    let page = world.send(Ask::get("/api/docs")).await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'self'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    for (_, path, operation) in operations(&told.json) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(page.text.contains(&format!("id=\"{id}\"")), "{id}");
        assert!(page.text.contains(&format!("<code>{path}</code>")), "{path}");
    }
    for outside in ["<script", "<style", " style=", "src=", "url(", "http-equiv"] {
        assert!(!page.text.contains(outside), "{outside}");
    }
    let style = world.send(Ask::get("/api/docs/style.css")).await;
    assert_eq!(style.headers["content-type"], "text/css; charset=utf-8");
    assert!(!style.text.contains("url(") && !style.text.contains("@import"));
}
