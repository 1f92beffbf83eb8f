use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;
use serde_json::Value;
use studio_api::ProblemBody;

use crate::Server;

/// How long a server may take to accept a connection.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);
/// How long a server may take to answer what is not an event stream.
const ANSWER_PATIENCE: Duration = Duration::from_secs(60);

/// Why a command could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// Nobody there.
    #[error("no studio answers at {server} ({reason}); start one with `studio serve`")]
    Unreachable { server: String, reason: String },
    /// The server said no.
    #[error("{}", told(.0))]
    Refused(Box<ProblemBody>),
    /// Not a studio, or one that is much newer.
    #[error("{server} does not answer like a studio: {reason}")]
    Strange { server: String, reason: String },
    /// The command was not meant so.
    #[error("{0}")]
    Usage(String),
}

fn told(problem: &ProblemBody) -> String {
    let mut told = problem.detail.clone();
    for detail in &problem.details {
        told.push_str("\n  ");
        told.push_str(detail);
    }
    if problem.status == 401 {
        told.push_str(" (pass --token, or --data-dir on the server's own machine)");
    }
    told
}

/// A studio as this command sees it.
pub(crate) struct Client {
    http: reqwest::Client,
    server: String,
    token: Option<String>,
}

impl Client {
    pub(crate) fn new(to: &Server) -> Result<Self, ClientError> {
        let server = to.server.trim_end_matches('/').to_owned();
        if !["http://", "https://"].iter().any(|scheme| server.starts_with(scheme)) {
            let told = format!("--server must be like http://127.0.0.1:4400, not {server}");
            return Err(ClientError::Usage(told));
        }
        let mut http = reqwest::Client::builder().no_proxy().connect_timeout(CONNECT_PATIENCE);
        // The certificate that `--tls self-signed` has made.
        if let Ok(pem) = std::fs::read(to.data_dir.join("tls-cert.pem")) {
            let own = reqwest::Certificate::from_pem(&pem);
            http = http.add_root_certificate(own.map_err(|e| ClientError::Usage(e.to_string()))?);
        }
        let http = http.build();
        let http = http.map_err(|error| ClientError::Usage(error.to_string()))?;
        let kept = || std::fs::read_to_string(to.data_dir.join("operator-token")).ok();
        let token = to.token.clone().or_else(kept).map(|token| token.trim().to_owned());
        Ok(Self { http, server, token: token.filter(|token| !token.is_empty()) })
    }

    /// The same studio, opened with another token.
    pub(crate) fn with_token(mut self, token: String) -> Self {
        self.token = Some(token);
        self
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.answer(self.request(Method::GET, path)).await
    }

    pub(crate) async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, ClientError> {
        self.answer(self.request(Method::POST, path).json(body)).await
    }

    /// Opens an event stream after the event `from`.
    pub(crate) async fn events(&self, path: &str, from: &str) -> Result<Response, ClientError> {
        self.send(self.request(Method::GET, path).header("last-event-id", from)).await
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.server));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn answer<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let response = self.send(request.timeout(ANSWER_PATIENCE)).await?;
        response.json().await.map_err(|error| self.strange(error.to_string()))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|error| {
            let reason = innermost(&error);
            ClientError::Unreachable { server: self.server.clone(), reason }
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        match response.json::<ProblemBody>().await {
            Ok(problem) => Err(ClientError::Refused(Box::new(problem))),
            Err(_other_body) => Err(self.strange(status.to_string())),
        }
    }

    fn strange(&self, reason: String) -> ClientError {
        ClientError::Strange { server: self.server.clone(), reason }
    }
}

/// The cause at the bottom: `Connection refused`, not how it was wrapped.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}
