# Finds everything that belongs to run $s_run, the agent itself included unless $1 is "children".
# Into s_found. Three marks, because each can be lost: descent from the living agent, its session,
# and the run's name in the environment, which survives a session and a parent of its own.
scan() {
    s_found='' s_table='' s_lives=''
    who
    if agent_lives; then s_lives=1; fi
    # The session keeps the agent's number taken as long as it has a member. So nothing of it is
    # left when a stranger has the number, or when this is another life of the sandbox.
    s_leader=
    if [ -n "$s_same" ] && { [ -n "$s_lives" ] || ! look "${s_agent:-0}"; }; then
        s_leader=${s_agent:-none}
    fi
    for s_p in /proc/[0-9]*; do
        s_p=${s_p#/proc/}
        if look "$s_p"; then s_table="$s_table $s_p:$s_parent:$s_session"; fi
    done
    s_family=" "
    if [ -n "$s_lives" ]; then s_family=" $s_agent "; fi
    s_grew=1
    while [ -n "$s_grew" ]; do
        s_grew=
        for s_row in $s_table; do
            s_p=${s_row%%:*} s_row=${s_row#*:}
            case $s_family in *" $s_p "*) continue ;; esac
            case $s_family in *" ${s_row%%:*} "*) s_family="$s_family$s_p " s_grew=1 ;; esac
        done
    done
    for s_row in $s_table; do
        s_p=${s_row%%:*} s_in=${s_row##*:}
        case $s_p in
        $$ | "$s_wrapper") continue ;;
        "$s_agent") if [ "$1" = children ] || [ -z "$s_lives" ]; then continue; fi ;;
        esac
        case $s_family in *" $s_p "*) s_found="$s_found $s_p" && continue ;; esac
        if [ "$s_in" = "$s_leader" ]; then
            s_found="$s_found $s_p"
            continue
        fi
        # In braces for bash, which warns of the NUL bytes.
        if { s_env=$(cat "/proc/$s_p/environ"); } 2>/dev/null; then
            case $s_env in *"STUDIO_RUN=$s_run"*) s_found="$s_found $s_p" ;; esac
        fi
    done
}

# Kills what scan finds until it finds nothing and all that was killed is gone, at most $2
# hundredths of a second long. A process that ends loses its marks some time before it is gone.
kill_found() {
    now
    s_end=$((s_now + $2))
    s_ending=
    while :; do
        scan "$1"
        for s_p in $s_found; do
            if look "$s_p"; then s_ending="$s_ending $s_p:$s_born"; fi
        done
        if [ -n "$s_found" ]; then kill -KILL $s_found 2>/dev/null; fi
        s_left=
        for s_row in $s_ending; do
            if alive "${s_row%:*}" "${s_row#*:}"; then s_left="$s_left $s_row"; fi
        done
        s_ending=$s_left
        if [ -z "$s_found$s_ending" ]; then return 0; fi
        now
        if [ "$s_now" -ge "$s_end" ]; then
            echo "these processes do not end:$s_found$s_ending" >&2
            return 1
        fi
        moment 0.005
    done
}
