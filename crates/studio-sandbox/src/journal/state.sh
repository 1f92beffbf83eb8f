# $1 directory.
s_dir=$1
state
echo "$s_state"
