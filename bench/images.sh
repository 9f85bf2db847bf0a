#!/usr/bin/env bash
# Packs the tree `real` as the images that the benchmark records, once, in the cache.
#
#   images.sh build   build what is missing
#   images.sh path    print where they are
#
#   real-gzip.oci.tar    an OCI archive of one layer, gzip
#   real-zstd.oci.tar    the same, zstd
#   real.qcow2           a disk with an ext4, not compressed
#   real-zstd.qcow2      the same, zstd clusters
#
# and, for the references in images.toml: the layers by themselves, and the files unpacked (trees/real).
# Needs root, umoci, skopeo, mke2fs and qemu-img.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=$(realpath -m -- "${DRIFTCHECK_CACHE:-/var/tmp/driftcheck-cache}")
images=$cache/bench-images
[[ ${1-} == path ]] && echo "$images" && exit 0
[[ ${1-} == build ]] || { sed -n '2,15s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 64; }
[[ -e $images/complete ]] && exit 0

"$here/trees.sh" build real
real=$("$here/trees.sh" path real)
rm -rf "$images"
mkdir -p "$images/work"
work=$images/work

umoci init --layout "$work/oci"
umoci new --image "$work/oci:real"
umoci unpack --image "$work/oci:real" "$work/bundle"
cp -a "$real/." "$work/bundle/rootfs/"
umoci repack --image "$work/oci:real" "$work/bundle"
rm -rf "$work/bundle"
skopeo copy -q "oci:$work/oci:real" "oci-archive:$images/real-gzip.oci.tar"
skopeo copy -q --dest-compress-format zstd "oci:$work/oci:real" "dir:$work/zstd"
skopeo copy -q --dest-compress-format zstd "oci:$work/oci:real" "oci:$work/oci-zstd:real"
skopeo copy -q "oci:$work/oci-zstd:real" "oci-archive:$images/real-zstd.oci.tar"
find "$work/oci/blobs" -type f -size +100M -exec cp {} "$images/layer.tar.gz" \;
find "$work/oci-zstd/blobs" -type f -size +100M -exec cp {} "$images/layer.tar.zst" \;

size=$(($(du -s --block-size=1M "$real" | cut -f1) * 6 / 5 + 256))
truncate -s "${size}M" "$work/real.ext4"
mke2fs -q -t ext4 -F -d "$real" "$work/real.ext4"
qemu-img convert -q -O qcow2 "$work/real.ext4" "$images/real.qcow2"
qemu-img convert -q -c -O qcow2 -o compression_type=zstd "$work/real.ext4" "$images/real-zstd.qcow2"
rm -rf "$work"
ls -l "$images"
touch "$images/complete"
