#!/usr/bin/env bash
# Prints the tag of the agent image that this recipe makes: the first 12 hex digits of the
# SHA-256 over agents.env, Dockerfile and build-agent-image.sh, one after the other. The studio
# computes the same from the copies compiled into it, so an image is never older than its recipe.
set -euo pipefail
cd "$(dirname "$0")"
cat agents.env Dockerfile build-agent-image.sh | sha256sum | cut -c1-12
