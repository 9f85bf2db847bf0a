//! What is mounted where, from `/proc/self/mountinfo` (`proc_pid_mountinfo(5)`).

use std::collections::HashMap;
use std::io;

/// The mounts of this process's mount namespace, by mount id.
#[derive(Debug, Default)]
pub struct Mounts {
    by_id: HashMap<u64, Mount>,
    /// Whether some are left out when a mount above them is cloned.
    uncloned: bool,
}

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Type of the file system: `proc`, `ext4`, `nfs4`, ...
    pub kind: String,
    /// Where it is mounted, as bytes.
    pub point: Vec<u8>,
    /// What is mounted: a device, a server's export, or a name without a meaning.
    pub source: String,
}

impl Mounts {
    /// Reads the mounts as they are now.
    pub fn read() -> io::Result<Self> {
        #[expect(
            clippy::disallowed_methods,
            reason = "the process's own view of its mounts, not the tree's"
        )]
        Ok(Self::parse(&std::fs::read_to_string("/proc/self/mountinfo")?))
    }

    /// Reads the text of a mountinfo file. Lines that are not understood are left out: such a mount is then
    /// named by its id alone.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        Self {
            by_id: text.lines().filter_map(mount).collect(),
            uncloned: text.lines().any(is_left_out_of_clones),
        }
    }

    /// Whether all mounts on the way from `root` (a path of this machine) to `path` (below the root) are of local
    /// file systems that hold files. The way is judged by its names; links in it are not followed.
    #[must_use]
    pub fn all_local_towards(&self, root: &[u8], path: &[u8]) -> bool {
        let root = root.strip_suffix(b"/").unwrap_or(root);
        let full = [root, path].concat();
        let on_the_way = |point: &[u8]| {
            point.len() > root.len().max(1)
                && full
                    .strip_prefix(point)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        self.by_id
            .values()
            .filter(|mount| on_the_way(&mount.point))
            .all(|mount| LOCAL.contains(&mount.kind.as_str()))
    }

    /// Whether something is mounted exactly at `path`.
    #[must_use]
    pub fn is_mount_point(&self, path: &[u8]) -> bool {
        self.by_id.values().any(|mount| mount.point == path)
    }

    /// The mount with this id.
    #[must_use]
    pub fn get(&self, id: u64) -> Option<&Mount> {
        self.by_id.get(&id)
    }

    /// Whether a clone of a tree of mounts has all of them.
    pub(super) const fn all_can_be_cloned(&self) -> bool {
        !self.uncloned
    }
}

/// Local file systems that hold files; those in memory too, since Debian's user `sys` lives in `/dev`.
const LOCAL: [&str; 20] = [
    "bcachefs", "btrfs", "devtmpfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "iso9660", "jfs",
    "ntfs3", "overlay", "ramfs", "reiserfs", "squashfs", "tmpfs", "vfat", "xfs", "zfs",
];

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn mount(line: &str) -> Option<(u64, Mount)> {
    let (place, what) = line.split_once(" - ")?;
    let mut place = place.split(' ');
    let id = place.next()?.parse().ok()?;
    let point = unescape(place.nth(3)?.as_bytes());
    let mut what = what.split(' ');
    let (kind, source) = (
        what.next()?.to_owned(),
        what.next().unwrap_or_default().to_owned(),
    );
    Some((id, Mount { kind, point, source }))
}

/// Whether a mount is left out of clones of the mounts above it: an unbindable one, or a mount namespace.
fn is_left_out_of_clones(line: &str) -> bool {
    let place = line.split_once(" - ").map_or(line, |(place, _)| place);
    let mut fields = place.split(' ').skip(3);
    let is_namespace = fields.next().is_some_and(|root| root.starts_with("mnt:["));
    is_namespace || fields.skip(2).any(|field| field == "unbindable")
}

/// Undoes the kernel's `\\040` for white space and backslashes.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        if let [
            b'\\',
            a @ b'0'..=b'3',
            b @ b'0'..=b'7',
            c @ b'0'..=b'7',
            tail @ ..,
        ] = rest
        {
            bytes.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
            rest = tail;
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_a_clone_would_leave_out() {
        for (line, left_out) in [
            (
                "36 35 98:0 / /unbindable rw,noatime shared:1 - ext3 unbindable rw",
                false,
            ),
            ("36 35 98:0 / /mnt rw,noatime - ext3 /dev/root rw", false),
            (
                "36 35 98:0 / /mnt rw,noatime unbindable - ext3 /dev/root rw",
                true,
            ),
            ("36 35 0:4 mnt:[4026532] /run/ns rw - nsfs nsfs rw", true),
            ("36 35 0:4 net:[4026532] /run/netns/a rw - nsfs nsfs rw", false),
        ] {
            assert_eq!(Mounts::parse(line).all_can_be_cloned(), !left_out, "{line}");
        }
    }

    #[test]
    fn reads_the_manual_pages_example() {
        let mounts = Mounts::parse(
            "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\nnonsense\n\
             37 35 0:3 / /srv/nfs rw - nfs4 server:/x rw\n",
        );
        assert_eq!(
            mounts.get(36),
            Some(&Mount {
                kind: "ext3".into(),
                point: b"/mnt 2".into(),
                source: "/dev/root".into()
            })
        );
        assert_eq!(mounts.get(35), None);
        assert!(
            mounts.all_local_towards(b"/", b"/mnt 2/x") && mounts.all_local_towards(b"/", b"/srv/nfsx/y")
        );
        assert!(
            !mounts.all_local_towards(b"/", b"/srv/nfs/y") && !mounts.all_local_towards(b"/srv", b"/nfs")
        );
        assert!(
            mounts.all_local_towards(b"/srv/nfs", b"/y"),
            "the root itself is what the operator chose"
        );
    }
}
