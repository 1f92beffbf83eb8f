# $1 path, $2 most bytes. Exit 66: stdout says why not.
no() {
    echo "$1"
    exit 66
}
if [ ! -e "$1" ]; then no "there is no such file"; fi
if [ ! -f "$1" ]; then no "it is not a regular file"; fi
if [ ! -r "$1" ]; then no "it may not be read"; fi
s_size=$(wc -c <"$1")
if [ "$((s_size))" -gt "$2" ]; then no "it has $((s_size)) bytes, more than the $2 that may be read"; fi
exec cat -- "$1"
