# $1 directory.
s_dir=$1
state
if [ "$s_state" = running ]; then
    echo "the run goes on" >&2
    exit 1
fi
rm -rf "$s_dir"
