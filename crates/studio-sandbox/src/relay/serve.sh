# Prints the name of each request, once; goes on until the link ends. $1 home. Stdin is the link:
# at its end nobody reads any more.
s_dir=$1/.studio/relay
exec 8<&0
# Both ways: open without anybody at the other end, and no end of file between two clients. From
# here on a client that comes rings.
exec 4<>"$s_dir/bell" || exit 69
(while read -r _ <&8; do :; done; kill $$) >/dev/null 2>&1 </dev/null &
s_watch=$!
trap 'kill $s_watch 2>/dev/null' EXIT

# Whether the process that asks in directory $1 is there still.
asks() {
    s_pid='' s_since=''
    if [ -r "$1/client" ]; then read -r s_pid s_since <"$1/client"; fi
    [ -n "$s_pid" ] || return 1
    s_stat=
    while IFS= read -r s_part; do s_stat="$s_stat $s_part"; done 2>/dev/null \
        <"/proc/$s_pid/stat" || return 1
    set -- ${s_stat##*") "}
    case ${1-Z} in Z | X | x) return 1 ;; esac
    [ "${20}" = "$s_since" ]
}

echo ready
s_told=' '
while :; do
    s_still=' '
    for s_one in "$s_dir/asked"/*; do
        s_name=${s_one##*/}
        case $s_name in *[!a-z0-9.-]*) continue ;; esac
        if [ ! -d "$s_one" ] || [ -e "$s_one/answer" ]; then continue; fi
        if ! asks "$s_one"; then
            rm -rf "$s_one"
            continue
        fi
        s_still="$s_still$s_name "
        case $s_told in *" $s_name "*) continue ;; esac
        echo "ask $s_name" || exit 75
    done
    # Of those that are gone the names are forgotten.
    s_told=$s_still
    read -r _ <&4 || exit 75
done
