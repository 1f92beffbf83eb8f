# Puts stdin ($3 bytes) down as input $2 of the run in $1 and waits until the feeder handed it to
# the agent, at most $4 hundredths of a second. Exit 73: not read in time.
s_dir=$1 s_id=$2 s_size=$3
now
s_end=$((s_now + $4))
fed() { [ -e "$s_dir/done/$s_id" ]; }
over() {
    if fed; then exit 0; fi
    echo "the process ended before it took the input" >&2
    exit 1
}
if fed; then exit 0; fi
state
case $s_state in
absent)
    echo "the process was never started" >&2
    exit 1
    ;;
ended*) over ;;
esac
if [ ! -e "$s_dir/spool/$s_id" ] && [ ! -e "$s_dir/taken/$s_id" ]; then
    s_new=$s_dir/spool/.$s_id.$$
    cat >"$s_new" || exit 1
    s_got=$(wc -c <"$s_new")
    if [ "$((s_got))" -ne "$s_size" ]; then
        rm -f "$s_new"
        echo "only $((s_got)) of $s_size bytes arrived" >&2
        exit 1
    fi
    mv "$s_new" "$s_dir/spool/$s_id" || exit 1
fi
while [ ! -p "$s_dir/bell" ]; do
    state
    if ended; then over; fi
    moment
done
# Both ways, so that opening never waits for a feeder that is gone.
printf '%s\n' "$s_id" 1<>"$s_dir/bell"
s_tries=0
while :; do
    if fed; then exit 0; fi
    state
    if ended; then over; fi
    now
    if [ "$s_now" -ge "$s_end" ]; then exit 73; fi
    s_tries=$((s_tries + 1))
    if [ "$s_tries" -lt 10 ]; then moment 0.004; else moment 0.05; fi
done
