# $1 directory, $2 bytes.
if [ -f "$1/err" ]; then tail -c "$2" "$1/err"; fi
