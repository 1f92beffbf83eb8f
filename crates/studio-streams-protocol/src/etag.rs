use axum::http::{HeaderMap, HeaderValue, header::IF_NONE_MATCH};
use studio_streams::Offset;

use crate::headers::value;

/// Names what was read: of which life of the stream, from where, to where, and whether the end
/// was told. Two reads with the same one have the same bytes.
pub(crate) fn of(incarnation: u64, from: &Offset, next: &Offset, closed: bool) -> HeaderValue {
    let end = if closed { ":c" } else { "" };
    // An opaque offset may hold a quotation mark.
    let plain = |offset: &Offset| offset.to_string().replace('"', "%22");
    value(format!("\"{incarnation}:{}:{}{end}\"", plain(from), plain(next)))
}

/// Whether the client has what `etag` names already.
pub(crate) fn matches(headers: &HeaderMap, etag: &HeaderValue) -> bool {
    let etag = etag.as_bytes();
    let mut given =
        headers.get_all(IF_NONE_MATCH).iter().flat_map(|v| v.as_bytes().split(|b| *b == b','));
    given.any(|one| {
        let one = one.trim_ascii();
        one == b"*" || one.strip_prefix(b"W/").unwrap_or(one) == etag
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_and_another_life_change_it() {
        let tag = |life, closed| of(life, &Offset::Start, &Offset::Position(7), closed);
        assert_eq!(tag(3, false), "\"3:-1:00000000000000000007\"");
        assert_eq!(tag(3, true), "\"3:-1:00000000000000000007:c\"");
        assert_ne!(tag(3, false), tag(4, false));
        let odd = of(1, &Offset::Start, &"a\"b".parse().unwrap(), false);
        assert_eq!(odd, "\"1:-1:a%22b\"");
    }

    #[test]
    fn one_of_several_is_enough() {
        let etag = HeaderValue::from_static("\"1:-1:2\"");
        let asks = |given: &'static str| {
            matches(
                &HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static(given))]),
                &etag,
            )
        };
        assert!(
            asks("\"1:-1:2\"") && asks("\"x\", \"1:-1:2\"") && asks("W/\"1:-1:2\"") && asks("*")
        );
        assert!(!asks("\"1:-1:3\"") && !asks("1:-1:2") && !asks(""));
        assert!(!matches(&HeaderMap::new(), &etag));
    }
}
