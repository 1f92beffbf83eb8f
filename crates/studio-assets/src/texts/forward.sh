#!/bin/sh
# Tells Agent Studio what the agent on this machine does, and brings back a person's answers.
# Never stops the agent: whatever goes wrong, it ends well and silently.

port=${EA_PORT:-@PORT@}
secret=${EA_HOOK_SECRET:-}
[ -n "$secret" ] || secret=@SECRET@

# The secret goes by a file descriptor: arguments are visible to every user of this machine.
answer=$(curl --silent --max-time 360 --connect-timeout 2 --config /dev/fd/3 \
    --header 'Content-Type: application/json' --data-binary @- \
    "http://localhost:$port/api/hook" 3<<EOF
header = "Authorization: Bearer $secret"
EOF
)

case $answer in
*'"hookSpecificOutput"'*) printf '%s\n' "$answer" ;;
esac
exit 0
