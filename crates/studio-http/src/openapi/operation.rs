use axum::http::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::{Value, json};
use studio_api::{Described, ErrorCode};

/// What the document tells of a route beside its policy.
pub(super) struct Operation {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// A name that generated clients use for it.
    pub(super) id: &'static str,
    /// One line.
    pub(super) summary: &'static str,
    /// What does not fit into one line.
    pub(super) about: &'static str,
    pub(super) parameters: Vec<Value>,
    pub(super) body: Option<Value>,
    pub(super) answers: Vec<Answer>,
    /// What can go wrong here, beside what every route of its policy and kind of body has.
    pub(super) fails: Vec<ErrorCode>,
    /// A schema that the body's reference needs.
    pub(super) defines: Option<(&'static str, Value)>,
    pub(super) takes_json: bool,
}

/// One status.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) about: &'static str,
    pub(super) content: Vec<(&'static str, Shape, Option<Value>)>,
    pub(super) headers: Value,
}

/// How a body looks.
pub(super) enum Shape {
    Type(fn(&mut SchemaGenerator) -> Schema),
    Given(Value),
}

/// A route in a line: `op(Method::GET, "/api/config", "config", "What clients must know")`.
pub(super) fn op(
    method: Method,
    path: &'static str,
    id: &'static str,
    summary: &'static str,
) -> Operation {
    Operation {
        method,
        path,
        id,
        summary,
        about: "",
        parameters: Vec::new(),
        body: None,
        answers: Vec::new(),
        fails: Vec::new(),
        defines: None,
        takes_json: false,
    }
}

impl Operation {
    pub(super) fn about(mut self, about: &'static str) -> Self {
        self.about = about;
        self
    }

    /// A JSON body that is read as `T`.
    pub(super) fn takes<T: Described>(self) -> Self {
        self.json_body::<T>(true)
    }

    /// As [`Self::takes`], and may be left out.
    pub(super) fn may_take<T: Described>(self) -> Self {
        self.json_body::<T>(false)
    }

    fn json_body<T: Described>(mut self, required: bool) -> Self {
        let schema = json!({ "$ref": format!("#/components/schemas/{}", T::NAME) });
        let content = json!({ "application/json": { "schema": schema, "example": T::example() } });
        self.body = Some(json!({ "required": required, "content": content }));
        self.defines = Some((T::NAME, T::schema()));
        self.takes_json = true;
        self
    }

    /// A body of any other kind.
    pub(super) fn takes_raw(mut self, media: &str, schema: &Value, example: Option<&str>) -> Self {
        let mut content = json!({ "schema": schema });
        if let Some(example) = example {
            content["example"] = example.into();
        }
        self.body = Some(json!({ "required": example.is_some(), "content": { media: content } }));
        self
    }

    /// JSON of a type, with an example.
    pub(super) fn answers<T: Serialize + JsonSchema>(self, status: u16, example: T) -> Self {
        let shape = Shape::Type(|schemas| schemas.subschema_for::<T>());
        // Made of strings, numbers and maps with string keys, which always serialise.
        let example = serde_json::to_value(example).unwrap_or_default();
        self.answer(status, "", Some(("application/json", shape, Some(example))))
    }

    /// Anything else.
    pub(super) fn answers_raw(
        self,
        status: u16,
        about: &'static str,
        content: Option<(&'static str, Value, Option<Value>)>,
    ) -> Self {
        let content =
            content.map(|(media, schema, example)| (media, Shape::Given(schema), example));
        self.answer(status, about, content)
    }

    fn answer(
        mut self,
        status: u16,
        about: &'static str,
        content: Option<(&'static str, Shape, Option<Value>)>,
    ) -> Self {
        let content = content.into_iter().collect();
        self.answers.push(Answer { status, about, content, headers: json!({}) });
        self
    }

    /// The last answer may also look so.
    pub(super) fn also(mut self, media: &'static str, schema: Value) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.content.push((media, Shape::Given(schema), None));
        }
        self
    }

    /// A header of the last answer.
    pub(super) fn with_header(mut self, name: &str, about: &str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers[name] = json!({ "description": about, "schema": { "type": "string" } });
        }
        self
    }

    pub(super) fn query(self, name: &str, schema: Value, about: &str) -> Self {
        self.parameter("query", name, schema, about)
    }

    pub(super) fn header(self, name: &str, schema: Value, about: &str) -> Self {
        self.parameter("header", name, schema, about)
    }

    fn parameter(mut self, place: &str, name: &str, schema: Value, about: &str) -> Self {
        self.parameters
            .push(json!({ "name": name, "in": place, "description": about, "schema": schema }));
        self
    }

    /// The last parameter must be given.
    pub(super) fn required(mut self) -> Self {
        if let Some(parameter) = self.parameters.last_mut() {
            parameter["required"] = true.into();
        }
        self
    }

    pub(super) fn fails(mut self, codes: &[ErrorCode]) -> Self {
        self.fails.extend_from_slice(codes);
        self
    }
}
