use std::net::IpAddr;

/// What a setting takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// Any text.
    Text,
    /// Any text, which is never shown.
    Secret,
    /// A place in the file system.
    Path,
    /// 1 or 0; in the file also `true` or `false`.
    Flag,
    /// An IP address.
    Address,
    /// A port.
    Port,
    /// A whole number, and the smallest one.
    Count(u64),
    /// US dollars; 0 = no limit.
    Money,
    /// One of some words.
    Word(&'static [&'static str]),
    /// Texts with commas between them; in the file also a list.
    List,
}

impl Kind {
    /// What it takes, for people.
    pub(crate) fn wanted(self) -> String {
        match self {
            Self::Text | Self::Secret => "text".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Flag => "1 (on) or 0 (off)".to_owned(),
            Self::Address => "an IP address".to_owned(),
            Self::Port => "a port from 0 to 65535".to_owned(),
            Self::Count(0) => "a whole number, 0 = no limit".to_owned(),
            Self::Count(1) => "a whole number over 0".to_owned(),
            Self::Count(least) => format!("a whole number from {least}"),
            Self::Money => "a number of US dollars, 0 = no limit".to_owned(),
            Self::Word(words) => format!("one of {}", words.join(", ")),
            Self::List => "texts with commas between them".to_owned(),
        }
    }

    /// What stands for it in `--help`.
    pub(crate) fn placeholder(self) -> &'static str {
        match self {
            Self::Text | Self::Secret | Self::List => "TEXT",
            Self::Path => "PATH",
            Self::Flag => "0|1",
            Self::Address => "ADDRESS",
            Self::Port => "PORT",
            Self::Count(_) => "NUMBER",
            Self::Money => "USD",
            Self::Word(_) => "WORD",
        }
    }

    /// Whether it takes this.
    pub(crate) fn takes(self, text: &str) -> bool {
        match self {
            // Keys have lines.
            Self::Text | Self::Path | Self::List | Self::Secret => !text.contains('\0'),
            Self::Flag => matches!(text, "0" | "1"),
            Self::Address => text.parse::<IpAddr>().is_ok(),
            Self::Port => text.parse::<u16>().is_ok(),
            Self::Count(least) => {
                let digits = text.bytes().all(|byte| byte.is_ascii_digit());
                digits && text.parse::<u64>().is_ok_and(|number| least <= number)
            }
            Self::Money => {
                text.parse::<f64>().is_ok_and(|amount| amount.is_finite() && 0.0 <= amount)
            }
            Self::Word(words) => words.iter().any(|word| word.eq_ignore_ascii_case(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_takes_what_it_says() {
        for (kind, good, bad) in [
            (Kind::Flag, "1", "true"),
            (Kind::Address, "::1", "localhost"),
            (Kind::Port, "0", "65536"),
            (Kind::Port, "4400", "-1"),
            (Kind::Count(1), "1", "0"),
            (Kind::Count(0), "0", "+1"),
            (Kind::Count(0), "7", "18446744073709551616"),
            (Kind::Money, "0.5", "NaN"),
            (Kind::Money, "0", "-1"),
            (Kind::Word(&["text", "json"]), "JSON", "xml"),
            (Kind::Text, "'; rm -rf /", "a\0b"),
        ] {
            assert!(kind.takes(good) && !kind.takes(bad), "{kind:?}");
        }
    }
}
