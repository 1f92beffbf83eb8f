use super::{Kind, Setting};

/// A setting of variable, key, what it takes, default, and what it does.
const fn set(
    group: &'static str,
    variable: &'static str,
    key: &'static str,
    kind: Kind,
    default: &'static str,
    about: &'static str,
) -> Setting {
    Setting { key, variable, option: None, group, kind, default, about }
}

const SERVER: &str = "Server";
const TLS: &str = "TLS";
const STREAMS: &str = "Streams";
const AGENTS: &str = "Agents";
const GITHUB: &str = "GitHub";
const DATABASES: &str = "Databases";
const LIMITS: &str = "Limits";
const OTHERS: &str = "Letting others in";
const TOKENS: &str = "Tokens";

/// Every setting: a new one is a line here, and is read in `config.rs`.
#[rustfmt::skip]
pub(crate) const SETTINGS: &[Setting] = &[
    set(SERVER, "PORT", "port", Kind::Port, "4400", "port to listen on; 0 takes any free one, and the line on stdout says which").option("port"),
    set(SERVER, "STUDIO_HOST", "host", Kind::Address, "127.0.0.1", "address to listen on; others than loopback need STUDIO_ALLOWED_HOSTS").option("host"),
    set(SERVER, "DATA_DIR", "data_dir", Kind::Path, ".agent-studio", "where everything is kept; one server at a time").option("data-dir"),
    set(SERVER, "SANDBOX_RUNTIME", "sandbox", Kind::Word(&["auto", "docker", "local"]), "auto", "where agents run; `auto`: Docker when an engine answers within 2 s, else this machine").option("sandbox"),
    set(SERVER, "STUDIO_LOG_FORMAT", "log_format", Kind::Word(&["text", "json"]), "text", "how the log on stderr is written").option("log-format"),
    set(SERVER, "STUDIO_LOG", "log", Kind::Text, "info", "what is logged: `debug`, `info,studio_http=debug`; tokens never are"),
    set(SERVER, "STUDIO_DEV_MODE", "dev_mode", Kind::Flag, "0", "1 = development mode, see below"),

    set(TLS, "STUDIO_TLS", "tls", Kind::Word(&["off", "self-signed"]), "off", "`self-signed`: HTTPS on loopback with a certificate that the first start makes in the data directory").option("tls"),
    set(TLS, "STUDIO_TLS_CERT", "tls_cert", Kind::Path, "", "the certificate and what it rests on, PEM; with the key it turns HTTPS on").option("tls-cert"),
    set(TLS, "STUDIO_TLS_KEY", "tls_key", Kind::Path, "", "the certificate's private key, PEM").option("tls-key"),

    set(STREAMS, "DS_URL", "ds_url", Kind::Text, "", "a Durable Streams service that keeps all streams: `https://streams.example.com`; without it the data directory does"),
    set(STREAMS, "DS_SERVICE_ID", "ds_service_id", Kind::Text, "", "which part of it is this studio's: letters, digits, `.`, `_`, `-`"),
    set(STREAMS, "DS_SECRET", "ds_secret", Kind::Secret, "", "what lets the studio in there; also the key of tokens, unless STUDIO_TOKEN_KEY is set"),
    set(STREAMS, "STUDIO_STREAMS_OPEN", "streams_open", Kind::Flag, "0", "1 = whoever reaches the port may read and write all streams below `/v1/stream` without a token: for tests and tools, refused unless the server listens on loopback"),
    set(STREAMS, "STUDIO_STREAMS_EVENTS_SECONDS", "streams_events_seconds", Kind::Count(1), "60", "how long a stream of events below `/v1/stream` goes on before its client is to come back"),
    set(STREAMS, "STUDIO_STREAMS_WAIT_SECONDS", "streams_wait_seconds", Kind::Count(1), "20", "how long a read below `/v1/stream` with `live=long-poll` waits"),

    set(AGENTS, "ANTHROPIC_API_KEY", "anthropic_api_key", Kind::Secret, "", "the server's credential for agents; a session may bring its own"),
    set(AGENTS, "CLAUDE_CODE_OAUTH_TOKEN", "claude_code_oauth_token", Kind::Secret, "", "the same as a token"),
    set(AGENTS, "ANTHROPIC_BASE_URL", "anthropic_base_url", Kind::Text, "", "passed to agents"),
    set(AGENTS, "STUDIO_MODEL", "model", Kind::Text, "the agent's own", "model of sessions that name none"),
    set(AGENTS, "STUDIO_AGENT_PATH", "agent_path", Kind::Path, "the first on `PATH`", "directory with `claude`, for the local runtime"),
    set(AGENTS, "STUDIO_SANDBOX_IMAGE", "sandbox_image", Kind::Text, "built on first use", "image of Docker sandboxes; needs `sh`, `tar`, `head` and a home `/home/agent` of user 1000"),
    set(AGENTS, "DOCKER_HOST", "docker_host", Kind::Text, "`/var/run/docker.sock`", "the engine: `unix://…` or `tcp://…`"),

    set(GITHUB, "GITHUB_APP_ID", "github_app_id", Kind::Text, "", "the App that makes repositories and gives sandboxes tokens for their own; with the next two it is there, without all three there is none"),
    set(GITHUB, "GITHUB_INSTALLATION_ID", "github_installation_id", Kind::Count(1), "", "the number of its installation, in its address on GitHub"),
    set(GITHUB, "GITHUB_PRIVATE_KEY", "github_private_key", Kind::Secret, "", "what it signs with, PEM; the two characters `\\n` are as good as a line break"),
    set(GITHUB, "GITHUB_ORG", "github_org", Kind::Text, "electric-apps", "the organisation where it is installed and makes repositories"),
    set(GITHUB, "GITHUB_API_URL", "github_api_url", Kind::Text, "https://api.github.com", "the API of an own GitHub: `https://HOST/api/v3`"),

    set(DATABASES, "ELECTRIC_API_BASE_URL", "electric_api_base_url", Kind::Text, "https://dashboard.electric-sql.cloud/api", "where databases are made that a person may claim; `http:` to this machine only"),
    set(DATABASES, "ELECTRIC_DASHBOARD_URL", "electric_dashboard_url", Kind::Text, "https://dashboard.electric-sql.cloud", "where people claim them"),

    set(LIMITS, "MAX_SESSION_COST_USD", "max_session_cost_usd", Kind::Money, "5", "what a session may spend, in production"),
    set(LIMITS, "MAX_SESSIONS_PER_IP_PER_HOUR", "max_sessions_per_ip_per_hour", Kind::Count(0), "5", "session creations from one address (IPv6: one /64), in production; as many databases may be made, counted for themselves"),
    set(LIMITS, "STUDIO_LOCAL_IDLE_HOURS", "local_idle_hours", Kind::Count(1), "6", "after so many hours without a hook event a session that an agent on somebody's machine feeds counts as over"),
    set(LIMITS, "MAX_TOTAL_SESSIONS", "max_total_sessions", Kind::Count(0), "50", "sessions (and sandboxes by themselves) that hold a sandbox at the same time, in production; one that is cancelled, deleted or failed gives its place back"),
    set(LIMITS, "MAX_RUNNING_SESSIONS_PER_IP", "max_running_sessions_per_ip", Kind::Count(0), "10", "sessions of one caller that run (or wait for a person in the middle) at the same time, in production"),
    set(LIMITS, "STUDIO_GATE_INFRA_SECONDS", "gate_infra_seconds", Kind::Count(1), "86400", "how long a new session waits for its infrastructure choice"),
    set(LIMITS, "STUDIO_GATE_AGENT_SECONDS", "gate_agent_seconds", Kind::Count(1), "86400", "how long questions and permissions of an agent in a sandbox are open"),
    set(LIMITS, "STUDIO_GATE_HOOK_SECONDS", "gate_hook_seconds", Kind::Count(1), "300", "how long a question is open that a hook holds"),
    set(LIMITS, "STUDIO_GATE_OUTBOUND_SECONDS", "gate_outbound_seconds", Kind::Count(1), "86400", "how long an agent's message to its room waits to be let out"),
    set(LIMITS, "STUDIO_FILE_BYTES_MAX", "file_bytes_max", Kind::Count(1), "16777216", "what one answer holds of a file of a project, in bytes; larger files are read piece by piece"),

    set(OTHERS, "STUDIO_ALLOWED_HOSTS", "allowed_hosts", Kind::List, "", "names under which this studio is reached; loopback names always are. Needed when it listens on other than loopback"),
    set(OTHERS, "STUDIO_ALLOWED_ORIGINS", "allowed_origins", Kind::List, "", "other web origins that may use the API: `https://studio.example.com`"),
    set(OTHERS, "STUDIO_TRUSTED_PROXIES", "trusted_proxies", Kind::List, "", "addresses or networks whose `X-Forwarded-For` is believed: `10.0.0.0/8`"),
    set(OTHERS, "STUDIO_OPEN_CREATION", "open_creation", Kind::Flag, "0", "1 = whoever reaches the port may create sessions; else, when it listens on other than loopback, only the operator"),

    set(TOKENS, "STUDIO_TOKEN_KEY", "token_key", Kind::Secret, "the data directory's own", "what signs tokens, at least 8 characters"),
    set(TOKENS, "STUDIO_REFERENCE_TOKENS", "reference_tokens", Kind::Flag, "1", "give out and accept the reference's tokens (64 hex digits, no expiry); 0 = the studio's own form, which expires"),
    set(TOKENS, "STUDIO_TOKEN_DAYS", "token_days", Kind::Count(1), "30", "how long tokens of the studio's own form last"),
];
