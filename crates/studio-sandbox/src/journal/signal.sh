# $1 directory, $2 signal.
s_dir=$1
state
if [ "$s_state" = running ] && agent_lives; then
    kill -"$2" -"$s_agent" 2>/dev/null || ! agent_lives
fi
