# $1 home. Makes the relay's directory, for the user alone.
umask 077
s_dir=$1/.studio/relay
mkdir -p "$s_dir/new" "$s_dir/asked" || exit 1
chmod 700 "$s_dir" "$s_dir/new" "$s_dir/asked" || exit 1
if [ ! -p "$s_dir/bell" ]; then
    rm -rf "$s_dir/bell"
    mkfifo "$s_dir/bell" 2>/dev/null || [ -p "$s_dir/bell" ]
fi
