//! A session as one NDJSON file: a line about the session, its events as readers see them, a last
//! line that says how many there were. Nothing of it is ever whole in memory, either way.

use std::collections::VecDeque;

use axum::{
    Json,
    body::Body,
    extract::{Request, State},
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    },
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use studio_api::{
    ErrorCode,
    answers::ImportAnswer,
    limits::{
        IMPORT_BYTES_MAX, IMPORT_EVENTS_MAX, IMPORT_LINE_BYTES_MAX, SHORT_UNITS_MAX,
        TEXT_UNITS_MAX, units,
    },
};
use studio_auth::Scope;
use studio_events::{EngineEvent, SessionInfo, Timestamp};
use studio_flows::{Export, FlowError, ImportPiece};
use tokio::sync::mpsc;

use crate::{
    HttpState, Problem,
    frame::{INTERNAL, shown},
    permit::{Operator, ReadSession},
};

/// The content type of such a file.
const NDJSON: &str = "application/x-ndjson";
/// The form of the file that is written, and the only one that is read.
const VERSION: u32 = 1;
/// Events handed on together, at most.
const PIECE_EVENTS_MAX: usize = 500;
/// Bytes of events handed on together, about.
const PIECE_BYTES: usize = 1024 * 1024;
/// Pieces that may wait to be written; the reading waits with them.
const PIECES_WAITING_MAX: usize = 2;

/// The first line and the last one.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Mark {
    StudioExport { version: u32, session: Box<SessionInfo> },
    StudioExportEnd { events: u64 },
}

/// `GET /api/sessions/{id}/export`.
pub(crate) async fn export(
    State(state): State<HttpState>,
    ReadSession(session): ReadSession,
) -> Result<Response, Problem> {
    let export = state.studio().export(session)?;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    let name = format!("attachment; filename=\"session-{session}.ndjson\"");
    if let Ok(name) = HeaderValue::try_from(name) {
        headers.insert(CONTENT_DISPOSITION, name);
    }
    let stop = state.stop().clone();
    let lines = lines(export).take_until(stop.cancelled_owned());
    Ok((headers, Body::from_stream(lines)).into_response())
}

enum Next {
    First(Box<Export>),
    More(Box<Export>, u64),
    Over,
}

fn lines(export: Export) -> impl Stream<Item = Result<Bytes, FlowError>> {
    stream::try_unfold(Next::First(Box::new(export)), |next| async {
        match next {
            Next::First(export) => {
                let session = Box::new(export.session.clone());
                let line = line_of(&Mark::StudioExport { version: VERSION, session });
                Ok(Some((line, Next::More(export, 0))))
            }
            Next::More(mut export, events) => match export.next().await? {
                Some(records) => {
                    let mut text = Vec::new();
                    let mut told = events;
                    for record in &records {
                        // What is no event of readers' is none of the file's.
                        if let Some(event) = shown(&record.data) {
                            text.extend_from_slice(&event);
                            text.push(b'\n');
                            told += 1;
                        }
                    }
                    Ok(Some((text.into(), Next::More(export, told))))
                }
                None => Ok(Some((line_of(&Mark::StudioExportEnd { events }), Next::Over))),
            },
            Next::Over => Ok(None),
        }
    })
}

fn line_of(mark: &Mark) -> Bytes {
    // Made of strings, numbers and maps with string keys, which always serialise.
    let mut line = serde_json::to_vec(mark).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

/// `POST /api/sessions/import`.
pub(crate) async fn import(
    State(state): State<HttpState>,
    _: Operator,
    request: Request,
) -> Result<(StatusCode, Json<ImportAnswer>), Problem> {
    let (parts, body) = request.into_parts();
    let declared = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let media_type = declared.unwrap_or("").split(';').next().unwrap_or("").trim();
    if !media_type.eq_ignore_ascii_case(NDJSON) {
        let told = format!("Content-Type must be {NDJSON}");
        return Err(Problem::told(ErrorCode::UnsupportedMediaType, told));
    }
    let mut file = Lines::of(body, &state);
    let session = first_line(&mut file).await?;
    let (pieces, taken) = mpsc::channel(PIECES_WAITING_MAX);
    let read = async {
        let read = read_events(&mut file, &pieces).await;
        if read.is_ok() && pieces.send(ImportPiece::End).await.is_err() {
            tracing::debug!("an import was ended by its writer");
        }
        // Closed without an end, the import is undone.
        drop(pieces);
        read
    };
    let (read, kept) = tokio::join!(read, state.studio().import(session, taken));
    let (events, session) = match (read, kept) {
        (Err(problem), Err(FlowError::ImportBrokeOff)) => return Err(problem),
        // The writer's failure comes first: the reader only noticed that nobody listens.
        (_, Err(failed)) => return Err(failed.into()),
        (Err(problem), Ok(_)) => return Err(problem),
        (Ok(events), Ok(session)) => (events, session),
    };
    let session_token = state.locks().mint(Scope::Session(session.id));
    let answer = ImportAnswer { session_id: session.id, session, session_token, events };
    Ok((StatusCode::CREATED, Json(answer)))
}

async fn first_line(file: &mut Lines<'_>) -> Result<SessionInfo, Problem> {
    let line = file.next().await?.ok_or_else(|| invalid(1, "the file is empty"))?;
    let head: Mark = serde_json::from_slice(&line).map_err(|error| invalid(1, error))?;
    let Mark::StudioExport { version, session } = head else {
        return Err(invalid(1, "the file does not begin with studio_export"));
    };
    if version != VERSION {
        return Err(invalid(1, format!("version {version} is not known, {VERSION} is")));
    }
    let short = |text: &str| units(text) <= SHORT_UNITS_MAX && !text.chars().any(char::is_control);
    let fits = units(&session.description) <= TEXT_UNITS_MAX
        && short(&session.project_name)
        && session.name.as_deref().is_none_or(short)
        && session.total_cost_usd.is_none_or(|cost| cost.is_finite() && 0.0 <= cost);
    if fits { Ok(*session) } else { Err(invalid(1, "a field of the session is not valid")) }
}

/// Checks every event and hands it on; how many there were.
async fn read_events(
    file: &mut Lines<'_>,
    pieces: &mpsc::Sender<ImportPiece>,
) -> Result<u64, Problem> {
    let mut events = 0_u64;
    let (mut piece, mut bytes) = (Vec::new(), 0);
    while let Some(line) = file.next().await? {
        let number = file.number;
        if let Some(end) = end_of(&line) {
            if end != events {
                let told = format!("the file tells of {end} events and has {events}");
                return Err(invalid(number, told));
            }
            if file.next().await?.is_some() {
                return Err(invalid(number + 1, "something follows the end"));
            }
            if !piece.is_empty() {
                hand_on(pieces, piece).await?;
            }
            return Ok(events);
        }
        if events == IMPORT_EVENTS_MAX {
            return Err(Problem::of(ErrorCode::BodyTooLarge));
        }
        let event = checked(&line).map_err(|why| invalid(number, why))?;
        events += 1;
        bytes += event.len();
        piece.push(event);
        if PIECE_EVENTS_MAX <= piece.len() || PIECE_BYTES <= bytes {
            hand_on(pieces, std::mem::take(&mut piece)).await?;
            bytes = 0;
        }
    }
    Err(invalid(file.number + 1, "the file is cut off: its last line is missing"))
}

async fn hand_on(pieces: &mpsc::Sender<ImportPiece>, piece: Vec<Bytes>) -> Result<(), Problem> {
    // Nobody listens when the writer failed, and then that is what is told.
    let sent = pieces.send(ImportPiece::Events(piece)).await;
    sent.map_err(|_closed| Problem::of(ErrorCode::StreamsUnavailable))
}

/// The number of events, if this is the last line.
fn end_of(line: &[u8]) -> Option<u64> {
    match serde_json::from_slice(line) {
        Ok(Mark::StudioExportEnd { events }) => Some(events),
        Ok(Mark::StudioExport { .. }) | Err(_) => None,
    }
}

/// What every event has, whether this program knows its type or not.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    ts: String,
}

