#!/usr/bin/env bash
# Builds the trees that the benchmark audits, once, in the cache.
#
#   trees.sh build NAME...   build what is missing (a built tree is left alone)
#   trees.sh path NAME       print where the tree NAME is
#   trees.sh list            names, and whether they are built
#   trees.sh remove NAME...  delete from the cache
#
# Names:
#   real       a Debian 12 system root (mmdebstrap; at least 60,000 files)
#   small100k  100,000 files of 200..6,200 bytes in 1,000 directories
#   small1m    1,000,000 files of 200..6,200 bytes in 10,000 directories
#   large      16 files of 512 MiB in 4 directories (8 GiB)
#   small3m    3,000,000 files of 16..200 bytes in 30,000 directories
#              (about 12 GB on ext4, 3,000,000 inodes; never built by `all`)
#   all        the first four
#
# The generated trees are pseudo-random from a fixed seed: the same names and
# bytes on every machine.  `real` is what the mirror serves on the day; its
# package list is kept beside it (real.packages).
#
# Environment:
#   DRIFTCHECK_CACHE   cache directory    (/var/tmp/driftcheck-cache)
#   DRIFTCHECK_MIRROR  Debian mirror      (mmdebstrap's own default)
#   DRIFTCHECK_SUITE   suite of `real`    (bookworm)
#   DRIFTCHECK_SEED    generator seed     (1)
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$(realpath -m -- "${DRIFTCHECK_CACHE:-/var/tmp/driftcheck-cache}")
trees=$cache/trees
suite=${DRIFTCHECK_SUITE:-bookworm}
seed=${DRIFTCHECK_SEED:-1}
min_real_files=60000
build_timeout=3600

real_packages=(
  acl apache2 attr bash-completion build-essential cmake curl gdb git
  golang-go groff iputils-ping less libboost-dev libcap2-bin libssl-dev
  linux-headers-amd64 linux-image-cloud-amd64 locales-all man-db manpages
  manpages-dev nginx nodejs openssh-server perl perl-doc postgresql
  python3-dev python3-doc python3-full python3-numpy python3-scipy rsync
  strace sudo tmux tzdata vim
)

die() {
  printf 'trees.sh: %s\n' "$*" >&2
  exit 1
}

# Anything still mounted below the cache's partial trees goes before we leave.
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

# What identifies a tree: a stamp with another text means it must be rebuilt.
spec() {
  case $1 in
    real) printf 'mmdebstrap minbase %s %s\n' "$suite" "${real_packages[*]}" ;;
    small100k) printf 'small --files 100000 --dirs 1000 --min 200 --max 6200 --seed %s\n' "$seed" ;;
    small1m) printf 'small --files 1000000 --dirs 10000 --min 200 --max 6200 --seed %s\n' "$seed" ;;
    small3m) printf 'small --files 3000000 --dirs 30000 --min 16 --max 200 --seed %s\n' "$seed" ;;
    large) printf 'large --files 16 --dirs 4 --size 536870912 --seed %s\n' "$seed" ;;
    *) die "no tree named '$1' (see: trees.sh list)" ;;
  esac
}

is_built() {
  [[ -d $trees/$1 && -f $trees/$1.stamp ]] &&
    [[ $(<"$trees/$1.stamp") == "$(spec "$1")" ]]
}

make_real() {
  local dest=$1 count
  local -a wrapper=()
  command -v mmdebstrap >/dev/null || die "mmdebstrap is needed (apt-get install mmdebstrap)"
  [[ $EUID -eq 0 ]] || die "building 'real' needs root"
  if command -v eatmydata >/dev/null; then
    wrapper=(eatmydata)
  fi
  local packages
  packages=$(IFS=,; printf '%s' "${real_packages[*]}")
  timeout --foreground "$build_timeout" "${wrapper[@]}" mmdebstrap \
    --mode=root --variant=minbase --format=directory --skip=output/dev \
    --include="$packages" "$suite" "$dest" \
    ${DRIFTCHECK_MIRROR:+"$DRIFTCHECK_MIRROR"} >"$trees/real.log" 2>&1 ||
    die "mmdebstrap failed; see $trees/real.log"
  count=$(find "$dest" -xdev -type f -printf . | wc -c)
  ((count >= min_real_files)) || die "'real' has only $count files; add packages"
  dpkg-query --admindir="$dest/var/lib/dpkg" -W >"$trees/real.packages"
}

make_generated() {
  local dest=$1
  shift
  "$here/floor/build.sh" >/dev/null
  timeout --foreground "$build_timeout" \
    "${CARGO_TARGET_DIR:-$cache/target}/release/driftcheck-mktree" "$@" --output "$dest"
}

build() {
  local name=$1
  local -a args
  if is_built "$name"; then
    printf '%s: already built in %s\n' "$name" "$trees/$name"
    return
  fi
  mkdir -p "$trees"
  rm -f -- "$trees/$name.stamp"
  partial=$trees/$name.partial
  unmount_below "$partial"
  rm -rf --one-file-system -- "${trees:?}/$name" "$partial"
  case $name in
    real) make_real "$partial" ;;
    *)
      read -ra args < <(spec "$name")
      make_generated "$partial" "${args[@]}"
      ;;
  esac
  unmount_below "$partial"
  mv -- "$partial" "$trees/$name"
  partial=
  spec "$name" >"$trees/$name.stamp"
  printf '%s: built in %s\n' "$name" "$trees/$name"
}

remove() {
  local name=$1
  spec "$name" >/dev/null
  unmount_below "$trees/$name"
  rm -rf --one-file-system -- "${trees:?}/$name"
  rm -f -- "$trees/$name".{stamp,log,packages}
}

list() {
  local name state
  for name in real small100k small1m large small3m; do
    state=absent
    if is_built "$name"; then
      state=built
    fi
    printf '%-10s %-7s %s\n' "$name" "$state" "$(spec "$name")"
  done
}

usage() {
  sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
}

case ${1:-} in
  build)
    shift
    (($# > 0)) || die "name a tree to build"
    for name in "$@"; do
      if [[ $name == all ]]; then
        for each in real small1m small100k large; do
          build "$each"
        done
      else
        build "$name"
      fi
    done
    ;;
  path)
    spec "${2:?path needs a name}" >/dev/null
    is_built "$2" || die "'$2' is not built (trees.sh build $2)"
    printf '%s\n' "$trees/$2"
    ;;
  remove)
    shift
    for name in "$@"; do
      remove "$name"
    done
    ;;
  list) list ;;
  -h | --help | help) usage ;;
  *)
    usage >&2
    exit 2
    ;;
esac
