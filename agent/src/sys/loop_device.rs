//! A file system in a file, mounted by the kernel where nobody else sees it.
//!
//! The file, or a part of it, becomes a loop device that cannot be written to, and its file system a mount that
//! is attached nowhere: no path leads to it, and it vanishes, with the device, when its descriptors are closed,
//! however the process ends. As in a [`PrivateView`](super::PrivateView), the kernel itself sees to it that no
//! device node is opened, nothing is written and no access time changes.

use std::ffi::c_void;
use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string,
    fsmount, fsopen,
};

use super::open::{Directory, View};

/// A mount that is attached nowhere.
#[derive(Debug)]
pub struct DetachedMount {
    mount: OwnedFd,
}

/// What of a file is mounted, and how.
#[derive(Clone, Copy, Debug)]
pub struct MountRequest<'a> {
    /// Where it begins in the file: a multiple of 512. Bytes.
    pub start: u64,
    /// How much of it there is. Bytes; what is left over after whole sectors of 512 is not seen.
    pub size: u64,
    /// The kernel's name of the file system: `xfs`.
    pub kind: &'a str,
    /// Further options of the file system: `nouuid`, or `subvol` with a value.
    pub options: &'a [(&'a str, Option<&'a str>)],
}

/// Why there is no mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountFailure {
    /// The kernel cannot do this at all: no such file system, or no such call.
    Unknown(Errno),
    /// There is no loop device, or the file cannot become one.
    Loop(Errno),
    /// The file system is not mounted; what the kernel says about it, which may be nothing.
    Refused(Errno, String),
}

impl DetachedMount {
    /// Mounts what is in `file`. Needs `CAP_SYS_ADMIN` and Linux 5.8.
    pub fn of(file: BorrowedFd<'_>, request: &MountRequest<'_>) -> Result<Self, MountFailure> {
        let context = fsopen(request.kind, FsOpenFlags::FSOPEN_CLOEXEC).map_err(MountFailure::Unknown)?;
        // Held until the mount holds it; whoever is the last to let go takes it apart.
        let device = LoopDevice::attach(file, request.start, request.size).map_err(MountFailure::Loop)?;
        let mounted = configure(&context, &device.path, request.options).and_then(|()| {
            let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
                | MountAttrFlags::MOUNT_ATTR_NOSUID
                | MountAttrFlags::MOUNT_ATTR_NODEV
                | MountAttrFlags::MOUNT_ATTR_NOEXEC
                | MountAttrFlags::MOUNT_ATTR_NOATIME;
            fsmount(context.as_fd(), FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        });
        match mounted {
            Ok(mount) => Ok(Self { mount }),
            Err(why) => Err(MountFailure::Refused(why, told(context))),
        }
    }

    /// The root of the file system.
    pub fn root(&self) -> Result<Directory, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.mount, c".", flags, Mode::empty())?;
        Ok(Directory::new(fd, View::Private))
    }
}

fn configure(context: &OwnedFd, device: &str, options: &[(&str, Option<&str>)]) -> Result<(), Errno> {
    let context = context.as_fd();
    fsconfig_set_string(context, "source", device)?;
    fsconfig_set_flag(context, "ro")?;
    for (name, value) in options {
        match value {
            None => fsconfig_set_flag(context, *name)?,
            Some(value) => fsconfig_set_string(context, *name, *value)?,
        }
    }
    fsconfig_create(context)
}

/// What the kernel wrote about a mount that it refused, in one line: `e xfs: ...`, without the letter of its
/// weight.
fn told(context: OwnedFd) -> String {
    let (mut context, mut lines) = (File::from(context), Vec::new());
    let mut buffer = [0; 512];
    // Each read gives a message; the kernel keeps eight.
    while lines.len() < 8 {
        match context.read(&mut buffer) {
            Ok(length @ 1..) => {
                let line = String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned();
                lines.push(line.get(2..).unwrap_or_default().trim().to_owned());
            }
            Ok(0) | Err(_) => break,
        }
    }
    lines.join("; ")
}

/// A loop device that cannot be written to, and that is taken apart when it is no longer used.
struct LoopDevice {
    path: String,
    /// What keeps it until a mount does.
    _device: OwnedFd,
}

impl LoopDevice {
    fn attach(file: BorrowedFd<'_>, start: u64, size: u64) -> Result<Self, Errno> {
        let read_only = OFlags::RDONLY | OFlags::CLOEXEC;
        let control = rustix::fs::open(c"/dev/loop-control", read_only, Mode::empty())?;
        let configuration = Configuration {
            file: file.as_raw_fd().unsigned_abs(),
            info: Info {
                offset: start,
                size_limit: size,
                flags: READ_ONLY | AUTOCLEAR,
                ..Info::default()
            },
            ..Configuration::default()
        };
        // A free one may be taken by others before we do.
        for _ in 0..64 {
            let number = free_device(control.as_fd())?;
            let path = format!("/dev/loop{number}");
            let device = rustix::fs::open(&path, read_only, Mode::empty())?;
            match configure_device(device.as_fd(), &configuration) {
                Ok(()) => {
                    return Ok(Self {
                        path,
                        _device: device,
                    });
                }
                Err(Errno::BUSY) => {}
                Err(why) => return Err(why),
            }
        }
        Err(Errno::BUSY)
    }
}

/// `struct loop_config` of linux/loop.h.
#[repr(C)]
#[derive(Default)]
struct Configuration {
    file: u32,
    block_size: u32,
    info: Info,
    reserved: [u64; 8],
}

/// `struct loop_info64` of linux/loop.h.
#[repr(C)]
struct Info {
    device: u64,
    inode: u64,
    raw_device: u64,
    offset: u64,
    size_limit: u64,
    number: u32,
    encrypt_type: u32,
    encrypt_key_size: u32,
    flags: u32,
    file_name: [u8; 64],
    crypt_name: [u8; 64],
    encrypt_key: [u8; 32],
    init: [u64; 2],
}

impl Default for Info {
    fn default() -> Self {
        Self {
            device: 0,
            inode: 0,
            raw_device: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags: 0,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        }
    }
}

const _: () = assert!(size_of::<Configuration>() == 304 && size_of::<Info>() == 232);

const READ_ONLY: u32 = 1;
const AUTOCLEAR: u32 = 4;

const LOOP_CTL_GET_FREE: u32 = 0x4c82;
const LOOP_CONFIGURE: u32 = 0x4c0a;

/// The number of a device that is not used, made if there is none.
#[expect(unsafe_code, reason = "rustix has no safe call for it")]
fn free_device(control: BorrowedFd<'_>) -> Result<u32, Errno> {
    // SAFETY: the call takes an open descriptor and no further argument.
    let result = unsafe { libc::ioctl(control.as_raw_fd(), LOOP_CTL_GET_FREE.into()) };
    u32::try_from(result).map_err(|_| last_errno())
}

#[expect(unsafe_code, reason = "rustix has no safe call for it")]
fn configure_device(device: BorrowedFd<'_>, configuration: &Configuration) -> Result<(), Errno> {
    let configuration = (&raw const *configuration).cast::<c_void>();
    // SAFETY: the kernel only reads the structure, which is of the layout and size in linux/loop.h and outlives
    // the call, and takes a reference of its own on the file whose descriptor is in it.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE.into(), configuration) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}
