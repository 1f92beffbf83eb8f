use studio_http::Creation;

use super::{
    Line,
    Verdict::{self, Fail, NotYet, Pass},
};
use crate::{Config, Runtime};

const fn line(what: &'static str, verdict: Verdict, why: &'static str) -> Line {
    Line { what, verdict, why }
}

/// The list, in its order.
pub(super) fn lines(config: &Config) -> Vec<Line> {
    let mut all = doors(config);
    all.extend(inputs());
    all.extend(agents(config));
    all.extend(around());
    all
}

/// Who gets in: 1 to 13.
fn doors(config: &Config) -> Vec<Line> {
    let at_home = config.listen.ip().is_loopback();
    let reached = match (at_home, config.http.creation) {
        (true, _) => (Pass, "It listens on loopback."),
        (false, Creation::Operator) => (
            Pass,
            "Others reach it under the names that were set; all that does something needs a token.",
        ),
        (false, Creation::Open) => {
            (Fail, "STUDIO_OPEN_CREATION=1 lets whoever reaches the port create sessions.")
        }
    };
    let tokens = if config.reference_tokens {
        (
            Fail,
            "The reference's tokens are accepted and do not expire until they are rotated: STUDIO_REFERENCE_TOKENS=0.",
        )
    } else {
        (
            Pass,
            "Signed, with id, key, purpose and end; only what revokes them is kept; a rotation ends what is open.",
        )
    };
    let deny = if config.http.streams_open {
        (Fail, "STUDIO_STREAMS_OPEN=1 lets whoever connects read and write all streams.")
    } else {
        (
            Pass,
            "A route stands in one table with its policy, and a test asks each with every wrong token.",
        )
    };
    vec![
        line("Loopback, unless access was set up", reached.0, reached.1),
        line(
            "Only names of its own as Host, on every route",
            Pass,
            "Checked before anything else; absent, foreign or two is 403.",
        ),
        line(
            "Only pages of its own change something",
            Pass,
            "An Origin must be its own or allowed; a cookie counts with one only. There are no WebSockets.",
        ),
        line(
            "No CORS for everybody",
            Pass,
            "Allowed origins are named one by one, and never with credentials.",
        ),
        line(
            "JSON is declared, cookies are strict",
            Pass,
            "415 without the content type; HttpOnly, SameSite=Strict, Secure where the connection is encrypted.",
        ),
        line(
            "No token in an address",
            Fail,
            "Pages use tickets that are good once, and no query is logged; ?token= of event streams stays for the reference's clients.",
        ),
        line("Tokens end, are revoked, and give out nothing wider", tokens.0, tokens.1),
        line("Denied unless a route says otherwise", deny.0, deny.1),
        line(
            "Who somebody is comes from the server",
            Fail,
            "What a token opens does; who answered a gate is told by the client's own headers.",
        ),
        line(
            "What an agent holds tells and never answers",
            Pass,
            "Hooks ask and tell; an agent that the studio runs holds no token at all.",
        ),
        line(
            "Nothing crosses from one session to another",
            Pass,
            "Each token is signed for one session; ids are random and still checked.",
        ),
        line(
            "Invitations are long, short-lived and counted",
            NotYet,
            "there are no rooms to be invited to. Links that log in: 244 bits, once, ten minutes, tries limited.",
        ),
        line(
            "Limits by who asks",
            Fail,
            "Creations are counted by address, not by key; forwarded addresses only from named proxies.",
        ),
    ]
}

/// What comes in: 14 to 16.
fn inputs() -> Vec<Line> {
    vec![
        line(
            "Everything that comes in is bounded",
            Pass,
            "Bodies, heads, lines, frames and queues have limits; what comes slowly is cut off.",
        ),
        line(
            "Paths stay inside",
            Pass,
            "A program inside the sandbox opens files, as the agent's user; links that lead out are refused.",
        ),
        line(
            "No shell is built from input",
            Pass,
            "Programs are started with argument vectors; names are checked types.",
        ),
    ]
}

/// What agents can do: 17 to 24.
fn agents(config: &Config) -> Vec<Line> {
    let containers = if config.runtime == Runtime::Local {
        (NotYet, "agents run on this machine, without Docker.")
    } else {
        (
            Fail,
            "No capabilities, no new privileges, no engine socket, limits, ports on 127.0.0.1; but a writable root and no limit of disk.",
        )
    };
    vec![
        line("Containers are closed", containers.0, containers.1),
        line(
            "Nothing goes out unless allowed",
            Fail,
            "Agents reach the network; there are no rules for it.",
        ),
        line("Agents hold no real credentials", Fail, "The agent's key stands in its environment."),
        line(
            "GitHub tokens are small and short",
            Pass,
            "For one repository and what its work needs, an hour at most, handed to git alone and ended with the session.",
        ),
        line(
            "A repository's agent settings wait for trust",
            Fail,
            "The agent obeys .claude/ and .mcp.json as they are.",
        ),
        line(
            "Text of strangers is marked",
            NotYet,
            "the studio brings no issues, pages or other agents' words to an agent.",
        ),
        line(
            "A gate is for one action",
            Pass,
            "An answer is for one request of the agent's by its id; another request is another gate, and no agent answers.",
        ),
        line(
            "Silence is no permission",
            Pass,
            "A gate that nobody answers in time is refused, visibly.",
        ),
    ]
}

/// The rest: 25 to 32.
fn around() -> Vec<Line> {
    vec![
        line(
            "Secrets are hidden, and encrypted where they lie",
            Fail,
            "Types that cannot be printed, files of mode 0600; but histories and keys lie unencrypted.",
        ),
        line(
            "Apps have origins of their own",
            Fail,
            "An app is another port of the same host name, so it is sent that name's cookies: open it under another name.",
        ),
        line(
            "Pages run nothing of others",
            Pass,
            "The few pages have no scripts, and a policy that allows none; the terminal shows no control characters of agents.",
        ),
        line(
            "What happened is written down for good",
            Fail,
            "Failures are logged; there is no chained list of who did what.",
        ),
        line(
            "What it is built of is known",
            NotYet,
            "builds are locked; nothing is published yet that could be signed.",
        ),
        line(
            "What reads an agent's output survives anything",
            Pass,
            "Parsers are fuzzed; a line that is no good ends no session.",
        ),
        line(
            "No address that somebody gives is fetched",
            Pass,
            "No webhooks; sessions are made out of repositories of the configured GitHub alone.",
        ),
        line("This list is printed", Pass, "studio doctor --security"),
    ]
}
