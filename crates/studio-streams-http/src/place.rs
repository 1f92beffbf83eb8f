//! Names of places. A service names one place per page, the port one after each record.

use std::sync::Arc;

use studio_streams::Offset;

/// Stands between the service's own offset and the count after it. Legal in an offset, and the
/// smallest character that is, so that names sort as the places do.
const MARK: char = '!';
/// Digits of the count.
const DIGITS: usize = 12;

/// So many records (bytes, for what is not JSON) after a place that the service has a name for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The service's own offset.
    pub base: Arc<str>,
    /// How much lies between it and the place.
    pub skip: u64,
}

impl Place {
    /// A place with a name of its own.
    pub(crate) fn own(base: impl Into<Arc<str>>) -> Self {
        Self { base: base.into(), skip: 0 }
    }

    /// Before the first record.
    pub(crate) fn start() -> Self {
        Self::own("-1")
    }

    pub(crate) fn plus(&self, count: u64) -> Self {
        Self { base: self.base.clone(), skip: self.skip + count }
    }

    /// The place that an offset names: text that this adapter did not make is the service's own.
    pub(crate) fn of(offset: &Offset) -> Self {
        let text = offset.to_string();
        let marked = text
            .len()
            .checked_sub(DIGITS)
            .and_then(|at| text.split_at_checked(at))
            .filter(|(_, count)| count.bytes().all(|b| b.is_ascii_digit()))
            // An odd run of marks ends in ours; the service's own are doubled.
            .filter(|(before, _)| {
                before.bytes().rev().take_while(|&b| b == MARK as u8).count() % 2 == 1
            });
        let own = |text: &str| text.replace("!!", "!").into();
        match marked.map(|(before, count)| (before, count.parse())) {
            Some((before, Ok(skip))) => Self { base: own(&before[..before.len() - 1]), skip },
            Some((_, Err(_))) | None => Self { base: own(&text), skip: 0 },
        }
    }

    pub(crate) fn offset(&self) -> Offset {
        let own = match self.base.contains(MARK) {
            true => self.base.replace(MARK, "!!").into(),
            false => self.base.clone(),
        };
        let text: Arc<str> = match self.skip {
            0 => own,
            skip => format!("{own}{MARK}{skip:0DIGITS$}").into(),
        };
        text.parse().unwrap_or(Offset::Opaque(text))
    }
}

/// Whether one place of a service's own comes before another one: they sort as texts.
pub(crate) fn is_before(one: &str, other: &str) -> bool {
    // `-1` is before all of them, `now` is not compared.
    one != other && other != "-1" && other != "now" && (one == "-1" || one < other)
}

/// Whether a service may call a place so: it must fit in an offset with our count after it.
pub(crate) fn is_good_base(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_graphic() && !matches!(b, b',' | b'&' | b'=' | b'?' | b'/');
    let marks = text.bytes().filter(|&b| b == MARK as u8).count();
    (1..=256 - DIGITS - 1).contains(&(text.len() + marks))
        && text.bytes().all(good)
        && !matches!(text, "-1" | "now")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_survives_being_an_offset() {
        for base in ["-1", "0000000000000000_0000000000000091", "00000000000000000042", "a", "a!"] {
            for skip in [0, 1, 1_234_567] {
                let place = Place { base: base.into(), skip };
                let offset: Offset = place.offset().to_string().parse().unwrap();
                assert_eq!(Place::of(&offset), place);
            }
        }
    }

    #[test]
    fn what_the_service_calls_a_place_is_never_taken_for_ours() {
        for base in ["a!000000000003", "!000000000003", "!!000000000003", "x!!!000000000003!"] {
            let offset = Place::own(base).offset();
            assert_eq!(Place::of(&offset), Place::own(base), "{base}");
            let after = Place::own(base).plus(7);
            assert_eq!(Place::of(&after.offset()), after, "{base}");
        }
    }

    #[test]
    fn the_services_own_offsets_are_passed_through() {
        for text in ["00000000000000000042", "0000000000000000_0000000000000091", "v1.Zm9v"] {
            assert_eq!(Place::own(text).offset().to_string(), text);
        }
    }

    #[test]
    fn names_sort_as_their_places_do() {
        let places = [("-1", 0), ("-1", 1), ("-1", 12), ("0_9", 0), ("0_9", 3), ("0_91", 0)];
        let names = places.map(|(base, skip)| Place { base: base.into(), skip }.offset());
        assert!(names.map(|name| name.to_string()).is_sorted());
    }

    #[test]
    fn a_name_that_could_break_a_request_is_refused() {
        let long = "x".repeat(250);
        for bad in ["", "-1", "now", "a b", "a&b", "a\nb", "é", &long] {
            assert!(!is_good_base(bad), "{bad:?}");
        }
        assert!(is_good_base("0000000000000000_0000000000000091"));
    }
}
