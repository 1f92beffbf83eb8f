# Says `yes` when a process that is seen here listens on TCP port $1, else `no`. Where the network
# is shared, somebody else's may listen there: its sockets belong to processes that are not seen.
s_port=$(printf '%04X' "$1")
s_inodes=$(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
    sed -n "s/^ *[0-9]*: [0-9A-F]*:$s_port [0-9A-F]*:0000 0A [^ ]* [^ ]* [^ ]* *[0-9]* *[0-9]* \([0-9]*\) .*/\1/p")
s_said=no
for s_inode in $s_inodes; do
    if ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q "socket:\[$s_inode\]"; then
        s_said=yes
    fi
done
echo "$s_said"
