#!/usr/bin/env bash
# Packs one Debian root as every kind of image that driftcheck reads: an OCI layout of two layers, the directory that
# umoci unpacks from it, and of that directory a tar, an ext4, a disk with a partition table and a qcow2; and by skopeo
# the archives of the OCI image. They are kept outside the tree and made anew when they are not there. Needs root and
# the programs below; without them the tests that want the images say that they are skipped.
set -euo pipefail

cache=${DRIFTCHECK_CACHE:-/var/tmp/driftcheck-cache}
root_tar=$cache/roots/debian-12.tar
images=$cache/images-3
[ -e "$images/complete" ] && exit 0

give_up() {
    echo "no images: tests that need them are skipped ($1)"
    [ -z "${DRIFTCHECK_REQUIRE_ORACLES:-}" ] || exit 1
    exit 0
}
[ "$(id -u)" -eq 0 ] || give_up "making them needs root"
[ -s "$root_tar" ] || give_up "there is no Debian root"
for program in debugfs mke2fs qemu-img setcap setfacl setfattr sfdisk skopeo umoci zstd; do
    command -v "$program" >/dev/null || give_up "$program is not installed"
done

echo "packing the Debian root as images in $images (once, about a minute)"
rm -rf "$images"
mkdir -p "$images"
work=$images/work
mkdir "$work"

# What a root has of everything that a file system can hold, beside what Debian has.
add_oddities() {
    local odd=$1/opt/odd
    mkdir -p "$odd/shared" "$odd/closed"
    cp "$1/bin/true" "$odd/setuid" && chmod 4755 "$odd/setuid"
    cp "$1/bin/true" "$odd/able" && setcap cap_net_raw,cap_sys_admin=ep "$odd/able"
    echo linked >"$odd/z-first" && ln "$odd/z-first" "$odd/a-second" && ln "$odd/z-first" "$odd/closed/third"
    echo listed >"$odd/acl" && setfacl -m u:33:r--,g:12:rw- "$odd/acl"
    setfacl -d -m u:33:rwx,o::--- "$odd/shared"
    echo tagged >"$odd/tagged"
    setfattr -n user.comment -v 0x6c696e650a6e756c00656e64 "$odd/tagged"
    setfattr -n user.long -v "$(printf 'x%.0s' $(seq 1 900))" "$odd/tagged"
    setfattr -n trusted.note -v kept "$odd/shared"
    mkfifo "$odd/fifo"
    mknod "$odd/null" c 1 3
    mknod "$odd/disk" b 259 70000
    printf 'begin' >"$odd/sparse" && truncate -s 50M "$odd/sparse" && printf 'end' >>"$odd/sparse"
    echo bytes >"$odd/$(printf 'caf\xff')"
    echo line >"$odd/$(printf 'new\nline \\ esc\x1b')"
    echo long >"$odd/$(printf 'n%.0s' $(seq 1 250))"
    ln -s "$(printf '/a/long/target%.0s' $(seq 1 14))" "$odd/long-link"
    ln -s /etc/passwd "$odd/absolute"
    ln -s nowhere "$odd/dangling"
    : >"$odd/empty"
    echo old >"$odd/old" && touch -d '1960-01-01 00:00:00 UTC' "$odd/old"
    echo late >"$odd/late" && touch -d '2040-02-03 04:05:06 UTC' "$odd/late"
    echo other >"$odd/owned" && chown 70000:80000 "$odd/owned"
    chmod 0700 "$odd/closed" && chmod 1777 "$odd/shared"
}

# Two layers: the second changes, removes and replaces what the first has.
umoci init --layout "$images/oci"
umoci new --image "$images/oci:web"
umoci unpack --image "$images/oci:web" "$work/bundle"
rootfs=$work/bundle/rootfs
tar --extract --file "$root_tar" --directory "$rootfs" --numeric-owner --xattrs --xattrs-include='*' --acls \
    --exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*'
mkdir -p "$rootfs/opt/gone/below" "$rootfs/opt/replaced/below" && echo below >"$rootfs/opt/replaced/below/file"
echo first >"$rootfs/opt/changed" && ln "$rootfs/opt/changed" "$rootfs/opt/linked-below"
umoci repack --image "$images/oci:web" "$work/bundle"
rm -rf "$work/bundle"
umoci unpack --image "$images/oci:web" "$work/bundle"
add_oddities "$rootfs"
rm -rf "$rootfs/opt/gone" "$rootfs/usr/share/doc/nano" "$rootfs/opt/replaced"
ln -s odd "$rootfs/opt/replaced"
echo second >>"$rootfs/opt/changed"
umoci repack --image "$images/oci:web" "$work/bundle"
rm -rf "$work/bundle"

umoci unpack --image "$images/oci:web" "$work/bundle"
mv "$rootfs" "$images/root"
tar --create --directory "$images/root" --format=pax --numeric-owner --xattrs --xattrs-include='*' --acls . \
    | zstd -q -3 -T0 -o "$images/root.tar.zst"
skopeo copy -q "oci:$images/oci:web" "oci-archive:$images/oci.tar"
skopeo copy -q "oci:$images/oci:web" "docker-archive:$images/docker.tar:web:latest"

size=$(($(du -s --block-size=1M "$images/root" | cut -f1) * 5 / 4 + 64))
truncate -s "${size}M" "$images/root.ext4"
mke2fs -q -t ext4 -F -d "$images/root" "$images/root.ext4"
# mke2fs copies every time but that of the root itself, and of those after 2038 only the lower bits.
debugfs -w -R "set_inode_field / mtime @$(stat -c %Y "$images/root")" "$images/root.ext4" 2>/dev/null
debugfs -w -R "set_inode_field /opt/odd/late mtime_extra 1" "$images/root.ext4" 2>/dev/null
{
    echo 'label: gpt'
    echo 'start=2048, size=20480, type=C12A7328-F81F-11D2-BA4B-00A0C93EC93B, name=efi'
    echo "start=22528, size=$((size * 2048)), type=4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709, name=root"
} >"$work/table"
truncate -s "$((size + 16))M" "$images/disk.raw"
sfdisk -q "$images/disk.raw" <"$work/table"
dd if="$images/root.ext4" of="$images/disk.raw" bs=1M seek=11 conv=notrunc,sparse status=none
qemu-img convert -q -c -O qcow2 -o compression_type=zstd "$images/disk.raw" "$images/disk.qcow2"
rm -rf "$work"
touch "$images/complete"
