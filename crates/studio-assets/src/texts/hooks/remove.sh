#!/usr/bin/env bash
# Agent Studio: takes the studio's hooks out of this directory and ends its secret.
remove_studio_hooks() {
    set -euo pipefail
    local studio=@STUDIO@
    local merge=@MERGE@
    local project hooks settings secret status
    project=$(pwd -P)
    hooks=$project/.claude/hooks
    settings=$project/.claude/settings.local.json
    command -v curl >/dev/null && command -v node >/dev/null || {
        printf 'Agent Studio: this needs curl and Node.js.\n' >&2
        exit 1
    }
    node -e "$merge" "$settings" check "$hooks/forward.sh" </dev/null || exit 1
    node -e "$merge" "$settings" remove "$hooks/forward.sh" </dev/null || exit 1
    if [ -r "$hooks/.studio/secret" ]; then
        secret=$(cat "$hooks/.studio/secret")
        status=$(curl --disable --silent --noproxy '*' --max-time 30 --connect-timeout 2 \
            --config /dev/fd/3 --request DELETE --output /dev/null \
            --write-out '%{http_code}' "$studio/api/hook" 3<<EOF
header = "Authorization: Bearer $secret"
EOF
        ) || status='no answer'
        # 401: it was not good any more.
        case $status in
        200 | 401) ;;
        *) printf 'Agent Studio: the secret could not be ended at %s (%s): revoke it there.\n' \
            "$studio" "$status" >&2 ;;
        esac
    fi
    if [ -f "$hooks/forward.sh" ] && grep -q '/api/hook' "$hooks/forward.sh"; then
        rm -f -- "$hooks/forward.sh"
    fi
    [ -L "$hooks/.studio" ] || rm -rf -- "$hooks/.studio"
    rmdir -- "$hooks" 2>/dev/null || true
    printf 'Agent Studio: the hooks of %s are removed.\n' "$project"
}
remove_studio_hooks
