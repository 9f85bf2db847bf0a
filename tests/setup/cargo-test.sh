#!/usr/bin/env bash
# Runs tests with nextest where it is installed, else with what comes with Rust.
set -euo pipefail
if cargo nextest --version >/dev/null 2>&1; then
    exec cargo nextest run --locked --no-fail-fast "$@"
fi
exec cargo test --locked --no-fail-fast "$@"
