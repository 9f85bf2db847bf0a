#!/usr/bin/env bash
# Measures everything that docs/performance.md tells: warm and cold, CPU time, memory, sizes. usage: run.sh [TREE...] | run.sh images
# Takes about half an hour and 17 GB below the cache directory. Best on a machine that does nothing else.
set -euo pipefail

bench=$(cd "$(dirname "$0")" && pwd)
top=$(dirname "$bench")
cache=${DRIFTCHECK_CACHE:-/var/tmp/driftcheck-cache}
results=$cache/results
trees=("$@")
[ ${#trees[@]} -gt 0 ] || trees=(real small100k small1m large)

(cd "$top" && cargo build --release --locked -p driftcheck)
"$bench/floor/build.sh"
"$bench/peers.sh" setup
[ "${trees[*]}" = images ] || "$bench/trees.sh" build "${trees[@]}"
mkdir -p "$results"

measure() { "$bench/measure.py" run --set driftcheck="$top/target/release/driftcheck" "$@"; }

if [ "${trees[*]}" = images ]; then
    "$bench/images.sh" build
    measure --plan "$bench/images.toml" --tree "$("$bench/images.sh" path)" --runs 3 --json "$results/images.json"
    exit 0
fi
for tree in "${trees[@]}"; do
    echo "== $tree, warm"
    measure --tree "$tree" --runs 5 --warm-limit 256 --json "$results/$tree-warm.json"
    ls -l "$cache/work/$tree/driftcheck.baseline" || true
done
if [ "$(id -u)" -eq 0 ]; then
    echo "== real, cold"
    measure --tree real --runs 3 --cold --only floor-2,floor-8,aide-check,driftcheck-check,driftcheck-check-8 \
        --json "$results/real-cold.json"
fi
