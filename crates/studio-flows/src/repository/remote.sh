# Makes $1 a repository of git whose remote is $2. Again is no harm.
cd -- "$1" || exit 66
export GIT_TERMINAL_PROMPT=0
[ -e .git ] || git init --quiet --initial-branch=main || exit 1
if git remote get-url origin >/dev/null 2>&1; then
    git remote set-url -- origin "$2"
else
    git remote add -- origin "$2"
fi
