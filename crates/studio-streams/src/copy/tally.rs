use bytes::Bytes;
use serde_json::{Number, Value};

use crate::ContentType;

/// Whole numbers up to here are the same whether they are kept as integers or as floats.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// What was read of a stream so far: how much, and what.
///
/// Of JSON the values count, one a record: a service may write them in its own way. Of anything
/// else the bytes count: a service may cut them in its own way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    is_json: bool,
    units: u64,
    sum: Sum,
}

impl Tally {
    pub(crate) fn of(content_type: &ContentType) -> Self {
        Self { is_json: content_type.is_json(), units: 0, sum: Sum::NONE }
    }

    /// Records if it is JSON, else bytes.
    pub(crate) fn units(&self) -> u64 {
        self.units
    }

    pub(crate) fn sum(&self) -> u128 {
        self.sum.0
    }

    pub(crate) fn add(&mut self, record: &Bytes) {
        if !self.is_json {
            self.units += record.len() as u64;
            self.sum.bytes(record);
            return;
        }
        self.units += 1;
        match serde_json::from_slice(record) {
            Ok(value) => self.sum.value(&value),
            // Too deep for us, or none at all: as it stands.
            Err(_not_read) => self.sum.bytes(record),
        }
        self.sum.bytes(b"\n");
    }

    /// A record in two: what `known` more units reach into, and what lies behind them.
    pub(crate) fn split(&self, record: Bytes, known: u64) -> (Option<Bytes>, Option<Bytes>) {
        let at = match usize::try_from(known) {
            Ok(0) => return (None, Some(record)),
            Ok(known) if !self.is_json && known < record.len() => known,
            Ok(_) | Err(_) => return (Some(record), None),
        };
        (Some(record.slice(..at)), Some(record.slice(at..)))
    }
}

/// FNV-1a, 128 bits: against mistakes, not against forgers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum(pub(crate) u128);

impl Sum {
    pub(crate) const NONE: Self = Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |sum, byte| {
            (sum ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b)
        });
    }

    /// The same for equal values: without blanks, fields in the order of their names.
    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.bytes(b"n"),
            Value::Bool(true) => self.bytes(b"t"),
            Value::Bool(false) => self.bytes(b"f"),
            Value::Number(number) => self.number(number),
            Value::String(text) => self.text(text),
            Value::Array(list) => {
                self.bytes(b"[");
                list.iter().for_each(|value| self.value(value));
                self.bytes(b"]");
            }
            Value::Object(map) => {
                self.bytes(b"{");
                let mut fields: Vec<_> = map.iter().collect();
                fields.sort_unstable_by_key(|(name, _)| *name);
                for (name, value) in fields {
                    self.text(name);
                    self.value(value);
                }
                self.bytes(b"}");
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.bytes(b"\"");
        self.bytes(&(text.len() as u64).to_be_bytes());
        self.bytes(text.as_bytes());
    }

    #[expect(clippy::cast_possible_truncation, reason = "a whole number within i64")]
    fn number(&mut self, number: &Number) {
        self.bytes(b"#");
        let text = match number.as_f64() {
            Some(float) if !number.is_f64() || EXACT_MAX < float.abs() => number.to_string(),
            // -0 is 0 for those who keep integers.
            Some(float) if float.fract() == 0.0 => (float as i64).to_string(),
            Some(_) | None => number.to_string(),
        };
        self.bytes(text.as_bytes());
        self.bytes(b";");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(records: &[&str]) -> Tally {
        let mut tally = Tally::of(&ContentType::json());
        records.iter().for_each(|record| tally.add(&Bytes::copy_from_slice(record.as_bytes())));
        tally
    }

    #[test]
    fn equal_values_have_equal_sums_however_they_are_written() {
        assert_eq!(sum(&[r#"{"a":1,"b":[2.0]}"#]), sum(&[r#"{ "b" : [2], "a" : 1e0 }"#]));
        assert_eq!(sum(&[r#""\u00e9""#]), sum(&["\"é\""]));
        for (one, other) in [
            ("1", "2"),
            ("1", "\"1\""),
            ("[1,2]", "[12]"),
            ("[[1],2]", "[[1,2]]"),
            (r#"["a","b"]"#, r#"["ab"]"#),
            ("0.1", "0.10000000000000002"),
            ("9007199254740993", "9007199254740992"),
            ("null", "{}"),
        ] {
            assert_ne!(sum(&[one]), sum(&[other]), "{one} {other}");
        }
        assert_ne!(sum(&["1", "2"]), sum(&["2", "1"]));
    }

    #[test]
    fn of_bytes_only_their_row_counts() {
        let of = |parts: &[&'static [u8]]| {
            let mut tally = Tally::of(&ContentType::octets());
            parts.iter().for_each(|part| tally.add(&Bytes::from_static(part)));
            tally
        };
        assert_eq!(of(&[b"ab", b"c"]), of(&[b"a", b"bc"]));
        assert_ne!(of(&[b"abc"]), of(&[b"acb"]));
    }

    #[test]
    fn a_record_is_split_where_the_target_ends() {
        let record = || Bytes::from_static(b"abc");
        let bytes = Tally::of(&ContentType::octets());
        assert_eq!(bytes.split(record(), 0), (None, Some(record())));
        assert_eq!(bytes.split(record(), 2), (Some("ab".into()), Some("c".into())));
        assert_eq!(bytes.split(record(), 3), (Some(record()), None));
        let json = Tally::of(&ContentType::json());
        assert_eq!(json.split(record(), 1), (Some(record()), None));
    }
}
