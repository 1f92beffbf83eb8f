//! What `studio doctor --security` says: every route with who may use it, and how this version
//! with these settings stands to each line of the list of what such servers were broken by.
//!
//! Reading order: [`checklist`] (the lines), [`policies`] (words for who may use a route).

mod checklist;
mod policies;

use std::fmt::Write as _;

use crate::{Config, ConfigError, ServeArgs};

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It holds.
    Pass,
    /// It does not hold.
    Fail,
    /// What it is about is not there yet.
    NotYet,
}

/// A line of the list.
#[derive(Clone, Debug)]
struct Line {
    /// What is asked.
    what: &'static str,
    verdict: Verdict,
    /// What makes it hold, what is missing, or what is not there.
    why: &'static str,
}

/// The report, and whether every line of the list that applies holds.
pub fn security_report(
    args: ServeArgs,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<(String, bool), ConfigError> {
    let config = Config::read(args, variable)?;
    let lines = checklist::lines(&config);
    let mut text = "Routes, and who may use them\n\n".to_owned();
    for route in studio_http::routes() {
        let (method, path) = (route.method.as_str(), route.path);
        let _ = writeln!(text, "{method:<8}{path:<56}{}", policies::told(route.policy));
    }
    text.push_str("\nThe list, with these settings\n\n");
    for (line, number) in lines.iter().zip(1..) {
        let (word, before) = match line.verdict {
            Verdict::Pass => ("pass", ""),
            Verdict::Fail => ("FAIL", ""),
            Verdict::NotYet => ("-", "Does not apply yet: "),
        };
        let _ =
            writeln!(text, "{number:>2}  {word:<6}{}\n          {before}{}", line.what, line.why);
    }
    let count = |verdict| lines.iter().filter(|line| line.verdict == verdict).count();
    let failed = count(Verdict::Fail);
    let (passed, later) = (count(Verdict::Pass), count(Verdict::NotYet));
    let _ = writeln!(text, "\n{passed} pass, {failed} fail, {later} do not apply yet.");
    Ok((text, failed == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines of the list.
    const LINES: usize = 32;

    fn report(env: &[(&str, &str)]) -> (String, bool) {
        let find = |name: &str| {
            env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        security_report(ServeArgs::default(), find).unwrap()
    }

    /// The line of this number, with its reason.
    fn line(env: &[(&str, &str)], number: usize) -> String {
        let (text, _) = report(env);
        let list = text.split("The list").nth(1).unwrap();
        let start = format!("{number:>2}  ");
        let mut lines = list.lines().skip_while(|line| !line.starts_with(&start));
        format!("{}\n{}", lines.next().unwrap(), lines.next().unwrap())
    }

    #[test]
    fn the_report_has_every_route_and_every_line_of_the_list() {
        let (text, _) = report(&[]);
        for route in studio_http::routes() {
            let begin = format!("{:<8}{} ", route.method.as_str(), route.path);
            assert!(text.lines().any(|line| line.starts_with(&begin)), "{begin}");
        }
        let list = text.split("The list").nth(1).unwrap();
        let verdicts = ["  pass  ", "  FAIL  ", "  -     "];
        let is_line = |line: &&str| {
            verdicts.iter().any(|verdict| line.get(2..).is_some_and(|l| l.starts_with(verdict)))
        };
        assert_eq!(list.lines().filter(is_line).count(), LINES);
        let config = Config::read(ServeArgs::default(), |_| None).unwrap();
        let lines = checklist::lines(&config);
        assert_eq!(lines.len(), LINES);
        assert!(lines.iter().all(|line| !line.what.is_empty() && !line.why.is_empty()));
    }

    #[test]
    fn what_is_set_changes_the_verdict() {
        let open = [("STUDIO_HOST", "0.0.0.0"), ("STUDIO_ALLOWED_HOSTS", "studio.example.com")];
        assert!(line(&[], 1).contains("pass"));
        assert!(line(&open, 1).contains("pass"));
        let everybody = [open[0], open[1], ("STUDIO_OPEN_CREATION", "1")];
        assert!(line(&everybody, 1).contains("FAIL"));
        assert!(line(&[("STUDIO_STREAMS_OPEN", "1")], 8).contains("FAIL"));
        assert!(line(&[], 8).contains("pass"));
        assert!(line(&[], 7).contains("FAIL"));
        assert!(line(&[("STUDIO_REFERENCE_TOKENS", "0")], 7).contains("pass"));
    }

    #[test]
    fn what_does_not_hold_is_not_passed_over() {
        let (text, holds) = report(&[]);
        assert_eq!(holds, !text.contains("FAIL"));
    }
}
