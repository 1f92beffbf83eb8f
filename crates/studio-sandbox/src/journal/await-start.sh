# $1 directory, $2 nonce of this start, $3 patience. Exit 0: the agent's program runs or ran;
# 71: another start was first; 72: it could not be started, stdout says why; 73: too late.
s_dir=$1 s_nonce=$2
now
s_end=$((s_now + $3))
while :; do
    if [ -r "$s_dir/wrapper" ]; then
        read -r _ _ s_other _ <"$s_dir/wrapper"
        if [ "$s_other" != "$s_nonce" ]; then exit 71; fi
        s_over=
        if [ -r "$s_dir/code" ]; then s_over=1; fi
        # Looked at after the end, which is written later.
        if [ -r "$s_dir/refused" ] && [ -n "$s_over" ]; then
            cat "$s_dir/refused"
            rm -rf "$s_dir"
            exit 72
        fi
        if [ -n "$s_over" ]; then exit 0; fi
        who
        # As long as the arguments are those of the shell, exec has not happened.
        if agent_lives && { s_line=$(cat "/proc/$s_agent/cmdline"); } 2>/dev/null; then
            case $s_line in '' | *'studio-run: not the agent yet'*) ;; *) exit 0 ;; esac
        fi
    fi
    now
    if [ "$s_now" -ge "$s_end" ]; then exit 73; fi
    moment 0.005
done
