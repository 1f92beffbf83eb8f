use axum::{http::request::Parts, response::Response};
use studio_streams::StreamPath;

/// What a request is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish<'a> {
    /// Read this stream or learn about it.
    Read(&'a StreamPath),
    /// Make, write, end or remove this stream.
    Write(&'a StreamPath),
    /// Something that is no stream: a name that none can have, or the reserved prefix. It is
    /// refused in any case; a caller who may do nothing is not to learn why.
    Other,
}

/// Who may do what. Asked before the store is, and before a body is read.
pub trait Access: Send + Sync + 'static {
    /// `None` = the request may go on; else what its sender is told. A request that forks a
    /// stream is asked about twice: whether it may read the one and write the other.
    fn refusal(&self, request: &Parts, wish: Wish<'_>) -> Option<Response>;
}

/// Whoever reaches the router may do everything. For tests, and where somebody else asks first.
#[derive(Clone, Copy, Debug)]
pub struct Everybody;

impl Access for Everybody {
    fn refusal(&self, _request: &Parts, _wish: Wish<'_>) -> Option<Response> {
        None
    }
}
