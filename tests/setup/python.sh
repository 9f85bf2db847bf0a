#!/usr/bin/env bash
# Installs the Python packages that nobody here wrote and that signatures are verified with: a virtual environment
# outside the tree, in ${DRIFTCHECK_CACHE:-/var/tmp/driftcheck-cache}/python. It is made anew when this file changes.
set -euo pipefail

# Every package is named, so that nothing comes in by itself.
packages=(
    cffi==2.0.0
    cryptography==50.0.2
    in-toto-attestation==0.9.3
    protobuf==6.33.0
    pycparser==2.23
    securesystemslib==1.6.0
)

cache=${DRIFTCHECK_CACHE:-/var/tmp/driftcheck-cache}
venv=$cache/python
wanted=$(printf '%s\n' "${packages[@]}")
[ "$(cat "$venv/installed" 2>/dev/null || true)" = "$wanted" ] && exit 0

echo "installing Python packages in $venv: ${packages[*]}"
mkdir -p "$cache"
complaints=$(mktemp)
trap 'rm -f "$complaints"' EXIT
made() {
    # Environments know their own place, so this one is made where it stays.
    rm -rf "$venv" &&
        python3 -m venv "$venv" &&
        "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --only-binary :all: "${packages[@]}" &&
        "$venv/bin/python3" -c 'import securesystemslib.dsse, in_toto_attestation.v1.statement'
}
if made 2>"$complaints"; then
    printf '%s\n' "$wanted" >"$venv/installed"
else
    sed 's/^/  /' "$complaints" >&2
    rm -rf "$venv"
    echo "no Python packages: tests that need them are skipped (they need python3-venv and a package index)"
    [ -z "${DRIFTCHECK_REQUIRE_ORACLES:-}" ] || exit 1
fi
