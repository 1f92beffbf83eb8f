use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use clap::ValueEnum;
use studio_flows::{AgentSettings, GateSettings, Mode, Settings};
use studio_http::{Creation, HttpSettings};
use studio_limits::Caps;
use studio_sandbox::Secret;

use crate::{
    ConfigError, ElectricChoice, GitHubChoice, ServeArgs, ServiceAccess, TlsChoice, env::Env,
    settings::Layers,
};

/// Where agents run. The words of `SANDBOX_RUNTIME` in the table of settings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Runtime {
    /// Docker when an engine answers, else this machine.
    #[default]
    Auto,
    /// Containers of a Docker engine.
    Docker,
    /// Jailed processes of this machine.
    Local,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Everything that can be set about the server, read once. See `docs/configuration.md`.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// Whether and with what HTTPS is spoken.
    pub tls: TlsChoice,
    /// The stream service that keeps the streams; `None` = the data directory does.
    pub service: Option<ServiceAccess>,
    /// Where agents run.
    pub runtime: Runtime,
    /// The Docker engine, when it is not this machine's usual one.
    pub docker_engine: Option<String>,
    /// The image of Docker sandboxes, when it is not the studio's own.
    pub sandbox_image: Option<String>,
    /// Directory of the agent's program, for the local runtime.
    pub agent_path: Option<PathBuf>,
    /// Which GitHub, and with which App.
    pub github: GitHubChoice,
    /// Where databases are made.
    pub electric: ElectricChoice,
    /// Where programs are looked up.
    pub path: Option<String>,
    /// The user's home directory: hidden from local sandboxes.
    pub home: Option<PathBuf>,
    /// The key of tokens, when it is not the data directory's own.
    pub token_key: Option<Secret>,
    /// Whether the reference's derivations of tokens are given out and accepted.
    pub reference_tokens: bool,
    /// How long tokens of the studio's own form last.
    pub token_lifetime: Duration,
    /// The studio's settings.
    pub studio: Settings,
    /// The routes' settings.
    pub http: HttpSettings,
    /// How the log is written.
    pub log_format: LogFormat,
    /// What is logged: `info`, `studio_http=debug`.
    pub log_filter: String,
}

impl Config {
    /// Reads everything from the options and from variables, which `variable` looks up.
    pub fn read(
        args: ServeArgs,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let layers = Layers::read(&args, &variable)?;
        let env = Env::of(&layers);
        let port = env.parsed("PORT", "a port from 0 to 65535")?.unwrap_or(4400);
        let host: IpAddr =
            env.parsed("STUDIO_HOST", "an IP address")?.unwrap_or(IpAddr::from([127, 0, 0, 1]));
        let listen = SocketAddr::new(host, port);
        let mode = match env.flag("STUDIO_DEV_MODE")? {
            Some(true) => Mode::Dev,
            Some(false) | None => Mode::Production,
        };
        let http = http_settings(&env, host, mode)?;
        let runtime = env.word("SANDBOX_RUNTIME")?;
        let log_format = env.word("STUDIO_LOG_FORMAT")?;
        let days: Option<u64> = env.parsed("STUDIO_TOKEN_DAYS", "a number of days over 0")?;
        if days == Some(0) {
            return Err(env.bad("STUDIO_TOKEN_DAYS", "0", "must be a number of days over 0"));
        }
        let default_lifetime = studio_auth::Keys::LIFETIME_DEFAULT;
        Ok(Self {
            listen,
            data_dir: PathBuf::from(env.text("DATA_DIR").unwrap_or_else(|| ".agent-studio".into())),
            service: ServiceAccess::read(&env, "")?,
            tls: TlsChoice::read(&env, host)?,
            runtime,
            docker_engine: env.text("DOCKER_HOST"),
            sandbox_image: env.text("STUDIO_SANDBOX_IMAGE"),
            agent_path: env.text("STUDIO_AGENT_PATH").map(PathBuf::from),
            github: GitHubChoice::read(&env)?,
            electric: ElectricChoice::read(&env)?,
            path: variable("PATH").filter(|path| !path.is_empty()),
            home: variable("HOME").filter(|home| !home.is_empty()).map(PathBuf::from),
            token_key: env
                .text("STUDIO_TOKEN_KEY")
                .or_else(|| env.text("DS_SECRET"))
                .map(Secret::new),
            reference_tokens: env.flag("STUDIO_REFERENCE_TOKENS")?.unwrap_or(true),
            token_lifetime: days.map_or(default_lifetime, |days| {
                Duration::from_secs(days.saturating_mul(24 * 60 * 60))
            }),
            studio: studio_settings(&env, mode)?,
            http,
            log_format,
            log_filter: env.text("STUDIO_LOG").unwrap_or_else(|| "info".to_owned()),
        })
    }
}

