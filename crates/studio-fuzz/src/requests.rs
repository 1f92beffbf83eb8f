use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, Method, Request, Uri},
};
use studio_streams::StreamStore;

use crate::serve::{Service, block_on};

/// Between two requests.
const NEXT: &[u8] = b"\n%%\n";
/// Requests of one input.
const REQUESTS_MAX: usize = 8;

/// Requests as text: a line with method and target, lines with headers, an empty line, the body;
/// then a line `%%` and the next one. Whatever comes is answered, never with a failure of the
/// server, and all streams that there are can be read to their end.
pub fn requests(bytes: &[u8]) {
    block_on(async {
        let service = Service::new();
        let mut rest = bytes;
        for _ in 0..REQUESTS_MAX {
            let end = rest.windows(NEXT.len()).position(|window| window == NEXT);
            let (text, more) = rest.split_at(end.unwrap_or(rest.len()));
            if let Some(request) = request(text) {
                let target = format!("{} {}", request.method(), request.uri());
                let answer = service.send(request).await;
                // 501 = a method or a part of the protocol that is not offered.
                let good = answer.status < 500 || answer.status == 501;
                assert!(good, "{target} got {}", answer.status);
            }
            match more.get(NEXT.len()..) {
                Some(next) => rest = next,
                None => break,
            }
        }
        for path in service.store.list("", None, 100).await.unwrap() {
            let uri = format!("/v1/stream/{path}?offset=-1");
            let read = service.ask("GET", &uri, &[], b"").await;
            // One may have expired meanwhile.
            assert!(matches!(read.status, 200 | 404), "{uri} got {}", read.status);
        }
    });
}

/// The request that this text is; what HTTP itself refuses is none.
fn request(text: &[u8]) -> Option<Request<Body>> {
    let (head, body) = match text.windows(2).position(|window| window == b"\n\n") {
        Some(end) => (&text[..end], &text[end + 2..]),
        None => (text, &[][..]),
    };
    let mut lines = head.split(|byte| *byte == b'\n');
    let mut first = lines.next()?.splitn(2, |byte| *byte == b' ');
    let method = Method::from_bytes(first.next()?).ok()?;
    let uri = Uri::try_from(first.next()?).ok()?;
    let mut request = Request::builder().method(method).uri(uri);
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?;
        request = request.header(name, value);
    }
    request.body(Body::from(body.to_vec())).ok()
}
