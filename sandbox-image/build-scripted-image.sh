#!/usr/bin/env bash
# Builds the image of the tests that run a real agent: the agent image plus the scripted model
# server (../tools/model-server), which every container of it starts inside itself at
# http://127.0.0.1:8555. So an agent in a sandbox reaches "its model" without any network.
#
#   build-scripted-image.sh [--from NAME:TAG] [--tag NAME:TAG] [--print-tag]
#
# Needs: docker, and the agent image (build-agent-image.sh).
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
server=$here/../tools/model-server
from=agent-studio-agent:$("$here/tag.sh")
tag=
print=
while [ $# -gt 0 ]; do
  case $1 in
    --from)      from=$2; shift 2 ;;
    --tag)       tag=$2; shift 2 ;;
    --print-tag) print=1; shift ;;
    *) sed -n '2,8p' "$0" >&2; exit 2 ;;
  esac
done
if [ -z "$tag" ]; then
  key=$(cd "$server" && { echo "$from"; cat "$here/build-scripted-image.sh" model-server.mjs
        for f in scripts/*.json; do echo "$f"; cat "$f"; done; } | sha256sum | cut -c1-12)
  tag=agent-studio-agent-scripted:$key
fi
if [ -n "$print" ]; then echo "$tag"; exit 0; fi
if docker image inspect "$tag" >/dev/null 2>&1; then echo "$tag is up to date"; exit 0; fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/model-server"
cp -r "$server/model-server.mjs" "$server/scripts" "$work/model-server/"
# An entry point, so that it starts whatever command a container is created with.
cat > "$work/model-server/entry" <<'S'
#!/bin/sh
node /opt/model-server/model-server.mjs --scripts /opt/model-server/scripts \
  --port 8555 --log /tmp/model-server.log >/tmp/model-server.ready 2>/tmp/model-server.err &
exec "$@"
S
chmod -R a+rX "$work/model-server"
chmod 755 "$work/model-server/entry"
cat > "$work/Dockerfile" <<D
FROM $from
COPY model-server /opt/model-server
ENTRYPOINT ["/opt/model-server/entry"]
CMD ["sleep", "infinity"]
D
DOCKER_BUILDKIT=0 docker build --quiet --tag "$tag" "$work" >/dev/null 2>"$work/log" ||
  { cat "$work/log" >&2; exit 1; }
docker image inspect --format "$tag {{ .Id }} {{ .Size }} bytes" "$tag"
