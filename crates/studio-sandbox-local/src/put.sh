# $1 path, $2 mode, $3 size. The file is there whole or not at all. Exit 66: stdout says why not.
no() {
    echo "$1"
    exit 66
}
s_dir=${1%/*}
mkdir -p -- "${s_dir:-/}" 2>/dev/null || no "the directory ${s_dir:-/} cannot be made"
if [ -d "$1" ]; then no "it is a directory"; fi
s_new=${s_dir}/.studio-put.$$
cat >"$s_new" || no "the file cannot be written"
s_got=$(wc -c <"$s_new")
if [ "$((s_got))" -ne "$3" ]; then
    rm -f -- "$s_new"
    no "only $((s_got)) of $3 bytes could be written"
fi
if chmod "$2" "$s_new" && mv -f -- "$s_new" "$1"; then exit 0; fi
rm -f -- "$s_new"
no "the file cannot be replaced"
