# Shared by all scripts of a journaled process. POSIX sh; dash, bash and busybox were tried.
# Names begin with s_, for a variable that came with the environment goes on to the agent.
s_umask=$(umask)
umask 077

# Time since boot in hundredths of a second, without starting a program.
now() {
    read -r s_up _ </proc/uptime
    s_now=$((${s_up%.*} * 100 + 1${s_up#*.} - 100))
}

# A moment, for waits that no event ends.
moment() { sleep "${1:-0.02}" 2>/dev/null || sleep 1; }

# Reads /proc/PID/stat: s_parent, s_session, s_born (start time). False when there is no such
# process or it only waits to be reaped. The name in the line may hold anything, so all up to
# its last ")" goes. As text, because the agent's own shell needs it too.
s_look='look() {
    s_stat=
    while IFS= read -r s_part; do s_stat="$s_stat $s_part"; done 2>/dev/null <"/proc/$1/stat" ||
        return 1
    case $s_stat in *") "*) ;; *) return 1 ;; esac
    set -- ${s_stat##*") "}
    case $1 in Z | X | x) return 1 ;; esac
    s_parent=$2 s_session=$4 s_born=${20}
}'
eval "$s_look"

# Whether process $1 that was born at $2 is there.
alive() { [ -n "$1" ] && look "$1" && [ "$s_born" = "$2" ]; }

# Which life of the machine and of the sandbox this is: process numbers and start times mean
# something within one only. Sets s_era.
era() {
    s_boot='' s_born=''
    if [ -r /proc/sys/kernel/random/boot_id ]; then read -r s_boot </proc/sys/kernel/random/boot_id; fi
    look 1
    s_era=$s_boot/$s_born
}
era

# The agent and its wrapper of the run in $s_dir; s_same when they are of this life.
who() {
    s_agent='' s_agent_born='' s_wrapper='' s_wrapper_born='' s_then='' s_same=
    if [ -r "$s_dir/pid" ]; then read -r s_agent s_agent_born <"$s_dir/pid"; fi
    if [ -r "$s_dir/wrapper" ]; then read -r s_wrapper s_wrapper_born _ s_then <"$s_dir/wrapper"; fi
    if [ "$s_then" = "$s_era" ]; then s_same=1; fi
}
agent_lives() { [ -n "$s_same" ] && alive "$s_agent" "$s_agent_born"; }
wrapper_lives() { [ -n "$s_same" ] && alive "$s_wrapper" "$s_wrapper_born"; }

# Sets s_state to absent, running or "ended CODE"; CODE is "?" when nobody wrote it down.
state() {
    if [ ! -d "$s_dir/claim" ]; then
        s_state=absent
        return
    fi
    s_tries=0
    while :; do
        who
        s_running=
        if agent_lives || wrapper_lives; then s_running=1; fi
        # Looked at after the processes: the code is written before the wrapper ends.
        if [ -r "$s_dir/code" ]; then
            read -r s_code <"$s_dir/code"
            s_state="ended $s_code"
            return
        fi
        if [ -n "$s_running" ]; then
            s_state=running
            return
        fi
        if [ -n "$s_wrapper" ] || [ "$s_tries" -ge 25 ]; then
            s_state='ended ?'
            return
        fi
        # Claimed a moment ago by a wrapper that has not said its name yet.
        s_tries=$((s_tries + 1))
        moment
    done
}
ended() { case $s_state in ended*) return 0 ;; *) return 1 ;; esac; }
