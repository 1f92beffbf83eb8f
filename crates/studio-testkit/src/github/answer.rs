use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Response},
};
use jiff::Timestamp;
use serde_json::{Value, json};

/// An answer of the API before its common headers.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub status: u16,
    pub body: Value,
    pub headers: Vec<(&'static str, String)>,
}

pub(super) fn good(status: u16, body: Value) -> Answer {
    Answer { status, body, headers: Vec::new() }
}

pub(super) fn failed(status: u16, message: &str) -> Answer {
    let body = json!({
        "message": message,
        "documentation_url": "https://docs.github.com/rest",
        "status": status.to_string(),
    });
    Answer { status, body, headers: Vec::new() }
}

/// 422 with a reason for one field.
pub(super) fn invalid(message: &str, errors: Value) -> Answer {
    let mut answer = failed(422, message);
    answer.body["errors"] = errors;
    answer
}

impl Answer {
    pub(super) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn into_response(self) -> Response<Body> {
        let body = match self.status {
            204 => Body::empty(),
            _ => Body::from(self.body.to_string()),
        };
        let mut response = Response::new(body);
        *response.status_mut() = axum::http::StatusCode::from_u16(self.status).unwrap_or_default();
        let headers = response.headers_mut();
        headers.insert("content-type", HeaderValue::from_static("application/json; charset=utf-8"));
        for (name, value) in self.headers {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

/// `Wed, 25 Nov 2026 00:00:00 GMT`.
pub(super) fn http_date(seconds: i64) -> String {
    let at = Timestamp::from_second(seconds).unwrap_or_default();
    let printed = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&at);
    printed.unwrap_or_else(|error| panic!("a date of this time: {error}"))
}

/// `2026-11-25T00:00:00Z`.
pub(super) fn iso_date(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap_or_default().to_string()
}

/// One page of `items`, with the `Link` header that GitHub sends; `base` is where pages are.
pub(super) fn page(items: Vec<Value>, query: &[(String, String)], base: &str) -> Answer {
    let number = |name: &str| {
        let value = query.iter().find(|(key, _)| key == name);
        value.and_then(|(_, value)| value.parse::<usize>().ok()).filter(|number| 0 < *number)
    };
    let size = number("per_page").unwrap_or(30).min(100);
    let at = number("page").unwrap_or(1);
    let last = items.len().div_ceil(size).max(1);
    let to = |page: usize, rel: &str| {
        let kept = query.iter().filter(|(key, _)| key != "page");
        let kept = kept.map(|(key, value)| format!("{key}={value}&")).collect::<String>();
        format!("<{base}?{kept}page={page}>; rel=\"{rel}\"")
    };
    let mut links = Vec::new();
    if 1 < at {
        links.push(to(at - 1, "prev"));
    }
    if at < last {
        links.push(to(at + 1, "next"));
        links.push(to(last, "last"));
    }
    if 1 < at {
        links.push(to(1, "first"));
    }
    let items: Vec<Value> = items.into_iter().skip((at - 1) * size).take(size).collect();
    let answer = good(200, Value::Array(items));
    if links.is_empty() { answer } else { answer.with("link", links.join(", ")) }
}
