use serde_json::Value;

use crate::{
    Body, BodyError, PrivateText,
    body::decode_with,
    decode::{Fields, Units},
    limits::{KEY_UNITS_MAX, SHORT_UNITS_MAX, TEXT_UNITS_MAX},
};

const TEXT: Units = Units::some_up_to(TEXT_UNITS_MAX);
const SHORT: Units = Units::up_to(SHORT_UNITS_MAX);
const KEY: Units = Units::up_to(KEY_UNITS_MAX);

/// What a person is asked about before an agent's tool call runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permissions {
    /// `allow_listed`: the usual tools run without asking.
    AllowListed,
    /// `ask`: everything that changes something is asked.
    Ask,
}

/// `POST /api/sessions`. `name` and `baseDir` are checked and otherwise ignored, as ever.
#[derive(Clone, Debug, PartialEq)]
pub struct CreateSession {
    /// What the person wants.
    pub description: String,
    /// No infrastructure question and no template.
    pub freeform: bool,
    /// The model provider's key. An empty one counts as absent.
    pub api_key: Option<PrivateText>,
    /// The agent's login.
    pub oauth_token: Option<PrivateText>,
    /// For repositories.
    pub gh_token: Option<PrivateText>,
    /// Added, `model`: letters, digits and `._:/@[]-`, beginning with a letter or digit.
    pub model: Option<String>,
    /// Added, `budgetUsd`: US dollars after which the session stops.
    pub budget_usd: Option<f64>,
    /// Added, `permissions`.
    pub permissions: Option<Permissions>,
}

impl Body for CreateSession {
    fn decode(value: &Value) -> Result<Self, BodyError> {
        decode_with(value, |fields| {
            let description = fields.text("description", TEXT);
            fields.text_if_given("name", SHORT);
            fields.text_if_given("baseDir", SHORT);
            let freeform = fields.bool_if_given("freeform").unwrap_or(false);
            let api_key = private(fields, "apiKey");
            let oauth_token = private(fields, "oauthToken");
            let gh_token = private(fields, "ghToken");
            let model = model(fields);
            let budget_usd = fields.positive_if_given("budgetUsd");
            let words = [("allow_listed", Permissions::AllowListed), ("ask", Permissions::Ask)];
            let permissions = fields.word_if_given("permissions", &words);
            Some(Self {
                description: description?,
                freeform,
                api_key,
                oauth_token,
                gh_token,
                model,
                budget_usd,
                permissions,
            })
        })
    }
}

pub(crate) fn private(fields: &mut Fields<'_>, name: &str) -> Option<PrivateText> {
    // Browsers send an empty field for "none".
    fields.plain_if_given(name, KEY).filter(|text| !text.is_empty()).map(PrivateText::new)
}

/// A model's name ends up in an argument vector: it must not look like an option.
fn model(fields: &mut Fields<'_>) -> Option<String> {
    let name = fields.text_if_given("model", Units::some_up_to(SHORT_UNITS_MAX))?;
    let good = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "._:/@[]-".contains(c));
    if !good {
        fields.fail("model", "Invalid");
    }
    good.then_some(name)
}

/// `POST /api/sessions/local`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateLocalSession {
    /// What it is about.
    pub description: Option<String>,
}

impl Body for CreateLocalSession {
    fn decode(value: &Value) -> Result<Self, BodyError> {
        decode_with(value, |fields| {
            let text = fields.text_if_given("description", Units::up_to(TEXT_UNITS_MAX));
            Some(Self { description: text.filter(|text| !text.is_empty()) })
        })
    }
}

/// `POST /api/sessions/{id}/iterate`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Iterate {
    /// What to say to the agent.
    pub request: String,
}

impl Body for Iterate {
    fn decode(value: &Value) -> Result<Self, BodyError> {
        decode_with(value, |fields| Some(Self { request: fields.text("request", TEXT)? }))
    }
}
