# Ends the processes that listen on TCP port $1: TERM first, KILL when that is not obeyed. For a
# sandbox with a network of its own.
s_port=$(printf '%04X' "$1")
s_inodes() {
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        sed -n "s/^ *[0-9]*: [0-9A-F]*:$s_port [0-9A-F]*:0000 0A [^ ]* [^ ]* [^ ]* *[0-9]* *[0-9]* \([0-9]*\) .*/\1/p"
}
for s_signal in TERM KILL; do
    s_tries=0
    while [ "$s_tries" -lt 20 ]; do
        s_found=$(s_inodes)
        [ -n "$s_found" ] || exit 0
        if [ "$s_tries" = 0 ]; then
            for s_inode in $s_found; do
                for s_fd in /proc/[0-9]*/fd/*; do
                    [ "$(readlink "$s_fd" 2>/dev/null)" = "socket:[$s_inode]" ] || continue
                    s_pid=${s_fd#/proc/} s_pid=${s_pid%%/*}
                    kill -"$s_signal" "$s_pid" 2>/dev/null
                done
            done
        fi
        s_tries=$((s_tries + 1))
        sleep 0.1 2>/dev/null || sleep 1
    done
done
echo "something still listens on port $1" >&2
exit 1
