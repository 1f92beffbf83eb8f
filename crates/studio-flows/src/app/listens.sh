# Says `yes` when something listens on TCP port $1, else `no`.
s_port=$(printf '%04X' "$1")
if cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
    grep -q "^ *[0-9]*: [0-9A-F]*:$s_port [0-9A-F]*:0000 0A "; then
    echo yes
else
    echo no
fi
