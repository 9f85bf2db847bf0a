#!/usr/bin/env bash
# Builds driftcheck-floor and driftcheck-mktree; prints the directory they are in.
#
# Environment:
#   CARGO_TARGET_DIR   where to build      ($DRIFTCHECK_CACHE/target)
#   DRIFTCHECK_CACHE   cache directory     (/var/tmp/driftcheck-cache)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${DRIFTCHECK_CACHE:-/var/tmp/driftcheck-cache}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$cache/target}
timeout --foreground 900 cargo build --release --locked --quiet \
  --manifest-path "$here/Cargo.toml"
printf '%s\n' "$CARGO_TARGET_DIR/release"
