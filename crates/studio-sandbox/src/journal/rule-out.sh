# $1 directory. Sees to it that a run that was not started never is. Prints the state, as found.
s_dir=$1
mkdir -p "$s_dir" || exit 1
if mkdir "$s_dir/claim" 2>/dev/null; then
    # What a run looks like that ended without a word; who is about to start it finds another there.
    : >"$s_dir/out"
    : >"$s_dir/err"
    echo '?' >"$s_dir/code.new" && mv "$s_dir/code.new" "$s_dir/code" || exit 1
    echo '0 0 ruled-out -' >"$s_dir/wrapper.new" && mv "$s_dir/wrapper.new" "$s_dir/wrapper" || exit 1
    echo absent
    exit 0
fi
[ -d "$s_dir/claim" ] || exit 1
state
echo "$s_state"
