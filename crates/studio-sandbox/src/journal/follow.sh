# Prints the agent's stdout from byte $2 (the first is 1) on, until it ended and all was printed:
# exit 0. Exit 75: something else ended the following. $1 directory. Stdin is the link to the
# studio: at its end nobody reads any more. An engine may keep stdout open for nobody.
s_dir=$1 s_from=$2
if [ ! -d "$s_dir/claim" ]; then
    echo "there is no such run" >&2
    exit 66
fi
exec 8<&0
while [ ! -e "$s_dir/out" ]; do
    state
    if ended; then exit 0; fi
    moment
done
# Kills $1 when the link is gone.
watch() { (while read -r _ <&8; do :; done; kill "$1") >/dev/null 2>&1 </dev/null & s_watch=$!; }

state
if ended; then
    tail -c "+$s_from" "$s_dir/out" || exit 75
    exit 0
fi
case $(tail --version 2>/dev/null) in
*'GNU coreutils'*)
    # Woken by inotify where there is any; looks each 0.1 s whether the wrapper still runs, and
    # then reads once more.
    if wrapper_lives; then s_until=$s_wrapper; else s_until=$s_agent; fi
    tail -c "+$s_from" -f -s 0.1 --pid="$s_until" "$s_dir/out" 8<&- &
    s_tail=$!
    watch "$s_tail"
    wait "$s_tail"
    s_result=$?
    kill "$s_watch" 2>/dev/null
    state
    if [ "$s_result" = 0 ] && ended; then exit 0; fi
    exit 75
    ;;
esac
# Any other tail: the place in an open file is shared with the programs that read from it, so each
# cat goes on where the last stopped.
watch $$
exec 5<"$s_dir/out"
tail -c "+$s_from" <&5 || exit 75
while :; do
    # Asked before the last reading, so that nothing is said between the two.
    state
    cat <&5 || exit 75
    if ended; then break; fi
    moment
done
kill "$s_watch" 2>/dev/null
exit 0
