//! File systems that are read through the kernel, for want of a reader here: xfs, btrfs, erofs and squashfs in
//! a raw image, a partition or a block device. Only as root, and only if the operator asks for it: the kernel
//! then parses whatever the image's maker wrote.
//!
//! The result is a root for the scan of a live tree: a mount that nobody else sees ([`DetachedMount`]). What
//! lies below the root of a btrfs file system as another subvolume is part of the same mount, and is entered
//! like any directory.
//!
//! A file system that was not unmounted is refused, not shown as it last was on disk: its device cannot be
//! written to, so the kernel cannot replay a log, and without the options that skip the replay (`norecovery`,
//! `noload`, `nologreplay`), none of which is given here, it does not mount it.

use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::io::Errno;

use super::disk::file;
use super::disk::recognise::Recognised;
use super::file_system::Fault;
use crate::sys::{self, DetachedMount, Directory, MountFailure, MountRequest};

/// A file system that is mounted until this is dropped.
#[derive(Debug)]
pub struct KernelMount {
    mount: DetachedMount,
}

impl KernelMount {
    /// Mounts the file system of a [mountable](Recognised::is_mountable) kind in `size` bytes of a file or
    /// block device from `start` on.
    pub fn new(path: &Path, start: u64, size: u64, kind: Recognised) -> Result<Self, Fault> {
        // The kernel's name; and an image may be of the file system that this host runs on.
        let (name, options): (_, &[_]) = match kind {
            Recognised::Ext => ("ext4", &[]),
            Recognised::Xfs => ("xfs", &[("nouuid", None)]),
            kind if kind.is_mountable() => (kind.name(), &[]),
            kind => return Err(Fault::new(format!("{} is not mounted here", kind.name()))),
        };
        mount(path, start, size, name, options)
    }

    /// As [`new`](Self::new), for btrfs: the subvolume at the path `subvolume` becomes the root, and not the
    /// default one.
    pub fn of_subvolume(path: &Path, start: u64, size: u64, subvolume: &str) -> Result<Self, Fault> {
        mount(path, start, size, "btrfs", &[("subvol", Some(subvolume))])
    }

    /// The root directory, for a scan. It keeps the file system mounted for as long as it, or what was opened
    /// through it, is open.
    pub fn root(&self) -> Result<Directory, Fault> {
        self.mount
            .root()
            .map_err(|why| Fault::new(format!("the mounted root: {}", sys::explain(why))))
    }
}

fn mount(
    path: &Path,
    start: u64,
    size: u64,
    kind: &str,
    options: &[(&str, Option<&str>)],
) -> Result<KernelMount, Fault> {
    let file = file::open_file(path)?;
    if !start.is_multiple_of(512) {
        return Err(Fault::new(format!(
            "{kind}: it begins at {start}, which is no multiple of 512: the kernel cannot mount it"
        )));
    }
    let request = MountRequest {
        start,
        size,
        kind,
        options,
    };
    match DetachedMount::of(file.as_fd(), &request) {
        Ok(mount) => Ok(KernelMount { mount }),
        // What the others call a read-only file system is to btrfs an error of the device.
        Err(MountFailure::Refused(Errno::IO, told)) if kind == "btrfs" && has_log(&file, start) => {
            Err(explain(kind, &MountFailure::Refused(Errno::ROFS, told)))
        }
        Err(why) => Err(explain(kind, &why)),
    }
}

/// Whether the superblock of a btrfs file system names a log tree (`struct btrfs_super_block` of
/// `linux/btrfs_tree.h`). Only to say why the kernel refused.
fn has_log(file: &File, start: u64) -> bool {
    let mut log_root = [0; 8];
    let at = start.saturating_add(0x1_0000 + 0x60);
    file.read_exact_at(&mut log_root, at).is_ok() && log_root != [0; 8]
}

fn explain(name: &str, why: &MountFailure) -> Fault {
    Fault::new(match why {
        MountFailure::Unknown(Errno::PERM)
        | MountFailure::Loop(Errno::PERM | Errno::ACCESS)
        | MountFailure::Refused(Errno::PERM, _) => {
            format!("{name}: only root (CAP_SYS_ADMIN) may have the kernel read it")
        }
        MountFailure::Unknown(Errno::NOSYS) => format!("{name}: Linux 5.8 or newer is needed to read it"),
        MountFailure::Unknown(Errno::NODEV) => {
            format!("{name}: this kernel does not know it (`modprobe {name}`)")
        }
        MountFailure::Unknown(why) => format!("{name}: {}", sys::explain(*why)),
        MountFailure::Loop(Errno::NOENT | Errno::NXIO | Errno::NODEV) => format!(
            "{name}: there is no loop device to read it through (`modprobe loop`; in a container, give it \
             /dev/loop-control and /dev/loop*)"
        ),
        MountFailure::Loop(why) => format!("{name}: the loop device: {}", sys::explain(*why)),
        MountFailure::Refused(Errno::ROFS, _) => format!(
            "{name}: its log has not been replayed: the image was taken of a running or crashed system; mount \
             and unmount a copy of it once"
        ),
        MountFailure::Refused(why, told) => {
            let told = if told.is_empty() {
                "`dmesg` may say why"
            } else {
                told
            };
            format!(
                "{name}: the kernel does not mount it: {} ({told})",
                sys::explain(*why)
            )
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_says_what_to_do() {
        let refused = |why, told: &str| MountFailure::Refused(why, told.to_owned());
        for (failure, expected) in [
            (
                MountFailure::Unknown(Errno::NODEV),
                "xfs: this kernel does not know it (`modprobe xfs`)",
            ),
            (
                MountFailure::Unknown(Errno::NOSYS),
                "xfs: Linux 5.8 or newer is needed to read it",
            ),
            (
                MountFailure::Loop(Errno::ACCESS),
                "xfs: only root (CAP_SYS_ADMIN) may have the kernel read it",
            ),
            (
                MountFailure::Loop(Errno::NOENT),
                "xfs: there is no loop device to read it through (`modprobe loop`; in a container, give it \
                 /dev/loop-control and /dev/loop*)",
            ),
            (
                refused(Errno::ROFS, ""),
                "xfs: its log has not been replayed: the image was taken of a running or crashed system; mount and \
                 unmount a copy of it once",
            ),
            (
                refused(Errno::INVAL, ""),
                "xfs: the kernel does not mount it: invalid argument (`dmesg` may say why)",
            ),
            (
                refused(Errno::INVAL, "xfs: Unknown parameter 'x'"),
                "xfs: the kernel does not mount it: invalid argument (xfs: Unknown parameter 'x')",
            ),
        ] {
            assert_eq!(explain("xfs", &failure).0, expected);
        }
        let why = KernelMount::new(Path::new("/proc/self/exe"), 0, 512, Recognised::Fat).unwrap_err();
        assert_eq!(why.0, "fat is not mounted here");
    }
}
