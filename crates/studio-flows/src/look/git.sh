# Says how the project's repository stands, a line each: branch, commit, subject, `dirty` or
# `clean`; an empty line stands for "none". Says nothing when there is no repository.
[ -n "$s_root" ] && cd -- "$s_root" || exit 66
[ -e .git ] || exit 0
# Beside the agent, which works in the same repository: takes no lock and starts no helper of it.
export GIT_OPTIONAL_LOCKS=0 GIT_TERMINAL_PROMPT=0 GIT_PAGER=cat
s_git() { git -c core.fsmonitor=false -c core.hooksPath=/dev/null -c log.showSignature=false "$@"; }
s_git rev-parse --git-dir >/dev/null 2>&1 || exit 0
s_git symbolic-ref -q --short HEAD || s_git rev-parse --abbrev-ref HEAD 2>/dev/null || echo
if s_commit=$(s_git rev-parse -q --verify 'HEAD^{commit}' 2>/dev/null); then
    echo "$s_commit"
    s_git log -1 --no-color --format=%s || exit 1
else
    echo
    echo
fi
s_changed=$(s_git status --porcelain | head -c 1) || exit 1
if [ -n "$s_changed" ]; then echo dirty; else echo clean; fi
