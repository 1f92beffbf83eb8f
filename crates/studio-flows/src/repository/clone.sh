# Clones $3 into the empty directory $2; $1 is the sandbox's home, $4 the branch or nothing. What is
# cloned already is left alone. The clone appears whole or not at all, and in the place of nothing:
# what was begun for a server that died ends without effect.
[ -e "$2/.git" ] && exit 0
mkdir -p -- "$1/.studio" "$2" && s_new=$(mktemp -d -- "$1/.studio/clone.XXXXXX") || exit 1
trap 'rm -rf -- "$s_new"' EXIT
export GIT_TERMINAL_PROMPT=0 GIT_ALLOW_PROTOCOL=https:http GIT_LFS_SKIP_SMUDGE=1
if [ -n "$4" ]; then
    git clone --quiet --branch="$4" -- "$3" "$s_new/project"
else
    git clone --quiet -- "$3" "$s_new/project"
fi || exit 1
rmdir -- "$2" && mv -- "$s_new/project" "$2"
