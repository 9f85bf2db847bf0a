#!/usr/bin/env bash
# Makes the Debian root that tests compare with dpkg and debsums on. It is kept outside the tree, as a tar, and
# made anew when it is not there. Needs root, mmdebstrap and a Debian mirror; without them the tests that
# want it say that they are skipped.
set -euo pipefail

cache=${DRIFTCHECK_CACHE:-/var/tmp/driftcheck-cache}/roots
tar=$cache/debian-12.tar
[ -s "$tar" ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v mmdebstrap >/dev/null; then
    echo "no Debian root: tests that need one are skipped (making one needs root and mmdebstrap)"
    exit 0
fi
echo "making a Debian root in $cache (once, about two minutes)"
mkdir -p "$cache"
packages=adduser,dash,debsums,iputils-ping,login,nano,openssh-server,passwd,sudo,vim-tiny
eatmydata mmdebstrap --quiet --format=tar --variant=minbase --include="$packages" --dpkgopt=force-unsafe-io \
    bookworm "$tar.$$.partial" || {
    rm -f "$tar.$$.partial"
    echo "no Debian root: mmdebstrap failed; tests that need one are skipped"
    [ -z "${DRIFTCHECK_REQUIRE_ORACLES:-}" ] || exit 1
    exit 0
}
mv "$tar.$$.partial" "$tar"
