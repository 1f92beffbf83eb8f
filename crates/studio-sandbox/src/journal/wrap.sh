# Runs the agent and outlives the studio. $1 directory, $2 nonce of this start, $3 run,
# $4 working directory, then the agent's words. Nobody listens to what this script prints.
s_dir=$1 s_nonce=$2 s_run=$3 s_cwd=$4
shift 4
mkdir "$s_dir/claim" || exit 71
look $$ || s_born=0
printf '%s %s %s %s\n' $$ "$s_born" "$s_nonce" "$s_era" >"$s_dir/wrapper.new"
mv "$s_dir/wrapper.new" "$s_dir/wrapper"

# Writes the end down, in one step.
finish() {
    printf '%s\n' "$1" >"$s_dir/code.new"
    mv "$s_dir/code.new" "$s_dir/code"
    exit 0
}
refuse() {
    printf '%s\n' "$1" >"$s_dir/refused.new"
    mv "$s_dir/refused.new" "$s_dir/refused"
    finish 127
}
# Handlers, not "ignore": what is ignored here would be ignored in the agent too.
trap : HUP INT TERM

cd -- "$s_cwd" 2>/dev/null || refuse "the directory $s_cwd is not there"
case $1 in
*/*)
    [ -f "$1" ] || refuse "there is no file $1"
    [ -x "$1" ] || refuse "the file $1 is not executable"
    ;;
*)
    s_hit='' s_rest=$PATH:
    while [ -n "$s_rest" ] && [ -z "$s_hit" ]; do
        s_place=${s_rest%%:*} s_rest=${s_rest#*:}
        if [ -f "${s_place:-.}/$1" ] && [ -x "${s_place:-.}/$1" ]; then s_hit=1; fi
    done
    [ -n "$s_hit" ] || refuse "no program of this name is in PATH ($PATH)"
    ;;
esac

mkfifo "$s_dir/in" "$s_dir/bell" || refuse "no named pipe could be made in $s_dir"
{ : >"$s_dir/out" && : >"$s_dir/err"; } || refuse "no file could be made in $s_dir"
# Open both ways: the agent never sees the end of its input, and nobody waits in open.
exec 3<>"$s_dir/in" 4<>"$s_dir/bell"

# The feeder hands inputs on, one after another, whether the studio is there or not. It alone
# decides: an input is fed once, however often it was put down and the bell was rung for it.
(
    # Write end only: a blocked write that holds the read end too would wait for ever.
    exec 5>"$s_dir/in" 3<&-
    while read -r s_id <&4 && [ "$s_id" != . ]; do
        if [ -e "$s_dir/done/$s_id" ]; then
            rm -f "$s_dir/spool/$s_id"
            continue
        fi
        mv "$s_dir/spool/$s_id" "$s_dir/taken/$s_id" || continue
        # dd only reads and writes: a cat that copies in the kernel would meet SIGPIPE after a whole
        # write when the agent took it and ended, and the input would count as not taken.
        dd if="$s_dir/taken/$s_id" bs=65536 2>/dev/null >&5 4<&- || continue
        mv "$s_dir/taken/$s_id" "$s_dir/done/$s_id"
        # The name is kept, what was said is not.
        : >"$s_dir/done/$s_id"
    done
) >/dev/null 2>&1 </dev/null &
s_feeder=$!

# In front of the shell, which would make an agent in its background deaf to INT. setsid does
# not fork here, because its process leads no group.
setsid sh -c '
    # studio-run: not the agent yet
    s_dir=$1 s_run=$2 s_umask=$3
    eval "$4"
    shift 4
    look $$ || s_born=0
    printf "%s %s\n" $$ "$s_born" >"$s_dir/pid.new"
    mv "$s_dir/pid.new" "$s_dir/pid"
    trap "{ tail -n 1 \"\$s_dir/err\" >\"\$s_dir/refused.new\"
        mv \"\$s_dir/refused.new\" \"\$s_dir/refused\"; } 2>/dev/null" EXIT
    # Bash forgets the trap above when exec fails, unless it is told to go on.
    if [ -n "${BASH_VERSION-}" ]; then shopt -s execfail; fi
    umask "$s_umask"
    export STUDIO_RUN="$s_run"
    exec "$@"
    exit 126
' sh "$s_dir" "$s_run" "$s_umask" "$s_look" "$@" \
    <"$s_dir/in" >>"$s_dir/out" 2>>"$s_dir/err" 3<&- 4<&-
s_code=$?
# An input that the agent took just before its end counts as fed, so the feeder writes it down
# first. One that nobody took breaks with the last read end; a child of the agent may hold that.
exec 3<&-
echo . >&4
s_tries=0
while look "$s_feeder" && [ "$s_tries" -lt 40 ]; do
    s_tries=$((s_tries + 1))
    moment 0.005
done
kill "$s_feeder" 2>/dev/null
finish "$s_code"
