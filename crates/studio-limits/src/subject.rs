use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// Longest name of a subject, in bytes.
pub const SUBJECT_BYTES_MAX: usize = 200;

/// Whoever is counted: an address, a token, a person. Two of the same text are the same one.
///
/// Text: a kind, a colon, a name; printable ASCII without blanks: `address:192.0.2.1`,
/// `token:3f2a`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Subject(String);

/// A text that names no [`Subject`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a subject is `kind:name`, at most {SUBJECT_BYTES_MAX} printable characters, no blanks")]
pub struct BadSubject;

impl Subject {
    /// Whoever comes from this address. Who holds one IPv6 address holds its whole /64, and an
    /// IPv4 address is the same one in IPv6's clothes.
    pub fn address(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => format!("address:{address}"),
            IpAddr::V6(address) => {
                let network = Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64));
                format!("address:{network}/64")
            }
        })
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Subject {
    type Err = BadSubject;

    fn from_str(text: &str) -> Result<Self, BadSubject> {
        let (kind, name) = text.split_once(':').ok_or(BadSubject)?;
        let good = !kind.is_empty()
            && !name.is_empty()
            && text.len() <= SUBJECT_BYTES_MAX
            && text.bytes().all(|byte| byte.is_ascii_graphic());
        if good { Ok(Self(text.to_owned())) } else { Err(BadSubject) }
    }
}

impl TryFrom<String> for Subject {
    type Error = BadSubject;

    fn try_from(text: String) -> Result<Self, BadSubject> {
        text.parse()
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_network_is_one_subject_and_so_is_an_address_in_both_its_forms() {
        let of = |text: &str| Subject::address(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!(of("192.0.2.1").as_str(), "address:192.0.2.1");
    }

    #[test]
    fn a_subject_is_read_as_it_is_told_and_nothing_else_is() {
        for good in ["address:192.0.2.1", "token:a", &Subject::address([0; 16].into()).to_string()]
        {
            assert_eq!(good.parse::<Subject>().unwrap().to_string(), good);
            let json = serde_json::to_string(&good.parse::<Subject>().unwrap()).unwrap();
            assert_eq!(serde_json::from_str::<Subject>(&json).unwrap().as_str(), good);
        }
        let long = format!("a:{}", "x".repeat(SUBJECT_BYTES_MAX));
        for bad in ["", ":", "a", "a:", ":b", "a:b c", "a:b\n", "a:\0", "ä:b", &long] {
            assert_eq!(bad.parse::<Subject>(), Err(BadSubject), "{bad:?}");
        }
    }
}
