#!/usr/bin/env bash
# Builds the sandbox image for coding agents without any container registry:
# Debian (minbase) with git, gh, curl, python3, ..., Node.js with npm, the Claude Code
# program, and a user `agent` (uid 1000) with /home/agent/workspace. Versions: agents.env.
# Where a registry can be reached, the Dockerfile next to this script makes the same layout.
#
#   sudo build-agent-image.sh [--tag NAME:TAG] [--claude FILE] [--packages "a b c"]
#                             [--npm-global "pkg ..."] [--tar FILE] [--force]
#
#   --claude FILE   a Claude Code program that is here already, instead of one from npm
#   --tar FILE      write the root file system and stop: for `docker import` elsewhere
#
# Package managers run with the configuration that this machine gives them.
# Needs: root, mmdebstrap (or debootstrap), npm, docker.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
# shellcheck source=agents.env
. "$here/agents.env"
tag=agent-studio-agent:$("$here/tag.sh")
extra=
npm_global=
claude=
out=
force=
while [ $# -gt 0 ]; do
  case $1 in
    --tag)          tag=$2; shift 2 ;;
    --claude)       claude=$2; shift 2 ;;
    --packages)     extra=$2; shift 2 ;;
    --npm-global)   npm_global=$2; shift 2 ;;
    --tar)          out=$2; shift 2 ;;
    --force)        force=1; shift ;;
    *) sed -n '2,15p' "$0" >&2; exit 2 ;;
  esac
done
if [ -z "$out$force" ] && docker image inspect "$tag" >/dev/null 2>&1; then
  echo "$tag is up to date"; exit 0
fi
packages="bash ca-certificates curl gh git jq less openssh-client patch procps python3 ripgrep unzip xz-utils $extra"

# Unpacking is bound by fsync on slow disks: work in memory where there is room.
if [ -z "${TMPDIR:-}" ] && [ -d /dev/shm ] &&
   [ "$(df --output=avail -BM /dev/shm | tail -n1 | tr -dc 0-9)" -gt 4000 ]; then
  export TMPDIR=/dev/shm
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

arch=$(dpkg --print-architecture)
case $arch in amd64) narch=x64 ;; arm64) narch=arm64 ;; *) echo "no agent for $arch" >&2; exit 1 ;; esac

# --- Node.js and the agent, in the background: to be laid over /usr/local ---
fetch_programs() {
  mkdir -p "$work/local/bin" "$work/local/lib/node_modules/npm" "$work/dl"
  cd "$work/dl"
  # npm packages that carry release binaries; unpacked, never run by npm.
  tar -xzf "$(npm pack --silent "node-linux-$narch@$NODE_VERSION" | tail -n1)" package/bin/node
  install -m 755 package/bin/node "$work/local/bin/node"
  tar -xzf "$(npm pack --silent npm@10 | tail -n1)" -C "$work/local/lib/node_modules/npm" --strip-components=1
  ln -sf ../lib/node_modules/npm/bin/npm-cli.js "$work/local/bin/npm"
  ln -sf ../lib/node_modules/npm/bin/npx-cli.js "$work/local/bin/npx"
  if [ -z "$claude" ]; then
    tar -xzf "$(npm pack --silent "@anthropic-ai/claude-code-linux-$narch@$CLAUDE_VERSION" | tail -n1)" package/claude
    claude=package/claude
  fi
  install -m 755 "$claude" "$work/local/bin/claude"
  if [ -n "$npm_global" ]; then
    # shellcheck disable=SC2086
    PATH="$work/local/bin:$PATH" npm install --silent --global \
      --prefix "$work/local" --no-audit --no-fund $npm_global
  fi
  chown -R 0:0 "$work/local"
}
case $claude in ""|/*) ;; *) claude=$PWD/$claude ;; esac
fetch_programs & fetching=$!

# --- Debian ---
list=$(echo "$packages" | xargs | tr ' ' ',')
if command -v mmdebstrap >/dev/null 2>&1; then
  mmdebstrap --quiet --variant=minbase --include="$list" \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --aptopt='Acquire::Languages "none"' \
    "$DEBIAN_SUITE" "$work/root"
else   # without the suite's updates and security archives
  debootstrap --variant=minbase --include="$list" "$DEBIAN_SUITE" "$work/root" >"$work/log" ||
    { tail -n 20 "$work/log" >&2; exit 1; }
  rm -rf "$work/root"/var/cache/apt/archives/*.deb "$work/root"/usr/share/{man,locale}/* \
         "$work/root"/var/lib/apt/lists/*_*
fi
wait "$fetching"
cp -a "$work/local/." "$work/root/usr/local/"
rm -rf "$work/local" "$work/dl"

# Nothing of this machine: host name, resolver, machine id.
rm -f "$work/root/etc/hostname" "$work/root/etc/resolv.conf"
: > "$work/root/etc/machine-id"

chroot "$work/root" useradd --uid 1000 --user-group --create-home --shell /bin/bash agent
chroot "$work/root" install -d -o agent -g agent /home/agent/workspace /home/agent/.npm-global
chroot "$work/root" git config --system init.defaultBranch main
chroot "$work/root" git config --system safe.directory '*'

pack() {
  tar -C "$work/root" --numeric-owner --sort=name \
    --exclude='./proc/*' --exclude='./sys/*' --exclude='./dev/*' -cf "$1" .
}
if [ -n "$out" ]; then pack "$out"; echo "$out"; exit 0; fi
old=$(docker image inspect --format '{{ .Id }}' "$tag" 2>/dev/null || true)
pack - | docker import \
  --change 'ENV PATH=/home/agent/.npm-global/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
  --change 'ENV HOME=/home/agent' \
  --change 'ENV LANG=C.UTF-8' \
  --change 'ENV DISABLE_AUTOUPDATER=1' \
  --change 'ENV NPM_CONFIG_PREFIX=/home/agent/.npm-global' \
  --change 'ENV NPM_CONFIG_UPDATE_NOTIFIER=false' \
  --change 'USER agent' \
  --change 'WORKDIR /home/agent/workspace' \
  --change 'CMD ["sleep", "infinity"]' \
  - "$tag" >/dev/null
docker image inspect --format "$tag {{ .Id }} {{ .Size }} bytes" "$tag"
# The image that carried this tag before, unless a container still uses it.
if [ -n "$old" ] && [ "$old" != "$(docker image inspect --format '{{ .Id }}' "$tag")" ]; then
  docker image rm "$old" >/dev/null 2>&1 || true
fi
