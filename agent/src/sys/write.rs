//! Writing into a tree that somebody else has prepared: the one thing that is written is the stamp of an image.
//!
//! As for reading, everything is reached descriptor first: directories are opened below the root without following
//! any link, and a file is made beside the one that it replaces and renamed over it. A tree with links in the wrong
//! places is refused; nothing outside of the root is ever touched.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;

use rustix::fs::{
    AtFlags, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_OMIT, XattrFlags, openat2,
};
use rustix::io::Errno;

use super::metadata::metadata_of;
use super::open::{Directory, View};
use super::{Handle, Identity, Kind, Xattrs, path_of};

/// Links are not followed; another file system may be mounted at `/usr` of a tree.
const BELOW: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS);
/// Links are followed inside the root.
const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);

/// How a file is to look.
#[derive(Clone, Debug)]
pub struct Look {
    /// Permission bits.
    pub mode: u32,
    /// User and group; `None`: those of this process.
    pub owner: Option<(u32, u32)>,
    /// Extended attributes.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// Time of the last change, seconds since 1970; `None`: now.
    pub mtime: Option<i64>,
}

/// A file in its directory.
#[derive(Debug)]
pub struct Place {
    /// The directory.
    pub directory: Directory,
    /// The name in it.
    pub name: Vec<u8>,
    /// From the root, starting with `/`.
    pub path: Vec<u8>,
    /// How the file looks.
    pub look: Look,
}

/// Whether two open directories are the same.
pub fn is_same(one: &Directory, other: &Directory) -> Result<bool, Errno> {
    Ok(one.metadata()?.identity == other.metadata()?.identity)
}

/// Opens the directory `path`, relative to `root` and of any number of components, none of which may be a link.
pub fn open_below(root: &Directory, path: &[u8]) -> Result<Directory, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let path = if path.is_empty() { &b"."[..] } else { path };
    Ok(Directory::new(
        openat2(root, path, flags, Mode::empty(), BELOW)?,
        View::Live,
    ))
}

/// Opens the directory `name` in `parent`, one component, and makes it first if it is not there, with mode 0755
/// whatever the umask is. With `mtime`, a directory that was made, and its parent, get that time.
pub fn make_directory(parent: &Directory, name: &[u8], mtime: Option<i64>) -> Result<Directory, Errno> {
    match open_below(parent, name) {
        Err(Errno::NOENT) => {}
        opened => return opened,
    }
    let permissions = Mode::from_raw_mode(0o755);
    rustix::fs::mkdirat(parent, name, permissions)?;
    let opened = open_below(parent, name)?;
    rustix::fs::fchmod(&opened, permissions)?;
    set_mtime(&opened, mtime)?;
    set_mtime(parent, mtime)?;
    Ok(opened)
}

/// Replaces or makes the file `name` in `directory`, in one step: it appears when it is complete and on disk. With
/// `look.mtime`, the directory gets that time, too.
pub fn replace_file(directory: &Directory, name: &[u8], content: &[u8], look: &Look) -> Result<(), Errno> {
    let partial = [b".", name, format!(".{}.partial", std::process::id()).as_bytes()].concat();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = openat2(directory, &partial[..], flags, Mode::RUSR | Mode::WUSR, BELOW)?;
    let written = fill(File::from(fd), content, look)
        .and_then(|()| rustix::fs::renameat(directory, &partial[..], directory, name));
    if let Err(why) = written {
        // What went wrong first is what is told.
        rustix::fs::unlinkat(directory, &partial[..], AtFlags::empty()).ok();
        return Err(why);
    }
    set_mtime(directory, look.mtime)?;
    rustix::fs::fsync(directory)
}

fn fill(mut file: File, content: &[u8], look: &Look) -> Result<(), Errno> {
    let failed = |why: std::io::Error| Errno::from_io_error(&why).unwrap_or(Errno::IO);
    file.write_all(content).map_err(failed)?;
    if let Some((user, group)) = look.owner {
        use rustix::fs::{Gid, Uid};
        rustix::fs::fchown(&file, Some(Uid::from_raw(user)), Some(Gid::from_raw(group)))?;
    }
    rustix::fs::fchmod(&file, Mode::from_raw_mode(look.mode))?;
    for (name, value) in &look.xattrs {
        rustix::fs::fsetxattr(&file, &name[..], value, XattrFlags::empty())?;
    }
    set_mtime(&file, look.mtime)?;
    file.sync_all().map_err(failed)
}

fn set_mtime(fd: impl std::os::fd::AsFd, mtime: Option<i64>) -> Result<(), Errno> {
    let Some(seconds) = mtime else { return Ok(()) };
    let times = Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: seconds,
            tv_nsec: 0,
        },
    };
    rustix::fs::futimens(fd, &times)
}

/// Where the regular file that `path` leads to inside the root really is. `Err(NOENT)` if it is not there,
/// `Err(INVAL)` if it is no regular file.
pub fn real_place(root: &Directory, path: &[u8]) -> Result<Place, Errno> {
    let relative = path.strip_prefix(b"/").unwrap_or(path);
    let file = openat2(
        root,
        relative,
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        INSIDE,
    )?;
    let metadata = metadata_of(file.as_fd())?;
    if metadata.kind() != Kind::File {
        return Err(Errno::INVAL);
    }
    let file = Handle::new(file);
    let real = rustix::fs::readlink(file.proc_path(), Vec::new())?.into_bytes();
    let above = path_of(root)?;
    let above = above.strip_suffix(b"/").unwrap_or(&above);
    let inside = real.strip_prefix(above).and_then(|rest| rest.strip_prefix(b"/"));
    // Not below the root any more: it was moved away or deleted meanwhile.
    let inside = inside.ok_or(Errno::STALE)?;
    let slash = inside.iter().rposition(|byte| *byte == b'/');
    let (parent, name) = match slash {
        Some(at) => inside.split_at(at),
        None => (&b""[..], inside),
    };
    let name = name.strip_prefix(b"/").unwrap_or(name).to_vec();
    let directory = open_below(root, parent)?;
    if identity_in(&directory, &name)? != metadata.identity {
        return Err(Errno::STALE);
    }
    let mut xattrs = Vec::new();
    let mut failed = None;
    Xattrs::default().of_handle(&file, |name, value| match value {
        Ok(value) => xattrs.push((name.to_vec(), value.to_vec())),
        Err(why) => failed = Some(why),
    })?;
    if let Some(why) = failed {
        return Err(why);
    }
    Ok(Place {
        directory,
        name,
        path: [b"/", inside].concat(),
        look: Look {
            mode: metadata.permissions().into(),
            owner: Some((metadata.uid, metadata.gid)),
            xattrs,
            mtime: None,
        },
    })
}

