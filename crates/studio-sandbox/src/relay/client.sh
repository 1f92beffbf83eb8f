#!/bin/sh
# studio-relay VERB <BODY: asks the studio something and prints its answer. Waits until the studio
# answers, also when it is away now. No network and no token: the studio looks into a directory
# that only this sandbox's user can use. Exit 0: answered; 64: wrong use; 65: too large;
# 69: the relay cannot be used.
s_most=1048576
s_dir=${0%/*}/../relay
umask 077
no() {
    echo "studio-relay: $2" >&2
    exit "$1"
}
case ${1-} in
'' | *[!a-z0-9-]*) no 64 "give it a verb of letters, digits and -" ;;
esac
if [ "${#1}" -gt 64 ]; then no 64 "the verb is too long"; fi
if [ ! -d "$s_dir/asked" ]; then no 69 "the studio has not set up its relay here"; fi

s_mine=
s_tries=0
while [ -z "$s_mine" ]; do
    s_tries=$((s_tries + 1))
    if [ "$s_tries" -gt 100 ]; then no 69 "no place for a request"; fi
    read -r s_up _ </proc/uptime
    s_name=$1.$$.${s_up%.*}${s_up#*.}.$s_tries
    if mkdir "$s_dir/new/$s_name" 2>/dev/null; then s_mine=$s_dir/new/$s_name; fi
done
trap 'rm -rf "$s_mine"' EXIT
trap 'exit 143' HUP INT TERM

# One more than may be, to see that it is too much.
head -c $((s_most + 1)) >"$s_mine/body" || no 69 "the request cannot be written"
if [ "$(($(wc -c <"$s_mine/body")))" -gt "$s_most" ]; then no 65 "more than $s_most bytes"; fi
# Drained, so that who writes here does not break.
cat >/dev/null
# Held open both ways from before anybody knows of it: whatever is put in stays for the read.
mkfifo "$s_mine/wake" || no 69 "no named pipe can be made"
exec 3<>"$s_mine/wake"
# Who asks, so that a request of a client that was killed is not taken for one.
s_stat=
while IFS= read -r s_part; do s_stat="$s_stat $s_part"; done 2>/dev/null </proc/$$/stat
s_verb=$1
set -- ${s_stat##*") "}
echo "$$ ${20-}" >"$s_mine/client"
mv "$s_mine" "$s_dir/asked/$s_name" || no 69 "the request cannot be handed in"
s_mine=$s_dir/asked/$s_name
# Nobody waits at the bell when the studio is away; it looks when it comes.
if [ -p "$s_dir/bell" ]; then echo "$s_verb" 1<>"$s_dir/bell"; fi
read -r _ <&3
cat "$s_mine/answer" || no 69 "the answer is gone"
