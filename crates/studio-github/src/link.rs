//! GitHub's pages: `Link: <https://…&page=2>; rel="next", <…>; rel="last"`.

use reqwest::header::{HeaderMap, LINK};

/// Where the next page is, if there is one.
pub(crate) fn next(headers: &HeaderMap) -> Option<&str> {
    let links = headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok());
    links.flat_map(targets).find_map(|(target, rel)| rel.then_some(target))
}

/// The targets of one header, and whether each is the next page. Addresses hold commas too, so
/// they are read from `<` to `>`.
fn targets(header: &str) -> impl Iterator<Item = (&str, bool)> {
    let mut rest = header;
    std::iter::from_fn(move || {
        let (target, after) = rest.split_once('<')?.1.split_once('>')?;
        let end = after.find('<').unwrap_or(after.len());
        let (params, next) = after.split_at(end);
        rest = next;
        let is_next = params.trim().trim_end_matches(',').split(';').any(|param| {
            let value = param.trim().strip_prefix("rel=").map(|value| value.trim_matches('"'));
            value.is_some_and(|words| words.split(' ').any(|word| word == "next"))
        });
        Some((target, is_next))
    })
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn next_of(link: &'static str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert(LINK, HeaderValue::from_static(link));
        next(&headers).map(str::to_owned)
    }

    #[test]
    fn the_next_page_is_found_wherever_it_stands() {
        let there = Some("https://x/y?page=2,3".to_owned());
        assert_eq!(next_of(r#"<https://x/y?page=2,3>; rel="next""#), there);
        assert_eq!(next_of(r#"<a>; rel="prev", <https://x/y?page=2,3>; rel="next", <b>"#), there);
        assert_eq!(next_of(r#"<https://x/y?page=2,3>;title="a"; rel="last next""#), there);
    }

    #[test]
    fn no_next_page_is_the_end() {
        for link in ["", r#"<a>; rel="last""#, r#"<a>; rel="nextish""#, "<a", "rel=\"next\""] {
            assert_eq!(next_of(link), None, "{link}");
        }
        assert_eq!(next(&HeaderMap::new()), None);
    }
}
