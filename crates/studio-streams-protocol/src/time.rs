//! RFC 3339 times in headers.

use jiff::Timestamp;

/// Unix milliseconds of an RFC 3339 time with `Z` or an offset; `None` = it is none. What lies
/// before 1970 counts as its beginning: it is over either way.
pub(crate) fn parse(text: &str) -> Option<u64> {
    if !has_form(text.as_bytes()) {
        return None;
    }
    let at: Timestamp = text.parse().ok()?;
    Some(u64::try_from(at.as_millisecond()).unwrap_or(0))
}

/// As [`parse`] reads it; `None` for a time after the year 9999.
pub(crate) fn print(millis: u64) -> Option<String> {
    let at = Timestamp::from_millisecond(i64::try_from(millis).ok()?).ok()?;
    Some(at.to_string())
}

/// `2026-01-31T23:59:59`, perhaps `.` and digits, then `Z` or `+01:00`. The parser takes more.
fn has_form(text: &[u8]) -> bool {
    const DATE: &[u8] = b"0000-00-00T00:00:00";
    let Some((date, rest)) = text.split_at_checked(DATE.len()) else { return false };
    let fits = |text: &[u8], form: &[u8]| {
        text.len() == form.len()
            && text.iter().zip(form).all(|(b, wanted)| match wanted {
                b'0' => b.is_ascii_digit(),
                other => b.eq_ignore_ascii_case(other),
            })
    };
    let zone = match rest.strip_prefix(b".") {
        None => rest,
        Some(fraction) => {
            let digits = fraction.iter().take_while(|b| b.is_ascii_digit()).count();
            if digits == 0 {
                return false;
            }
            &fraction[digits..]
        }
    };
    fits(date, DATE) && (fits(zone, b"Z") || fits(zone, b"+00:00") || fits(zone, b"-00:00"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_a_date_a_clock_and_a_zone() {
        assert_eq!(parse("1970-01-01T00:00:01Z"), Some(1_000));
        assert_eq!(parse("1970-01-01T01:00:01.5+01:00"), Some(1_500));
        assert_eq!(parse("1960-01-01T00:00:00Z"), Some(0));
        assert_eq!(
            parse("2026-11-25T00:00:00.123Z").and_then(print).as_deref(),
            Some("2026-11-25T00:00:00.123Z")
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for bad in [
            "",
            "not-a-timestamp",
            "2026-11-25",
            "2026-11-25T00:00:00",
            "2026-11-25 00:00:00Z",
            "2026-13-25T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-11-25T25:00:00Z",
            "2026-11-25T00:00:00.Z",
            "2026-11-25T00:00:00Z[UTC]",
            "1700000000",
            "2026-11-25T00:00:00+1:00",
            " 2026-11-25T00:00:00Z",
            "2026-11-25T00:00:00\u{e9}",
        ] {
            assert_eq!(parse(bad), None, "{bad:?}");
        }
    }
}
