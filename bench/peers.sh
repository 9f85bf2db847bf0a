#!/usr/bin/env bash
# Gets the auditor that driftcheck is measured against, and runs it.
#
#   peers.sh setup                 get AIDE into the cache; print its version
#   peers.sh version               print the version
#   peers.sh aide init  TREE DB    record TREE in DB, and print what it cost
#   peers.sh aide check TREE DB    check TREE against DB, and print what it cost
#   peers.sh argv init|check TREE DB
#                                  print the bare command, NUL-separated, for
#                                  measure.py to run without a shell around it
#
# AIDE is Debian 13's (0.19).  It is unpacked with what it needs into a small
# system root in the cache and started by that root's own dynamic loader, so
# nothing is installed, mounted or chrooted, and the tree is read where it is.
# Where Debian 13 cannot be had, Debian 12's AIDE (0.18) is taken the same way,
# and failing that the `aide` in PATH; `setup` says so on standard error.
#
# The settings are the cheapest that record what driftcheck records: two
# workers, one digest (SHA-256), no digests of the database itself, no report
# but standard output.  Compression of the database is left at its default.
#
# Environment:
#   DRIFTCHECK_CACHE   cache directory         (/var/tmp/driftcheck-cache)
#   DRIFTCHECK_MIRROR  Debian mirror           (mmdebstrap's own default)
#   AIDE_SUITES        Debian suites to try    (trixie bookworm)
#   AIDE_WORKERS       AIDE's num_workers      (2)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$(realpath -m -- "${DRIFTCHECK_CACHE:-/var/tmp/driftcheck-cache}")
peers=$cache/peers
suites=${AIDE_SUITES:-trixie bookworm}
workers=${AIDE_WORKERS:-2}
build_timeout=1200

die() {
  printf 'peers.sh: %s\n' "$*" >&2
  exit 1
}

note() {
  printf 'peers.sh: %s\n' "$*" >&2
}

# Anything still mounted below DIR (mmdebstrap mounts while it works) goes.
unmount_below() {
  local dir=$1 mount
  while IFS= read -r mount; do
    case $mount in
      "$dir" | "$dir"/*) umount -l -- "$mount" || true ;;
    esac
  done < <(awk '{ print $5 }' /proc/self/mountinfo | sort -r)
}

partial=
cleanup() {
  if [[ -n $partial && -d $partial ]]; then
    unmount_below "$partial"
    rm -rf --one-file-system -- "$partial"
  fi
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

build_root() {
  local suite=$1
  local -a wrapper=()
  if command -v eatmydata >/dev/null; then
    wrapper=(eatmydata)
  fi
  partial=$peers/$suite.partial
  unmount_below "$partial"
  rm -rf --one-file-system -- "$partial" "${peers:?}/$suite"
  timeout --foreground "$build_timeout" "${wrapper[@]}" mmdebstrap \
    --mode=root --variant=minbase --format=directory --skip=output/dev \
    --include=aide "$suite" "$partial" \
    ${DRIFTCHECK_MIRROR:+"$DRIFTCHECK_MIRROR"} >"$peers/$suite.log" 2>&1 || return 1
  unmount_below "$partial"
  mv -- "$partial" "$peers/$suite"
  partial=
}

setup() {
  local suite
  mkdir -p "$peers"
  for suite in $suites; do
    if [[ -x $peers/$suite/usr/bin/aide ]]; then
      return
    fi
    if [[ $EUID -ne 0 ]] || ! command -v mmdebstrap >/dev/null; then
      note "root and mmdebstrap are needed to get $suite's AIDE"
    elif build_root "$suite"; then
      return
    else
      note "could not get $suite's AIDE (see $peers/$suite.log)"
    fi
  done
  command -v aide >/dev/null || die "no AIDE at all: install the package 'aide'"
  note "falling back to $(command -v aide)"
}

# Sets `aide` to the command that starts AIDE.
aide=()
find_aide() {
  local suite root loader libraries
  for suite in $suites; do
    root=$peers/$suite
    [[ -x $root/usr/bin/aide ]] || continue
    for loader in "$root"/lib64/ld-linux*.so.* "$root"/lib/ld-linux*.so.*; do
      [[ -x $loader ]] || continue
      for libraries in "$root"/usr/lib/*-linux-gnu*; do
        [[ -d $libraries ]] || continue
        aide=("$loader" --library-path "$libraries" "$root/usr/bin/aide")
        return
      done
    done
  done
  command -v aide >/dev/null || die "AIDE is not there yet (peers.sh setup)"
  aide=("$(command -v aide)")
}

version() {
  local text
  find_aide
  text=$("${aide[@]}" --version 2>&1)
  printf '%s\n' "${text%%$'\n'*}"
}

# Writes the configuration beside DB, and sets `command` to what to run.
command=()
prepare() {
  local action=$1 tree=$2 db=$3 config=$3.conf
  tree=$(realpath -e -- "$tree")
  db=$(realpath -m -- "$db")
  [[ -d $tree ]] || die "$tree is not a directory"
  case $action in
    init) ;;
    check) [[ -f $db ]] || die "$db is not there (peers.sh aide init)" ;;
    *) die "init or check, not '$action'" ;;
  esac
  find_aide
  mkdir -p "$(dirname "$db")"
  cat >"$config" <<CONFIG
database_in=file:$db
database_out=file:$db
database_attrs=E
root_prefix=$tree
num_workers=$workers
log_level=error
report_url=stdout

Audit = ftype+p+u+g+l+s+sha256+acl+xattrs+e2fsattrs+caps
/ Audit
CONFIG
  command=("${aide[@]}" --config="$config" "--$action")
}

usage() {
  sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
}

case ${1:-}:$# in
  setup:1)
    setup
    version
    ;;
  version:1) version ;;
  aide:4)
    prepare "$2" "$3" "$4"
    "$here/measure.py" time -- "${command[@]}"
    ;;
  argv:4)
    prepare "$2" "$3" "$4"
    printf '%s\0' "${command[@]}"
    ;;
  -h:1 | --help:1 | help:1) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