/// The event as it is kept.
fn checked(line: &[u8]) -> Result<Bytes, String> {
    let Event { kind, ts } = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    if kind.is_empty()
        || SHORT_UNITS_MAX < kind.len()
        || kind.starts_with("studio_export")
        || INTERNAL.contains(&kind.as_str())
    {
        return Err(format!("no event has the type {kind:?}"));
    }
    if Timestamp::try_from(ts).is_err() {
        return Err("ts is not a time".to_owned());
    }
    match serde_json::from_slice::<EngineEvent>(line) {
        Ok(_event) => {}
        // A newer studio may have more of them.
        Err(error) if error.to_string().starts_with("unknown variant") => {}
        Err(error) => return Err(error.to_string()),
    }
    let event = shown(line).ok_or("not an event")?;
    let mut kept = b"{\"source\":\"server\",".to_vec();
    kept.extend_from_slice(event.get(1..).unwrap_or_default());
    Ok(kept.into())
}

fn invalid(line: u64, why: impl std::fmt::Display) -> Problem {
    Problem::invalid(vec![format!("line {line}: {why}")])
}

/// A body line by line; blank lines are passed over.
struct Lines<'a> {
    body: axum::body::BodyDataStream,
    state: &'a HttpState,
    read: BytesMut,
    /// Of `read`, what holds no line break.
    looked: usize,
    ready: VecDeque<Bytes>,
    bytes: u64,
    /// The line that was given last, counted from 1.
    number: u64,
    is_over: bool,
}

impl<'a> Lines<'a> {
    fn of(body: Body, state: &'a HttpState) -> Self {
        Self {
            body: body.into_data_stream(),
            state,
            read: BytesMut::new(),
            looked: 0,
            ready: VecDeque::new(),
            bytes: 0,
            number: 0,
            is_over: false,
        }
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            while let Some(line) = self.ready.pop_front() {
                self.number += 1;
                if !line.trim_ascii().is_empty() {
                    return Ok(Some(line));
                }
            }
            if self.is_over {
                return Ok(None);
            }
            let patience = self.state.settings().body_patience;
            match tokio::time::timeout(patience, self.body.next()).await {
                Err(_elapsed) => return Err(Problem::of(ErrorCode::RequestTimeout)),
                Ok(Some(Err(_broken))) => {
                    return Err(Problem::told(ErrorCode::BadRequest, "The body broke off"));
                }
                Ok(Some(Ok(data))) => self.take(&data)?,
                Ok(None) => {
                    self.is_over = true;
                    self.ready.push_back(self.read.split().freeze());
                }
            }
        }
    }

    fn take(&mut self, data: &[u8]) -> Result<(), Problem> {
        self.bytes += data.len() as u64;
        self.read.extend_from_slice(data);
        loop {
            let fresh = self.read.get(self.looked..).unwrap_or_default();
            match fresh.iter().position(|byte| *byte == b'\n') {
                Some(at) => {
                    let mut line = self.read.split_to(self.looked + at + 1);
                    line.truncate(self.looked + at);
                    self.looked = 0;
                    self.ready.push_back(line.freeze());
                }
                None => break,
            }
        }
        self.looked = self.read.len();
        if IMPORT_BYTES_MAX < self.bytes || IMPORT_LINE_BYTES_MAX < self.read.len() {
            return Err(Problem::of(ErrorCode::BodyTooLarge));
        }
        Ok(())
    }
}
