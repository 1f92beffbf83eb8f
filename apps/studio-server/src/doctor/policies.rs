use studio_http::Policy;

/// Who may use a route, for people.
pub(super) const fn told(policy: Policy) -> &'static str {
    match policy {
        Policy::Open => "whoever reaches the port",
        Policy::Create => "who may create sessions",
        Policy::Operator => "who runs the studio",
        Policy::Session => "a person with the session's token, or the operator",
        Policy::Read => "who may look at the session, or more",
        Policy::Watch => "who may look at the session, or more; also by ticket or ?token=",
        Policy::Hook => "the session's hooks",
        Policy::Git => "the session's git, a person with the session's token, or the operator",
        Policy::ProjectHook => "the hooks of a project",
        Policy::SetupCode => "an installer, with its code",
        Policy::LoginCode => "a browser, with the code of a link",
        Policy::InviteCode => "who has the invite code",
        Policy::Room => "a person in the shared session, or the operator",
        Policy::WatchRoom => "a person in the shared session, or the operator; also by ?token=",
        Policy::LocalUser => "a person at this machine",
        Policy::ReadStream => "who may use all streams; of a session's, its token",
        Policy::WriteStream => "who may use all streams",
    }
}
