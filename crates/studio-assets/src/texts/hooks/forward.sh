#!/bin/sh
# Agent Studio: tells the studio what the agent on this machine does (POST /api/hook), and brings
# back a person's answers. Never stops the agent: whatever goes wrong, it ends well, prints nothing
# and leaves a line in the log beside its secret.

case $0 in
*/*) here=${0%/*}/.studio ;;
*) here=.studio ;;
esac
secret_file=$here/secret
log_file=$here/forward.log

tell() {
    if [ -d "$here" ]; then
        # A log that has grown keeps its end.
        if [ "$(wc -c <"$log_file" 2>/dev/null || echo 0)" -gt 65536 ]; then
            tail -c 16384 "$log_file" >"$log_file.$$" && mv -f "$log_file.$$" "$log_file"
        fi
        printf '%s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" >>"$log_file"
    fi 2>/dev/null
    exit 0
}

studio=@STUDIO@
[ -z "${EA_PORT:-}" ] || studio=http://localhost:$EA_PORT
secret=${EA_HOOK_SECRET:-}
if [ -z "$secret" ]; then
    [ -r "$secret_file" ] || tell "no secret in $secret_file: run the installer again"
    secret=$(cat "$secret_file")
fi
command -v curl >/dev/null 2>&1 || tell 'curl is missing'

# The secret goes by a file descriptor: arguments are visible to every user of this machine. No
# configuration and no proxy of the user's is asked about a server of this machine.
answer=$(curl --disable --silent --show-error --noproxy '*' --max-time 360 --connect-timeout 2 \
    --config /dev/fd/3 --header 'Content-Type: application/json' --data-binary @- \
    --write-out '\n%{http_code}' "$studio/api/hook" 2>&1 3<<EOF
header = "Authorization: Bearer $secret"
EOF
)
failed=$?
status=${answer##*
}
body=${answer%
*}
# One line, and no more of it than a log needs.
short=$(printf '%.300s' "$body" | tr '[:cntrl:]' ' ')

[ "$failed" -eq 0 ] || tell "$studio is not reached (curl ended with $failed): $short"
case $status in
200) ;;
401) tell "$studio refuses the secret (401): run the installer again" ;;
*) tell "$studio answered $status: $short" ;;
esac
case $body in
'{"hookSpecificOutput":'*)
    # What the studio says beside it is for programs, not for the agent; it stands last.
    case $body in
    *',"sessionId":"'*) body=${body%,\"sessionId\":*}'}' ;;
    esac
    printf '%s\n' "$body"
    ;;
esac
exit 0