fn identity_in(directory: &Directory, name: &[u8]) -> Result<Identity, Errno> {
    Ok(directory.handle(name)?.metadata()?.identity)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
    use std::path::PathBuf;

    use super::*;
    use crate::sys::open_root;

    fn temporary(name: &str) -> (PathBuf, Directory) {
        let path = std::env::temp_dir().join(format!("driftcheck-write-{name}-{}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        fs::create_dir_all(path.join("root/usr/lib")).unwrap();
        fs::create_dir_all(path.join("outside")).unwrap();
        let root = open_root(path.join("root").as_os_str().as_encoded_bytes()).unwrap();
        (path, root)
    }

    fn look(mode: u32) -> Look {
        Look {
            mode,
            owner: None,
            xattrs: Vec::new(),
            mtime: Some(1_000_000),
        }
    }

    #[test]
    fn a_file_is_replaced_and_nothing_stays_behind() {
        let (path, root) = temporary("replace");
        let lib = open_below(&root, b"usr/lib").unwrap();
        let own = make_directory(&lib, b"own", Some(1_000_000)).unwrap();
        for content in ["one", "two"] {
            replace_file(&own, b"file", content.as_bytes(), &look(0o644)).unwrap();
            assert_eq!(
                fs::read_to_string(path.join("root/usr/lib/own/file")).unwrap(),
                content
            );
        }
        for (name, mode) in [("usr/lib/own", 0o755), ("usr/lib/own/file", 0o644)] {
            let found = fs::metadata(path.join("root").join(name)).unwrap();
            assert_eq!(
                (found.permissions().mode() & 0o7777, found.mtime()),
                (mode, 1_000_000),
                "{name}"
            );
        }
        assert_eq!(fs::read_dir(path.join("root/usr/lib/own")).unwrap().count(), 1);
        assert_eq!(
            fs::metadata(path.join("root/usr/lib")).unwrap().mtime(),
            1_000_000
        );
        // A directory in the file's place is neither replaced nor filled.
        fs::create_dir(path.join("root/usr/lib/own/taken")).unwrap();
        assert!(replace_file(&own, b"taken", b"x", &look(0o644)).is_err());
        assert_eq!(fs::read_dir(path.join("root/usr/lib/own")).unwrap().count(), 2);
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn no_link_leads_out() {
        let (path, root) = temporary("links");
        symlink("../../../outside", path.join("root/usr/lib/up")).unwrap();
        symlink(path.join("outside"), path.join("root/usr/lib/absolute")).unwrap();
        symlink("..", path.join("root/usr/lib/inside")).unwrap();
        let lib = open_below(&root, b"usr/lib").unwrap();
        for name in ["up", "absolute", "inside"] {
            assert_eq!(
                make_directory(&lib, name.as_bytes(), None).unwrap_err(),
                Errno::LOOP,
                "{name}"
            );
        }
        assert!(open_below(&root, b"usr/../..").is_err());
        // A link in the file's own place is replaced, not followed.
        symlink(path.join("outside/file"), path.join("root/usr/lib/file")).unwrap();
        replace_file(&lib, b"file", b"x", &look(0o600)).unwrap();
        assert!(!path.join("outside/file").exists());
        assert!(
            fs::symlink_metadata(path.join("root/usr/lib/file"))
                .unwrap()
                .is_file()
        );
        fs::remove_dir_all(path).unwrap();
    }

    #[test]
    fn the_real_file_is_found_inside() {
        let (path, root) = temporary("real");
        fs::create_dir(path.join("root/etc")).unwrap();
        fs::write(path.join("root/usr/lib/os-release"), "ID=x\n").unwrap();
        fs::write(path.join("outside/os-release"), "ID=outside\n").unwrap();
        fs::set_permissions(
            path.join("root/usr/lib/os-release"),
            fs::Permissions::from_mode(0o640),
        )
        .unwrap();
        for target in [
            "../usr/lib/os-release",
            "/usr/lib/os-release",
            "../../../usr/lib/os-release",
        ] {
            let link = path.join("root/etc/os-release");
            fs::remove_file(&link).ok();
            symlink(target, link).unwrap();
            let place = real_place(&root, b"/etc/os-release").unwrap();
            assert_eq!(
                (&place.path[..], place.look.mode),
                (&b"/usr/lib/os-release"[..], 0o640),
                "{target}"
            );
        }
        fs::remove_file(path.join("root/etc/os-release")).unwrap();
        symlink(path.join("outside/os-release"), path.join("root/etc/os-release")).unwrap();
        assert_eq!(real_place(&root, b"/etc/os-release").unwrap_err(), Errno::NOENT);
        assert_eq!(real_place(&root, b"/etc").unwrap_err(), Errno::INVAL);
        fs::remove_dir_all(path).unwrap();
    }
}