fn http_settings(env: &Env<'_>, host: IpAddr, mode: Mode) -> Result<HttpSettings, ConfigError> {
    let mut http = HttpSettings::default();
    let hosts = env.list("STUDIO_ALLOWED_HOSTS");
    if !host.is_loopback() {
        // What is refused later is better refused now (the security rules of this project).
        if mode == Mode::Dev {
            return Err(ConfigError::Together(format!(
                "development mode is for this machine alone: leave STUDIO_DEV_MODE out, or do \
                 not listen on {host}"
            )));
        }
        if hosts.is_empty() {
            return Err(ConfigError::Together(format!(
                "listening on {host} lets others in: set STUDIO_ALLOWED_HOSTS to the names under \
                 which they reach this studio, like studio.example.com"
            )));
        }
        let open = env.flag("STUDIO_OPEN_CREATION")?.unwrap_or(false);
        http.creation = if open { Creation::Open } else { Creation::Operator };
    }
    http.streams_open = env.flag("STUDIO_STREAMS_OPEN")?.unwrap_or(false);
    if http.streams_open && !host.is_loopback() {
        return Err(ConfigError::Together(format!(
            "STUDIO_STREAMS_OPEN=1 lets everybody read and write all streams: leave it out, or do \
             not listen on {host}"
        )));
    }
    let seconds = |name| {
        let wanted = "a whole number of seconds over 0";
        match env.parsed::<u32>(name, wanted)? {
            Some(0) => Err(env.bad(name, "0", format!("must be {wanted}"))),
            Some(seconds) => Ok(Some(Duration::from_secs(seconds.into()))),
            None => Ok(None),
        }
    };
    http.streams_sse_lifetime =
        seconds("STUDIO_STREAMS_EVENTS_SECONDS")?.unwrap_or(http.streams_sse_lifetime);
    http.streams_long_poll =
        seconds("STUDIO_STREAMS_WAIT_SECONDS")?.unwrap_or(http.streams_long_poll);
    const FILE: &str = "STUDIO_FILE_BYTES_MAX";
    let wanted = "a whole number of bytes over 0";
    http.file_bytes_max = match env.parsed(FILE, wanted)? {
        Some(0) => return Err(env.bad(FILE, "0", format!("must be {wanted}"))),
        Some(bytes) => bytes,
        None => http.file_bytes_max,
    };
    http.allowed_hosts.extend(hosts);
    http.allowed_origins = env.list("STUDIO_ALLOWED_ORIGINS");
    let with_scheme = |origin: &&String| origin.contains("://") && !origin.ends_with('/');
    if let Some(origin) = http.allowed_origins.iter().find(|origin| !with_scheme(origin)) {
        return Err(env.bad("STUDIO_ALLOWED_ORIGINS", origin, "must be like https://example.com"));
    }
    for proxy in env.list("STUDIO_TRUSTED_PROXIES") {
        let network = proxy
            .parse()
            .map_err(|error| env.bad("STUDIO_TRUSTED_PROXIES", &proxy, format!("{error}")))?;
        http.trusted_proxies.push(network);
    }
    Ok(http)
}

