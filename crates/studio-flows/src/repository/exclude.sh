# Names those of the files $2, $3, … that the project $1 does not have, a line each, and lets git
# take none of them in.
cd -P -- "$1" || exit 66
shift
s_info=$(git rev-parse --git-path info) && mkdir -p -- "$s_info" || exit 1
for s_path; do
    s_line=/$s_path
    if grep -qxF -- "$s_line" "$s_info/exclude" 2>/dev/null; then
        # An earlier server put it there, or was about to.
        echo "$s_path"
    elif [ ! -e "$s_path" ] && [ ! -L "$s_path" ]; then
        printf '%s\n' "$s_line" >>"$s_info/exclude" || exit 1
        echo "$s_path"
    fi
done
