//! The document as a page for people: made here, so that it needs no script.

use std::fmt::Write as _;

use serde_json::{Map, Value};

const METHODS: [&str; 6] = ["get", "post", "put", "patch", "delete", "options"];

/// The page of a document.
pub(super) fn of(document: &Value) -> String {
    let (info, mut page) = (&document["info"], String::new());
    page.push_str(concat!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n",
        "<meta name=\"viewport\" content=\"width=device-width\">\n",
        "<link rel=\"stylesheet\" href=\"/api/docs/style.css\">\n",
    ));
    let title = format!("{} {}", text(&info["title"]), text(&info["version"]));
    add(&mut page, &[("title", &title), ("h1", &title), ("p", &text(&info["description"]))]);
    page.push_str("<p><a href=\"/api/openapi.json\">The same as OpenAPI 3.1</a></p>\n");
    for (path, methods) in fields(&document["paths"]) {
        for method in METHODS {
            if let Some(operation) = methods.get(method) {
                add_operation(&mut page, path, method, operation);
            }
        }
    }
    page.push_str("<h2>What opens what</h2>\n<dl>\n");
    for (name, scheme) in fields(&document["components"]["securitySchemes"]) {
        add(&mut page, &[("dt", name), ("dd", &text(&scheme["description"]))]);
    }
    page.push_str("</dl>\n<h2>Schemas</h2>\n");
    for (name, schema) in fields(&document["components"]["schemas"]) {
        let name = escaped(name);
        let _ =
            write!(page, "<details id=\"schema-{name}\"><summary><code>{name}</code></summary>");
        add(&mut page, &[("p", &text(&schema["description"])), ("pre", &pretty(schema))]);
        page.push_str("</details>\n");
    }
    page.push_str("</html>\n");
    page
}

fn add_operation(page: &mut String, path: &str, method: &str, operation: &Value) {
    let summary = escaped(&text(&operation["summary"]));
    let _ = writeln!(
        page,
        "<details class=\"operation\" id=\"{}\"><summary><b class=\"{method}\">{method}</b> <code>{}</code> {summary}</summary>",
        escaped(&text(&operation["operationId"])),
        escaped(path),
    );
    add(page, &[("p", &text(&operation["description"]))]);
    let keys: Vec<String> = items(&operation["security"])
        .map(|one| {
            fields(one).map(|(name, _)| name.as_str()).next().unwrap_or("nothing").to_owned()
        })
        .collect();
    let keys = if keys.is_empty() { "nothing".to_owned() } else { keys.join(", or ") };
    add(page, &[("p", &format!("Needs: {keys}"))]);
    add_parameters(page, operation);
    for (media, body) in fields(&operation["requestBody"]["content"]) {
        add(page, &[("h4", &format!("Body: {media}"))]);
        add_body(page, body);
    }
    for (status, response) in fields(&operation["responses"]) {
        let about = text(&response["description"]);
        let _ = write!(page, "<h4>{}</h4>", escaped(&format!("{status}: {about}")));
        for (media, body) in fields(&response["content"]) {
            add(page, &[("p", media)]);
            add_body(page, body);
        }
    }
    page.push_str("</details>\n");
}

fn add_parameters(page: &mut String, operation: &Value) {
    let mut rows = items(&operation["parameters"]).peekable();
    if rows.peek().is_none() {
        return;
    }
    page.push_str("<table><tr><th>parameter</th><th>in</th><th></th><th></th></tr>\n");
    for one in rows {
        page.push_str("<tr>");
        let cells = [text(&one["name"]), text(&one["in"]), one["schema"].to_string()];
        for cell in cells.iter().chain([&text(&one["description"])]) {
            add(page, &[("td", cell)]);
        }
        page.push_str("</tr>\n");
    }
    page.push_str("</table>\n");
}

fn add_body(page: &mut String, body: &Value) {
    match body["schema"]["$ref"].as_str().and_then(|link| link.rsplit('/').next()) {
        Some(name) => {
            let name = escaped(name);
            let _ = writeln!(page, "<p><a href=\"#schema-{name}\"><code>{name}</code></a></p>");
        }
        None if body["examples"].is_object() => {}
        None => add(page, &[("pre", &pretty(&body["schema"]))]),
    }
    if let Some(example) = body.get("example") {
        add(page, &[("pre", &example.as_str().map_or_else(|| pretty(example), str::to_owned))]);
    }
    for (_, example) in fields(&body["examples"]) {
        add(page, &[("pre", &example["value"].to_string())]);
    }
}

/// Adds elements, without those that say nothing.
fn add(page: &mut String, elements: &[(&str, &str)]) {
    for (tag, text) in elements.iter().filter(|(tag, text)| *tag == "td" || !text.is_empty()) {
        let text = if *tag == "pre" { escaped(text) } else { marked(text) };
        let _ = writeln!(page, "<{tag}>{text}</{tag}>");
    }
}

/// A text whose words between backticks are code.
fn marked(text: &str) -> String {
    let safe = escaped(text);
    if safe.matches('`').count() % 2 == 1 {
        return safe;
    }
    let pieces = safe.split('`').enumerate();
    pieces
        .map(
            |(n, piece)| {
                if n % 2 == 1 { format!("<code>{piece}</code>") } else { piece.to_owned() }
            },
        )
        .collect()
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flat_map(Map::iter)
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_shown_is_never_markup() {
        let hostile = "<script>alert('x')</script>\"&";
        let page = of(&json!({
            "info": { "title": hostile, "description": hostile },
            "paths": { hostile: { "get": {
                "summary": hostile, "operationId": hostile,
                "parameters": [{ "name": hostile, "in": "query", "schema": { "const": hostile } }],
                "responses": { "200": { "description": hostile } },
            } } },
            "components": { "schemas": { hostile: { "description": hostile } } },
        }));
        assert!(!page.contains("<script") && !page.contains("\"&\""), "{page}");
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"));
    }
}