fn studio_settings(env: &Env<'_>, mode: Mode) -> Result<Settings, ConfigError> {
    let defaults = Settings::default();
    const COST: &str = "MAX_SESSION_COST_USD";
    let cost: Option<f64> = env.parsed(COST, "a number of US dollars, 0 = no limit")?;
    if let Some(cost) = cost.filter(|cost| !cost.is_finite() || *cost < 0.0) {
        return Err(env.bad(
            COST,
            &cost.to_string(),
            "must be a number of US dollars, 0 = no limit",
        ));
    }
    let per_hour: Option<u32> =
        env.parsed("MAX_SESSIONS_PER_IP_PER_HOUR", "a whole number, 0 = no limit")?;
    const IDLE: &str = "STUDIO_LOCAL_IDLE_HOURS";
    let hours: Option<u32> = env.parsed(IDLE, "a whole number of hours over 0")?;
    if hours == Some(0) {
        return Err(env.bad(IDLE, "0", "must be a whole number of hours over 0"));
    }
    let cap = |name, default: Option<u32>| -> Result<Option<u32>, ConfigError> {
        let max: Option<u32> = env.parsed(name, "a whole number, 0 = no limit")?;
        Ok(max.map_or(default, |max| Some(max).filter(|max| 0 < *max)))
    };
    let caps = Caps {
        sandboxes: cap("MAX_TOTAL_SESSIONS", defaults.caps.sandboxes)?,
        running_per_subject: cap("MAX_RUNNING_SESSIONS_PER_IP", defaults.caps.running_per_subject)?,
    };
    let wait = |name, default: Duration| -> Result<Duration, ConfigError> {
        let wanted = "a whole number of seconds over 0";
        match env.parsed::<u32>(name, wanted)? {
            Some(0) => Err(env.bad(name, "0", format!("must be {wanted}"))),
            seconds => Ok(seconds.map_or(default, |s| Duration::from_secs(s.into()))),
        }
    };
    let gates = GateSettings {
        infra: wait("STUDIO_GATE_INFRA_SECONDS", defaults.gates.infra)?,
        agent: wait("STUDIO_GATE_AGENT_SECONDS", defaults.gates.agent)?,
        hook: wait("STUDIO_GATE_HOOK_SECONDS", defaults.gates.hook)?,
        outbound: wait("STUDIO_GATE_OUTBOUND_SECONDS", defaults.gates.outbound)?,
    };
    let credentials = ["ANTHROPIC_API_KEY", "CLAUDE_CODE_OAUTH_TOKEN"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), Secret::new(env.text(name)?))))
        .collect();
    let agent_env: BTreeMap<String, String> = ["ANTHROPIC_BASE_URL"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), env.text(name)?)))
        .collect();
    let agent = AgentSettings {
        model: env.text("STUDIO_MODEL"),
        credentials,
        env: agent_env,
        ..AgentSettings::default()
    };
    Ok(Settings {
        mode,
        max_session_cost_usd: match cost {
            None => defaults.max_session_cost_usd,
            Some(cost) => Some(cost).filter(|cost| 0.0 < *cost),
        },
        max_sessions_per_ip_per_hour: match per_hour {
            None => defaults.max_sessions_per_ip_per_hour,
            Some(max) => Some(max).filter(|max| 0 < *max),
        },
        caps,
        gates,
        agent,
        local_idle_after: hours.map_or(defaults.local_idle_after, |hours| {
            Duration::from_secs(u64::from(hours) * 60 * 60)
        }),
        ..defaults
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: ServeArgs, env: &[(&str, &str)]) -> Result<Config, String> {
        let find = |name: &str| {
            env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Config::read(args, find).map_err(|error| error.to_string())
    }

    fn refused(env: &[(&str, &str)]) -> String {
        read(ServeArgs::default(), env).unwrap_err()
    }

    #[test]
    fn nothing_needs_to_be_set() {
        let config = read(ServeArgs::default(), &[]).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:4400");
        assert_eq!(config.data_dir, PathBuf::from(".agent-studio"));
        assert_eq!(config.runtime, Runtime::Auto);
        assert_eq!(config.studio.mode, Mode::Production);
        assert_eq!(config.studio.max_session_cost_usd, Some(5.0));
        assert_eq!(config.studio.max_sessions_per_ip_per_hour, Some(5));
        assert_eq!(config.http.creation, Creation::Open);
    }

    #[test]
    fn d30_95_an_option_wins_over_its_variable_and_that_over_the_default() {
        let env = [("PORT", "5000"), ("DATA_DIR", "from-env"), ("SANDBOX_RUNTIME", "DOCKER")];
        let config = read(ServeArgs::default(), &env).unwrap();
        assert_eq!(config.listen.port(), 5000);
        assert_eq!(config.data_dir, PathBuf::from("from-env"));
        assert_eq!(config.runtime, Runtime::Docker);
        let args = ServeArgs::default()
            .with("port", "0")
            .with("data-dir", "from-args")
            .with("sandbox", "local");
        let config = read(args, &env).unwrap();
        assert_eq!(config.listen.port(), 0);
        assert_eq!(config.data_dir, PathBuf::from("from-args"));
        assert_eq!(config.runtime, Runtime::Local);
    }

    #[test]
    fn d30_95_a_value_that_is_not_understood_refuses_to_start() {
        for (name, value) in [
            ("PORT", "65536"),
            ("PORT", "many"),
            ("STUDIO_HOST", "localhost"),
            ("STUDIO_DEV_MODE", "true"),
            ("SANDBOX_RUNTIME", "sprites"),
            ("MAX_SESSION_COST_USD", "-1"),
            ("MAX_SESSION_COST_USD", "NaN"),
            ("MAX_SESSION_COST_USD", "5 USD"),
            ("MAX_SESSIONS_PER_IP_PER_HOUR", "-1"),
            ("MAX_SESSIONS_PER_IP_PER_HOUR", "1.5"),
            ("STUDIO_TRUSTED_PROXIES", "10.0.0.0/8, x"),
            ("STUDIO_ALLOWED_ORIGINS", "example.com"),
            ("STUDIO_TOKEN_DAYS", "0"),
            ("STUDIO_LOCAL_IDLE_HOURS", "0"),
            ("STUDIO_LOCAL_IDLE_HOURS", "1.5"),
            ("STUDIO_STREAMS_EVENTS_SECONDS", "0"),
            ("STUDIO_STREAMS_WAIT_SECONDS", "soon"),
            ("STUDIO_FILE_BYTES_MAX", "0"),
            ("STUDIO_FILE_BYTES_MAX", "16M"),
            ("MAX_TOTAL_SESSIONS", "-1"),
            ("MAX_RUNNING_SESSIONS_PER_IP", "few"),
            ("STUDIO_GATE_INFRA_SECONDS", "0"),
            ("STUDIO_GATE_AGENT_SECONDS", "1.5"),
            ("STUDIO_GATE_HOOK_SECONDS", "5m"),
            ("STUDIO_GATE_OUTBOUND_SECONDS", "-1"),
            ("STUDIO_LOG_FORMAT", "xml"),
        ] {
            assert!(refused(&[(name, value)]).starts_with(name), "{name}={value}");
        }
    }

    #[test]
    fn d30_95_zero_means_no_limit() {
        let env = [
            ("MAX_SESSION_COST_USD", "0"),
            ("MAX_SESSIONS_PER_IP_PER_HOUR", "0"),
            ("MAX_TOTAL_SESSIONS", "0"),
            ("MAX_RUNNING_SESSIONS_PER_IP", "3"),
        ];
        let config = read(ServeArgs::default(), &env).unwrap();
        let caps = Caps { sandboxes: None, running_per_subject: Some(3) };
        assert_eq!(config.studio.caps, caps);
        assert_eq!(config.studio.max_session_cost_usd, None);
        assert_eq!(config.studio.max_sessions_per_ip_per_hour, None);
    }

    #[test]
    fn d30_94_a_local_session_may_be_quiet_for_hours() {
        let hours = |env: &[_]| {
            read(ServeArgs::default(), env).unwrap().studio.local_idle_after.as_secs() / 3_600
        };
        assert_eq!(hours(&[]), 6);
        assert_eq!(hours(&[("STUDIO_LOCAL_IDLE_HOURS", "48")]), 48);
    }

    #[test]
    fn an_answer_holds_as_much_of_a_file_as_was_set() {
        let most = |env: &[_]| read(ServeArgs::default(), env).unwrap().http.file_bytes_max;
        assert_eq!(most(&[]), 16 * 1024 * 1024);
        assert_eq!(most(&[("STUDIO_FILE_BYTES_MAX", "1000")]), 1_000);
    }

    #[test]
    fn a_door_for_others_needs_a_name_and_is_closed_by_default() {
        assert!(refused(&[("STUDIO_HOST", "0.0.0.0")]).contains("STUDIO_ALLOWED_HOSTS"));
        let named = [("STUDIO_HOST", "0.0.0.0"), ("STUDIO_ALLOWED_HOSTS", "studio.example.com")];
        let config = read(ServeArgs::default(), &named).unwrap();
        assert_eq!(config.http.creation, Creation::Operator);
        let dev = [named[0], named[1], ("STUDIO_DEV_MODE", "1")];
        assert!(refused(&dev).contains("development mode"));
        let open = [named[0], named[1], ("STUDIO_STREAMS_OPEN", "1")];
        assert!(refused(&open).contains("STUDIO_STREAMS_OPEN"));
        assert!(read(ServeArgs::default(), &open[2..]).unwrap().http.streams_open);
        assert!(!config.http.streams_open);
    }

    #[test]
    fn a_service_is_named_whole_or_not_at_all() {
        let all = [
            ("DS_URL", "https://streams.example.com/"),
            ("DS_SERVICE_ID", "studio-1"),
            ("DS_SECRET", "hunter2hunter2"),
        ];
        let service = read(ServeArgs::default(), &all).unwrap().service.unwrap();
        assert_eq!(service.url, "https://streams.example.com");
        assert_eq!((service.id.as_str(), service.secret.expose()), ("studio-1", "hunter2hunter2"));
        assert!(read(ServeArgs::default(), &[]).unwrap().service.is_none());
        // The secret alone is the key of tokens, as ever.
        assert!(read(ServeArgs::default(), &all[2..]).unwrap().service.is_none());
        for (given, missing) in [
            (&all[..1], "DS_SERVICE_ID and DS_SECRET are missing"),
            (&all[..2], "DS_SECRET is missing"),
            (&[all[0], all[2]][..], "DS_SERVICE_ID is missing"),
            (&all[1..2], "DS_URL and DS_SECRET are missing"),
            (&all[1..], "DS_URL is missing"),
        ] {
            assert!(refused(given).contains(missing), "{}", refused(given));
        }
        for url in
            ["streams.example.com", "ftp://a", "https://user:pass@a", "http://", "http://a?b"]
        {
            let told = refused(&[("DS_URL", url), all[1], all[2]]);
            assert!(told.starts_with("DS_URL") && !told.contains("pass@"), "{told}");
        }
        assert!(refused(&[all[0], ("DS_SERVICE_ID", "a/b"), all[2]]).starts_with("DS_SERVICE_ID"));
        let spaced = refused(&[all[0], all[1], ("DS_SECRET", "hunter2 hunter2")]);
        assert!(spaced.starts_with("DS_SECRET") && !spaced.contains("hunter2"), "{spaced}");
    }

    #[test]
    fn credentials_are_never_printed() {
        let env = [
            ("ANTHROPIC_API_KEY", "hunter2"),
            ("STUDIO_TOKEN_KEY", "hunter2hunter2"),
            ("DS_URL", "http://localhost:1"),
            ("DS_SERVICE_ID", "s"),
            ("DS_SECRET", "hunter2hunter2"),
        ];
        let config = read(ServeArgs::default(), &env).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
