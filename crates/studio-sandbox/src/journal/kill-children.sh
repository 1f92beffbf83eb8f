# $1 directory, $2 run, $3 patience.
s_dir=$1 s_run=$2
state
if [ "$s_state" = absent ]; then exit 0; fi
scan children
if [ -z "$s_found" ]; then exit 0; fi
kill -TERM $s_found 2>/dev/null
# Half a second to end by themselves.
now
s_soon=$((s_now + 50))
while [ -n "$s_found" ] && now && [ "$s_now" -lt "$s_soon" ]; do
    moment
    scan children
done
kill_found children "$3"
