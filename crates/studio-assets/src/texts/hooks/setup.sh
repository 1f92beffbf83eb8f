#!/usr/bin/env bash
# Agent Studio: connects the coding agents of this directory with the studio. Run it inside the
# project; run it again to change the secret. Everything is in a function, so that half a download
# does nothing.
install_studio_hooks() {
    set -euo pipefail
    local studio=@STUDIO@
    local code=@CODE@
    local forwarder=@FORWARDER@
    local merge=@MERGE@
    local project claude hooks settings body answer secret
    die() {
        printf 'Agent Studio: %s\n' "$1" >&2
        exit 1
    }

    project=$(pwd -P)
    claude=$project/.claude
    hooks=$claude/hooks
    settings=$claude/settings.local.json
    [ "$project" != / ] || die 'run this inside a project.'
    command -v curl >/dev/null || die 'this needs curl.'
    command -v node >/dev/null || die 'this needs Node.js, to merge settings: https://nodejs.org'

    # What can fail fails before anything is changed and before the old secret ends.
    node -e "$merge" "$settings" check "$hooks/forward.sh" </dev/null || exit 1
    if [ -e "$hooks/forward.sh" ] && ! grep -q '/api/hook' "$hooks/forward.sh"; then
        die "$hooks/forward.sh is there and not the studio's: it stays. Move it away first."
    fi
    [ ! -L "$hooks/.studio" ] || die "$hooks/.studio is a link: the secret is not put there."
    if git -C "$project" ls-files --error-unmatch -- .claude/hooks/.studio/secret \
        >/dev/null 2>&1; then
        die "git tracks $hooks/.studio/secret: take it out of the repository first."
    fi
    mkdir -p -- "$hooks/.studio"
    chmod 700 -- "$hooks/.studio"
    # A file is written whole and then put in its place: what a link there leads to stays.
    trap 'rm -f -- "${fresh:-}"' EXIT
    put() {
        fresh=$(mktemp "$hooks/.studio/new.XXXXXX")
        printf '%s\n' "$2" >"$fresh"
        chmod "$1" -- "$fresh"
        mv -f -- "$fresh" "$3"
    }
    put 644 '*' "$hooks/.studio/.gitignore"
    [ ! -L "$hooks/.studio/forward.log" ] || rm -f -- "$hooks/.studio/forward.log"

    body=$(node -e 'process.stdout.write(JSON.stringify({ directory: process.argv[1] }))' \
        "$project" </dev/null)
    answer=$(printf '%s' "$body" | curl --disable --silent --show-error --noproxy '*' \
        --max-time 30 --connect-timeout 2 --config /dev/fd/3 --data-binary @- \
        --header 'Content-Type: application/json' "$studio/api/hooks/projects" 3<<EOF
header = "Authorization: Bearer $code"
EOF
    ) || die "the studio at $studio is not reached."
    secret=$(printf '%s' "$answer" | node -e '
        let text = ""
        process.stdin.on("data", piece => { text += piece })
        process.stdin.on("end", () => {
            let answer = {}
            try { answer = JSON.parse(text) } catch {}
            if (typeof answer.secret === "string") return process.stdout.write(answer.secret)
            process.stderr.write(`Agent Studio: ${answer.error ?? text}\n`)
            process.exit(1)
        })') || die 'no secret was given: fetch the installer anew, its code works once.'

    put 600 "$secret" "$hooks/.studio/secret"
    put 755 "$forwarder" "$hooks/forward.sh"
    node -e "$merge" "$settings" add "$hooks/forward.sh" </dev/null || exit 1

    printf '%s\n' 'Agent Studio: the hooks are set up.' \
        "  project    $project" \
        "  forwarder  $hooks/forward.sh" \
        "  settings   $settings" \
        "  log        $hooks/.studio/forward.log" \
        "  studio     $studio" \
        'Start `claude` here, and it appears in the studio.'
}
install_studio_hooks
