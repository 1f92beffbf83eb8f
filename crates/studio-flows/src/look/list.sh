# Prints the project's files, each as `./path` and a NUL, sorted by bytes. Exit 66: no project.
[ -n "$s_root" ] && cd -- "$s_root" || exit 66
LC_ALL=C find . -type d \( -name node_modules -o -name .git -o -name dist -o -name .next \
    -o -name .cache -o -name .electric \) -prune -o -type f ! -name pnpm-lock.yaml \
    ! -name package-lock.json -print0 2>/dev/null | LC_ALL=C sort -z
