use serde_json::Value;

use crate::{Body, BodyError, body::decode_with, decode::Units, limits::SHORT_UNITS_MAX};

/// `PATCH /api/sessions/{id}` (added).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ChangeSession {
    /// What it is called; `null` takes the name away (`Some(None)`).
    pub name: Option<Option<String>>,
    /// Whether it is put away.
    pub archived: Option<bool>,
    /// `budgetUsd`: US dollars that it may spend in all, over 0; `null` leaves the server's limit
    /// alone (`Some(None)`).
    pub budget_usd: Option<Option<f64>>,
}

impl Body for ChangeSession {
    fn decode(value: &Value) -> Result<Self, BodyError> {
        let body = decode_with(value, |fields| {
            let name = match fields.get("name") {
                None => None,
                Some(Value::Null) => Some(None),
                Some(_) => Some(fields.plain_if_given("name", Units::some_up_to(SHORT_UNITS_MAX))),
            };
            let budget_usd = match fields.get("budgetUsd") {
                None => None,
                Some(Value::Null) => Some(None),
                Some(_) => Some(fields.positive_if_given("budgetUsd")),
            };
            Some(Self { name, archived: fields.bool_if_given("archived"), budget_usd })
        })?;
        if body == Self::default() {
            return Err(BodyError::Rule("name, archived or budgetUsd is required".to_owned()));
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_is_set_kept_or_taken_away() {
        let read = |value| ChangeSession::decode(&value);
        let name = |name: Option<Option<&str>>| name.map(|name| name.map(str::to_owned));
        for (value, expected) in [
            (json!({"name": "kites"}), name(Some(Some("kites")))),
            (json!({"name": null, "archived": true}), name(Some(None))),
            (json!({"archived": false, "other": 1}), None),
        ] {
            assert_eq!(read(value).unwrap().name, expected);
        }
        assert_eq!(
            read(json!({})).unwrap_err().to_string(),
            "name, archived or budgetUsd is required"
        );
        assert_eq!(
            read(json!({"name": 7, "archived": "x"})).unwrap_err().details(),
            [
                "name: Expected string, received number",
                "archived: Expected boolean, received string"
            ]
        );
        let budget = |value| read(value).map(|body| body.budget_usd);
        assert_eq!(budget(json!({"budgetUsd": 2.5})).unwrap(), Some(Some(2.5)));
        assert_eq!(budget(json!({"budgetUsd": null})).unwrap(), Some(None));
        for bad in [json!(0), json!(-1), json!("5"), json!([]), json!(true)] {
            let told = budget(json!({ "budgetUsd": bad.clone() })).unwrap_err();
            assert_eq!(told.details().len(), 1, "{bad}");
        }
        for bad in ["", "a\nb", "a\0", &"x".repeat(501)] {
            assert_eq!(read(json!({"name": bad})).unwrap_err().details().len(), 1, "{bad:.9}");
        }
    }
}
