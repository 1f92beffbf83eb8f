#!/bin/sh
# git-credential-studio get <REQUEST: gives git a short-lived token for @PROTOCOL@://@HOST@, and for
# no other place. The token comes from the studio, through the relay beside this file, or from the
# first line of the file in STUDIO_GIT_TOKEN_FILE. It goes to git and nowhere else: to no file, no
# argument, no log. Exit 0: handed over, or not ours to answer; 1: no token (the reason is on
# stderr, and git is told not to ask anybody else).
LC_ALL=C
no() {
    echo "git-credential-studio: $1" >&2
    echo quit=1
    exit 1
}
# git also offers to keep what worked and to drop what did not: nothing is kept here.
if [ "${1-}" != get ]; then exit 0; fi

s_protocol= s_host= s_path=
while IFS= read -r s_line; do
    case $s_line in
    '') break ;;
    protocol=*) s_protocol=${s_line#*=} ;;
    host=*) s_host=${s_line#*=} ;;
    path=*) s_path=${s_line#*=} ;;
    esac
done
if [ "$s_protocol" != '@PROTOCOL@' ] || [ "$s_host" != '@HOST@' ]; then exit 0; fi

# Reads the studio's answer and says its parts to git.
hand_over() {
    s_user= s_token= s_end= s_why=
    while IFS= read -r s_line; do
        case $s_line in
        username=*) s_user=${s_line#*=} ;;
        password=*) s_token=${s_line#*=} ;;
        password_expiry_utc=*) s_end=${s_line#*=} ;;
        error=*) s_why=${s_line#*=} ;;
        esac
    done
    if [ -n "$s_why" ]; then no "$s_why"; fi
    case $s_token in
    '') no "the studio gave no token" ;;
    *[!!-~]*) no "the token has characters that none has" ;;
    esac
    echo "protocol=@PROTOCOL@"
    echo "host=@HOST@"
    printf 'username=%s\n' "${s_user:-x-access-token}"
    printf 'password=%s\n' "$s_token"
    case $s_end in '' | *[!0-9]*) ;; *) echo "password_expiry_utc=$s_end" ;; esac
}

if [ -n "${STUDIO_GIT_TOKEN_FILE-}" ]; then
    s_line=
    # A last line without an end is a line too.
    IFS= read -r s_line <"$STUDIO_GIT_TOKEN_FILE" || [ -n "$s_line" ] ||
        no "nothing can be read from $STUDIO_GIT_TOKEN_FILE"
    printf 'password=%s\n' "$s_line" | hand_over
    exit
fi
s_relay=${0%/*}/studio-relay
if [ ! -x "$s_relay" ]; then no "there is no relay to the studio here"; fi
printf 'protocol=%s\nhost=%s\npath=%s\n' "$s_protocol" "$s_host" "$s_path" |
    "$s_relay" git-credential | hand_over
