#!/usr/bin/env bash
# Installs the Debian packages that the tests need, or names them. usage: packages.sh PACKAGE...
set -euo pipefail

missing=()
for package in "$@"; do
    state=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
    [ "$state" = "install ok installed" ] || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0

if ! command -v apt-get >/dev/null; then
    echo "not a Debian system; tests that need one of these are skipped: ${missing[*]}"
elif [ "$(id -u)" -ne 0 ]; then
    echo "tests that need one of these are skipped; to have them: sudo apt-get install ${missing[*]}"
else
    echo "installing ${missing[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
        # The package lists may be missing or old.
        apt-get update -qq
        apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    }
fi
