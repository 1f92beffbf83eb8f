# $1 nonce, $2 directory, $3 attached or detached, then the program's words. Sets no variables
# but s_...: they would show in the program's environment.
s_nonce=$1 s_how=$3
cd -- "$2" 2>/dev/null || {
    printf '%s the directory %s is not there\n' "$s_nonce" "$2" >&2
    exit 127
}
shift 3
case ${1-} in
'') s_why='no program was named' ;;
*/*)
    s_why=
    if [ ! -f "$1" ]; then s_why="there is no such file"; elif [ ! -x "$1" ]; then s_why="it is not executable"; fi
    ;;
*)
    s_why="it is not in PATH ($PATH)" s_rest=$PATH:
    while [ -n "$s_rest" ] && [ -n "$s_why" ]; do
        s_place=${s_rest%%:*} s_rest=${s_rest#*:}
        if [ -f "${s_place:-.}/$1" ] && [ -x "${s_place:-.}/$1" ]; then s_why=; fi
    done
    ;;
esac
if [ -n "$s_why" ]; then
    printf '%s %s\n' "$s_nonce" "$s_why" >&2
    exit 127
fi
printf '%s ok\n' "$s_nonce" >&2
if [ "$s_how" = detached ]; then exec "$@" 2>/dev/null; fi
exec "$@"
