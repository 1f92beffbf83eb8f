//! A session's files: the list, the content of one, and how the repository stands.

use axum::{
    Json,
    body::Body,
    extract::{FromRequestParts, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{
            ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE,
            CONTENT_SECURITY_POLICY, CONTENT_TYPE, RANGE,
        },
        request::Parts,
    },
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{Stream, stream};
use studio_api::{
    ErrorCode,
    answers::{FileListing, GitStatusAnswer},
    limits::{FILES_PAGE_DEFAULT, FILES_PAGE_MAX},
};
use studio_flows::{FilePiece, FlowError};
use studio_ids::SessionId;

use crate::{
    HttpState, Problem,
    lossy::LossyText,
    permit::{KnownRead, number, query},
};

/// `GET /api/sessions/{id}/files`.
pub(crate) async fn list(
    State(state): State<HttpState>,
    KnownRead(session): KnownRead,
    page: Page,
) -> Result<Json<FileListing>, Problem> {
    let found = state.studio().files(session, page.after.as_deref(), page.max).await?;
    Ok(Json(FileListing { files: found.files, prefix: found.prefix, next: found.next }))
}

/// `GET /api/sessions/{id}/git-status`.
pub(crate) async fn git_status(
    State(state): State<HttpState>,
    KnownRead(session): KnownRead,
) -> Result<Json<GitStatusAnswer>, Problem> {
    let told = state.studio().git_status(session).await;
    let told = told.map_err(|error| {
        let is_sandbox = matches!(error, FlowError::Sandbox { .. });
        let problem = Problem::from(error);
        if is_sandbox { problem.saying("Failed to get git status") } else { problem }
    })?;
    Ok(Json(GitStatusAnswer {
        initialized: told.initialized,
        branch: told.branch,
        has_uncommitted: told.has_uncommitted,
        last_commit_hash: told.last_commit_hash,
        last_commit_message: told.last_commit_message,
    }))
}

/// `GET /api/sessions/{id}/file-content`: JSON, or with `raw=1` the bytes themselves.
pub(crate) async fn content(
    State(state): State<HttpState>,
    KnownRead(session): KnownRead,
    wanted: Wanted,
) -> Result<Response, Problem> {
    let most = state.settings().file_bytes_max;
    if wanted.is_raw {
        raw(&state, session, wanted, most).await
    } else {
        let max = wanted.max.unwrap_or(most).min(most);
        let piece = state.studio().file(session, &wanted.path, wanted.from, max).await?;
        let headers = [(CONTENT_TYPE, "application/json")];
        Ok((headers, Body::from_stream(as_json(piece, wanted.from))).into_response())
    }
}

/// The bytes as they are: as a download, so that a page which an agent wrote is never one of ours.
async fn raw(
    state: &HttpState,
    session: SessionId,
    wanted: Wanted,
    most: u64,
) -> Result<Response, Problem> {
    let open = async |from, max| state.studio().file(session, &wanted.path, from, max).await;
    let (from, max) = match wanted.range {
        None => (wanted.from, wanted.max),
        Some(Range::From(from, last)) => (from, last.map(|last| (last - from).saturating_add(1))),
        Some(Range::Last(bytes)) => {
            let size = open(0, 0).await?.size;
            (size.saturating_sub(bytes), None)
        }
    };
    let is_part = wanted.range.is_some();
    let piece = open(from, max.unwrap_or(most).min(most)).await?;
    let size = piece.size;
    if is_part && size <= from {
        let mut refused = Problem::of(ErrorCode::BadRange).into_response();
        refused.headers_mut().insert(CONTENT_RANGE, header(format!("bytes */{size}"))?);
        return Ok(refused);
    }
    if !is_part && max.is_none() && from == 0 && most < size {
        let told =
            format!("The file has {size} bytes, and an answer at most {most}: ask for a range");
        return Err(Problem::told(ErrorCode::FileTooLarge, told));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (CONTENT_TYPE, "application/octet-stream"),
        (CONTENT_DISPOSITION, "attachment"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
        (ACCEPT_RANGES, "bytes"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(piece.left()));
    let mut status = StatusCode::OK;
    if is_part {
        status = StatusCode::PARTIAL_CONTENT;
        let last = (from + piece.left()).saturating_sub(1);
        headers.insert(CONTENT_RANGE, header(format!("bytes {from}-{last}/{size}"))?);
    }
    Ok((status, headers, Body::from_stream(as_bytes(piece))).into_response())
}

fn header(text: String) -> Result<HeaderValue, Problem> {
    HeaderValue::try_from(text).map_err(|_never| Problem::of(ErrorCode::Internal))
}

fn as_bytes(piece: FilePiece) -> impl Stream<Item = Result<Bytes, FlowError>> {
    stream::try_unfold(piece, |mut piece| async {
        Ok(piece.next().await?.map(|bytes| (bytes, piece)))
    })
}

/// `{"size":…,"offset":…,"truncated":…,"content":"…","binary":…}`, never whole in memory.
fn as_json(piece: FilePiece, from: u64) -> impl Stream<Item = Result<Bytes, FlowError>> {
    let ends_before = from.saturating_add(piece.left()) < piece.size;
    let head = format!(
        "{{\"size\":{},\"offset\":{from},\"truncated\":{ends_before},\"content\":\"",
        piece.size
    );
    let first = Some(Bytes::from(head));
    let begun = (first, Some((piece, LossyText::default())));
    stream::try_unfold(begun, |(first, rest)| async {
        if let Some(first) = first {
            return Ok(Some((first, (None, rest))));
        }
        let Some((mut piece, mut text)) = rest else { return Ok(None) };
        match piece.next().await? {
            Some(bytes) => {
                let told = text.push(&bytes);
                Ok(Some((Bytes::from(told), (None, Some((piece, text))))))
            }
            None => {
                let (told, is_binary) = text.end();
                let tail = format!("{told}\",\"binary\":{is_binary}}}");
                Ok(Some((Bytes::from(tail), (None, None))))
            }
        }
    })
}

/// `?after=<path>&limit=<n>`.
pub(crate) struct Page {
    after: Option<String>,
    max: usize,
}

impl FromRequestParts<HttpState> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Problem> {
        let max = match number(parts, "limit")? {
            None => FILES_PAGE_DEFAULT,
            Some(max) => usize::try_from(max)
                .ok()
                .filter(|max| (1..=FILES_PAGE_MAX).contains(max))
                .ok_or_else(|| Problem::told(ErrorCode::BadRequest, "limit is not valid"))?,
        };
        Ok(Self { after: query(parts, "after"), max })
    }
}

/// Which bytes of which file.
pub(crate) struct Wanted {
    path: String,
    from: u64,
    max: Option<u64>,
    is_raw: bool,
    range: Option<Range>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Range {
    /// The first byte, and the last one.
    From(u64, Option<u64>),
    /// So many at the end.
    Last(u64),
}

impl FromRequestParts<HttpState> for Wanted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &HttpState) -> Result<Self, Problem> {
        let path = query(parts, "path")
            .filter(|path| !path.is_empty())
            .ok_or_else(|| Problem::told(ErrorCode::BadRequest, "path query parameter required"))?;
        let is_raw = match query(parts, "raw").as_deref() {
            None | Some("0" | "false") => false,
            Some("" | "1" | "true") => true,
            Some(_) => return Err(Problem::told(ErrorCode::BadRequest, "raw is not valid")),
        };
        let range = parts.headers.get(RANGE).and_then(|range| read_range(range.to_str().ok()?));
        let (from, max) = (number(parts, "offset")?.unwrap_or(0), number(parts, "limit")?);
        Ok(Self { path, from, max, is_raw, range: range.filter(|_| is_raw) })
    }
}

/// One range of bytes; anything else counts as none, as HTTP wants it.
fn read_range(text: &str) -> Option<Range> {
    let number = |text: &str| {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().ok()).flatten()
    };
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    match (number(first), number(last)) {
        (Some(first), Some(last)) => (first <= last).then_some(Range::From(first, Some(last))),
        (Some(first), None) if last.is_empty() => Some(Range::From(first, None)),
        (None, Some(bytes)) if first.is_empty() => Some(Range::Last(bytes)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_one_of_bytes() {
        for (text, range) in [
            ("bytes=0-0", Some(Range::From(0, Some(0)))),
            ("bytes=7-", Some(Range::From(7, None))),
            ("bytes=-5", Some(Range::Last(5))),
            ("bytes=5-4", None),
            ("bytes=-", None),
            ("bytes=0-1,3-4", None),
            ("bytes=+1-2", None),
            ("bytes=99999999999999999999-", None),
            ("lines=0-1", None),
        ] {
            assert_eq!(read_range(text), range, "{text}");
        }
    }
}
