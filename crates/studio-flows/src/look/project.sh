# Shared by what looks at a project. $1 the sandbox's home, $2 the project's directory below it.
# Sets s_root to the project's directory without any symbolic link: an agent that puts a link in
# its place shows nothing but its project.
s_root=$(cd -P -- "$1" 2>/dev/null && pwd -P) && s_root=${s_root%/}/$2 &&
    [ "$(cd -P -- "$s_root" 2>/dev/null && pwd -P)" = "$s_root" ] || s_root=
