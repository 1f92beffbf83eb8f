use serde_json::Value;
use studio_ids::{ProjectName, SessionId};

use crate::{
    Body, BodyError, InfraChoice, InfraConfig,
    body::decode_with,
    decode::{Fields, Units},
    limits::SHORT_UNITS_MAX,
};

/// `POST /api/sandboxes`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateSandbox {
    /// Under which id; a new one when absent.
    pub session_id: Option<SessionId>,
    /// The project directory's name.
    pub project_name: Option<ProjectName>,
    /// Where its data lives; `none` and absent are the same.
    pub infra: Option<InfraChoice>,
}

impl Body for CreateSandbox {
    fn decode(value: &Value) -> Result<Self, BodyError> {
        decode_with(value, |fields| {
            let session_id = match fields.text_if_given("sessionId", Units::up_to(SHORT_UNITS_MAX))
            {
                None => None,
                Some(text) => {
                    let id = text.parse().ok();
                    if id.is_none() {
                        fields.fail("sessionId", "Invalid uuid");
                    }
                    id
                }
            };
            let project_name =
                match fields.text_if_given("projectName", Units::up_to(SHORT_UNITS_MAX)) {
                    None => None,
                    Some(text) => match text.parse() {
                        Ok(name) => Some(name),
                        Err(bad) => {
                            fields.fail("projectName", format!("Invalid: {bad}"));
                            None
                        }
                    },
                };
            let infra = match fields.get("infra") {
                None => None,
                Some(value) => infra(fields, value),
            };
            Some(Self { session_id, project_name, infra })
        })
    }
}

fn infra(fields: &mut Fields<'_>, value: &Value) -> Option<InfraChoice> {
    let mode = value.get("mode").and_then(Value::as_str);
    if value.is_object() && mode == Some("none") {
        return None;
    }
    if value.is_object() && !matches!(mode, Some("local" | "cloud" | "claim")) {
        let modes = "Expected 'none' | 'local' | 'cloud' | 'claim'";
        fields.fail("infra.mode", format!("Invalid discriminator value. {modes}"));
        return None;
    }
    let mut inner = Fields::of(value);
    let read = value.is_object().then(|| InfraConfig::read(&mut inner)).flatten();
    for failure in inner.into_failures() {
        let (path, reason) = failure.split_once(": ").unwrap_or(("", &failure));
        let path = if path.is_empty() { "infra".to_owned() } else { format!("infra.{path}") };
        fields.fail(&path, reason);
    }
    read.map(|config| config.infra)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn failures(value: Value) -> Vec<String> {
        CreateSandbox::decode(&value).map_or_else(|e| e.details().to_vec(), |_| Vec::new())
    }

    #[test]
    fn d30_2_nothing_of_a_sandboxs_configuration_is_taken_unchecked() {
        for good in [
            json!({}),
            json!({"infra": {"mode": "none"}}),
            json!({"infra": {"mode": "local"}, "projectName": "app-1"}),
            json!({"infra": {
                "mode": "claim", "databaseUrl": "postgres://u:p$x@db.example/d",
                "electricUrl": "https://e.example", "sourceId": "s", "secret": "t", "claimId": "c",
            }}),
        ] {
            assert_eq!(failures(good.clone()), Vec::<String>::new(), "{good}");
        }
        let cloud =
            failures(json!({"infra": {"mode": "cloud", "databaseUrl": "x\nprivileged: true"}}));
        assert!(cloud.iter().all(|line| line.starts_with("infra.")), "{cloud:?}");
        assert_eq!(cloud.len(), 4, "{cloud:?}");
        for (bad, told) in [
            (json!(null), ": Expected object, received null"),
            (json!({"sessionId": "../x"}), "sessionId: Invalid uuid"),
            (json!({"sessionId": 7}), "sessionId: Expected string, received number"),
            (json!({"infra": 7}), "infra: Expected object, received number"),
            (
                json!({"infra": {"mode": "x"}}),
                "infra.mode: Invalid discriminator value. Expected 'none' | 'local' | 'cloud' | 'claim'",
            ),
        ] {
            assert_eq!(failures(bad), [told]);
        }
        for name in ["../x", "-rf", "a b", "a\nb", "", "a/b", "a'b"] {
            let told = failures(json!({ "projectName": name }));
            assert!(told[0].starts_with("projectName: Invalid"), "{told:?}");
        }
    }
}
