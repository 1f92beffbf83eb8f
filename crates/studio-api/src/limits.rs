//! How much of what a client may send. Source: spec 01 section 1.
//!
//! Lengths are counted in UTF-16 units, the way JavaScript counts and thus the way clients of
//! the reference system check before they send.

/// Longest text: `description`, `request`, answers, messages. UTF-16 units.
pub const TEXT_UNITS_MAX: usize = 10_000;
/// Longest short field: `name`, `baseDir`, `sourceId`, gate names. UTF-16 units.
pub const SHORT_UNITS_MAX: usize = 500;
/// Longest key: `apiKey`, `databaseUrl`, `secret`. UTF-16 units.
pub const KEY_UNITS_MAX: usize = 1_000;
/// Longest directory of a project with hooks. UTF-16 units.
pub const DIRECTORY_UNITS_MAX: usize = 4_096;
/// Most answers that one `respond` may carry; a question gate has four questions at most today.
pub const ANSWERS_MAX: usize = 100;
/// Largest body of most routes, in bytes: several texts of [`TEXT_UNITS_MAX`], each unit written
/// as `\uXXXX`.
pub const BODY_BYTES_MAX: usize = 256 * 1024;
/// Largest body of a hook event, in bytes: a hook carries whole tool results.
pub const HOOK_BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most sessions on one page of the list.
pub const SESSIONS_PAGE_MAX: usize = 500;
/// Sessions on one page of the list when the client does not say.
pub const SESSIONS_PAGE_DEFAULT: usize = 100;
/// Largest body of `stream/append`, in bytes.
pub const APPEND_BYTES_MAX: usize = 65_536;
/// Longest search text, in UTF-16 units.
pub const SEARCH_UNITS_MAX: usize = 200;
/// Largest file of a session that is taken in, in bytes.
pub const IMPORT_BYTES_MAX: u64 = 1024 * 1024 * 1024;
/// Longest line of such a file, in bytes: the longest record of a stream.
pub const IMPORT_LINE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most events of such a file.
pub const IMPORT_EVENTS_MAX: u64 = 1_000_000;
/// Most files on one page of a listing.
pub const FILES_PAGE_MAX: usize = 50_000;
/// Files on one page of a listing when the client does not say.
pub const FILES_PAGE_DEFAULT: usize = 10_000;

/// Longest life of a token that is asked for, in seconds: a year.
pub const TOKEN_SECONDS_MAX: u64 = 365 * 24 * 60 * 60;

/// How many UTF-16 units `text` has.
pub fn units(text: &str) -> usize {
    text.encode_utf16().count()
}
