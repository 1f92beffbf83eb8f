use axum::http::Uri;
use studio_streams::Offset;

use crate::Problem;

/// The query of a read, as it came: what is unknown there is passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query {
    /// `None` = not given.
    pub(crate) offset: Option<Offset>,
    pub(crate) live: Live,
    /// What an earlier live answer said.
    pub(crate) cursor: Option<u64>,
}

/// What becomes of a reader that has everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Live {
    /// It is told so.
    #[default]
    No,
    /// It waits for one answer.
    LongPoll,
    /// It goes on getting what comes.
    Sse,
}

impl Query {
    pub(crate) fn of(uri: &Uri) -> Result<Self, Problem> {
        let mut query = Self::default();
        for (name, text) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            match name.as_ref() {
                "offset" if query.offset.is_some() => return Err(Problem::bad_offset()),
                "offset" => query.offset = Some(offset(&text)?),
                "live" => query.live = live(&text)?,
                // One that is no number was not made here; the answer has a good one.
                "cursor" => query.cursor = text.parse().ok(),
                _ => {}
            }
        }
        Ok(query)
    }
}

/// A place as a client writes it. Zero as other servers write it is the beginning; their other
/// places are for their stores to know.
pub(crate) fn offset(text: &str) -> Result<Offset, Problem> {
    let place: Offset = text.parse().map_err(|_bad| Problem::bad_offset())?;
    Ok(if is_zero_in_two_parts(text) { Offset::Start } else { place })
}

fn is_zero_in_two_parts(text: &str) -> bool {
    let zero = |part: &str| !part.is_empty() && part.bytes().all(|b| b == b'0');
    text.split_once('_').is_some_and(|(first, second)| zero(first) && zero(second))
}

fn live(text: &str) -> Result<Live, Problem> {
    match text {
        "long-poll" => Ok(Live::LongPoll),
        "sse" => Ok(Live::Sse),
        _ => Err(Problem::bad_request("live is long-poll or sse; without it a read ends at once")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(text: &str) -> Option<Query> {
        Query::of(&format!("/v1/stream/a?{text}").parse().unwrap()).ok()
    }

    fn from(text: &str) -> Option<Offset> {
        query(text)?.offset
    }

    #[test]
    fn a_place_is_known_in_every_form() {
        assert_eq!(from("offset=-1"), Some(Offset::Start));
        assert_eq!(from("offset=now"), Some(Offset::Now));
        assert_eq!(from("offset=00000000000000000042"), Some(Offset::Position(42)));
        assert_eq!(from("offset=0000000000000000_0000000000000000"), Some(Offset::Start));
        let theirs = "0000000000000000_0000000000000091";
        assert_eq!(from(&format!("offset={theirs}")).unwrap().to_string(), theirs);
        assert_eq!(query(""), Some(Query::default()));
    }

    #[test]
    fn what_is_no_place_is_refused() {
        for bad in [
            "offset=",
            "offset",
            "offset=a%20b",
            "offset=a+b",
            "offset=1,2",
            "offset=..%2f",
            "offset=-1&offset=-1",
            "offset=99999999999999999999",
            "offset=%ff",
            "offset=a%0ab",
            "offset=a%26b",
        ] {
            assert_eq!(query(bad), None, "{bad}");
        }
        assert_eq!(query(&format!("offset={}", "a".repeat(2_000))), None);
    }

    #[test]
    fn the_rest_is_read_or_passed_over() {
        let all = query("foo=1&live=sse&cursor=12&offset=now").unwrap();
        assert_eq!((all.live, all.cursor), (Live::Sse, Some(12)));
        assert_eq!(query("live=long-poll").unwrap().live, Live::LongPoll);
        assert_eq!(query("cursor=x").unwrap().cursor, None);
        assert_eq!(query("cursor=-5").unwrap().cursor, None);
        assert_eq!(query("live=websocket"), None);
    }
}
