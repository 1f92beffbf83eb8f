# $1 directory, $2 run, $3 patience with each signal, $4 patience with the killed. Prints the code.
s_dir=$1 s_run=$2 s_patience=$3
state
if [ "$s_state" = absent ]; then
    echo '?'
    exit 0
fi
# Waits until the agent is gone, at most $1.
gone() {
    now
    s_end=$((s_now + $1))
    while agent_lives; do
        now
        if [ "$s_now" -ge "$s_end" ]; then return 1; fi
        moment
    done
}
# A wrapper that is just starting its agent cannot be told to stop: wait until it has one.
while [ "$s_state" = running ] && [ -z "$s_agent" ]; do
    moment
    state
done
for s_signal in INT TERM KILL; do
    if ! agent_lives; then break; fi
    kill -"$s_signal" -"$s_agent" 2>/dev/null
    if [ "$s_signal" = KILL ]; then s_patience=$4; fi
    gone "$s_patience"
done
kill_found all "$4" || exit 1
# The wrapper writes the code and ends by itself.
now
s_end=$((s_now + $4))
while wrapper_lives; do
    now
    if [ "$s_now" -ge "$s_end" ]; then
        echo "the wrapper $s_wrapper does not end" >&2
        exit 1
    fi
    moment 0.005
done
state
echo "${s_state#ended }"
