# Hands out a piece of one of the project's files. $3 its path, $4 the first byte (from 1),
# $5 the most bytes. Says `ok SIZE` in a line and then the bytes, or one word why not.
#
# What is looked at is what was opened, so a link that is put in the place of the file (or of a
# directory above it) meanwhile gains nothing.
s_from=$4 s_max=$5
piece() {
    [ -f /proc/self/fd/3 ] && s_real=$(readlink /proc/self/fd/3) &&
        s_size=$(stat -L -c %s /proc/self/fd/3) || return 1
    case $s_real in
    "$s_root"/*) echo "ok $s_size" ;;
    *)
        echo outside
        return 0
        ;;
    esac
    tail -c "+$s_from" <&3 | head -c "$s_max"
}
if [ -z "$s_root" ] || [ ! -f "$3" ] || [ ! -r "$3" ]; then
    echo none
    exit 0
fi
{ piece 3<"$3"; } 2>/dev/null || echo none
