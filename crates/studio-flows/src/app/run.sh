# Becomes the project's app: the first of its scripts `dev`, `start`, `dev:start`. Those before
# the last stay in the foreground, so the app ends with this process and not before.
[ -n "$s_root" ] && cd -- "$s_root" || {
    echo "there is no project directory" >&2
    exit 66
}
[ -f package.json ] || {
    echo "the project has no package.json" >&2
    exit 66
}
s_script=$(node -e '
    const scripts = JSON.parse(require("fs").readFileSync("package.json", "utf8")).scripts ?? {};
    console.log(["dev", "start", "dev:start"].find((name) => typeof scripts[name] === "string") ?? "");
') || exit 66
[ -n "$s_script" ] || {
    echo "package.json has no script dev, start or dev:start" >&2
    exit 66
}
s_manager=npm
if [ -f pnpm-lock.yaml ] && command -v pnpm >/dev/null; then s_manager=pnpm; fi
exec "$s_manager" run "$s_script"
