use serde_json::Value;

use crate::{Body, BodyError, body::decode_with, decode::Units, limits::DIRECTORY_UNITS_MAX};

/// `POST /api/hooks/projects`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetUpHooks {
    /// Where the project lies on its machine: an absolute path without control characters.
    pub directory: String,
}

impl Body for SetUpHooks {
    fn decode(value: &Value) -> Result<Self, BodyError> {
        decode_with(value, |fields| {
            let directory = fields.plain("directory", Units::some_up_to(DIRECTORY_UNITS_MAX))?;
            if !is_absolute(&directory) {
                fields.fail("directory", "Expected an absolute path");
            }
            Some(Self { directory })
        })
    }
}

/// `/home/me/app`, or `C:\app` of the other kind of machine.
fn is_absolute(path: &str) -> bool {
    let drive = path.split_once(":\\").is_some_and(|(drive, _)| {
        drive.len() == 1 && drive.bytes().all(|byte| byte.is_ascii_alphabetic())
    });
    path.starts_with('/') || drive
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_projects_directory_is_an_absolute_path_of_plain_text() {
        for good in ["/", "/it's \"a\" project", "C:\\app", "/..; rm -rf /"] {
            let body = serde_json::json!({ "directory": good }).to_string();
            assert_eq!(SetUpHooks::from_bytes(body.as_bytes()).unwrap().directory, good);
        }
        let long = format!("/{}", "a".repeat(4_096));
        for bad in ["", "app", "../app", "-rf", "CC:\\app", "/a\nb", "/a\0", &long] {
            let body = serde_json::json!({ "directory": bad }).to_string();
            let error = SetUpHooks::from_bytes(body.as_bytes()).unwrap_err();
            assert_eq!(error.details().len(), 1, "{bad}: {error:?}");
        }
        for bad in ["", "null", "[]", "{}", r#"{"directory":7}"#, r#"{"directory":null}"#] {
            assert!(SetUpHooks::from_bytes(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
