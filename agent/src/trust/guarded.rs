//! Directories that decide what is trusted: nobody but root and whoever runs the program may write there.
//!
//! Refused are a directory, a file in it, or a directory above it that somebody else owns or may write to (above it,
//! a sticky directory like `/tmp` is enough), symbolic links, and everything that is not a regular file.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat};
use rustix::io::Errno;

use crate::source::file_system::Fault;
use crate::sys::explain;

/// A directory that has been found guarded.
#[derive(Debug)]
pub(super) struct Guarded {
    path: PathBuf,
    directory: OwnedFd,
}

impl Guarded {
    /// Opens a directory; `None` if there is none.
    pub(super) fn open(path: &Path) -> Result<Option<Self>, Fault> {
        let fault = |why: &str| Fault::new(format!("{}: {why}", path.display()));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = match rustix::fs::open(path, flags, Mode::empty()) {
            Ok(directory) => directory,
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::NOTDIR) => return Err(fault("it is not a directory")),
            Err(why) => return Err(fault(&explain(why))),
        };
        let real = std::fs::canonicalize(path).map_err(|why| fault(&super::told(&why)))?;
        let given = std::path::absolute(path).map_err(|why| fault(&super::told(&why)))?;
        let found = rustix::fs::fstat(&directory).map_err(|why| fault(&explain(why)))?;
        check(&found, Sticky::DoesNotHelp).map_err(|why| fault(&why))?;
        // Whoever may rename a directory above can put another one in its place; where links lead there, the place
        // of a link counts as well.
        for above in real
            .ancestors()
            .chain(given.ancestors())
            .filter(|above| *above != real)
        {
            let fault = |why: &str| Fault::new(format!("{}: {}: {why}", path.display(), above.display()));
            let found = rustix::fs::stat(above).map_err(|why| fault(&explain(why)))?;
            check(&found, Sticky::Helps).map_err(|why| fault(&why))?;
        }
        let again = rustix::fs::stat(&real).map_err(|why| fault(&explain(why)))?;
        if (again.st_dev, again.st_ino) != (found.st_dev, found.st_ino) {
            return Err(fault("it was replaced while it was looked at"));
        }
        Ok(Some(Self {
            path: real,
            directory,
        }))
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it, sorted by name, without names that begin with a dot.
    pub(super) fn names(&self) -> Result<Vec<String>, Fault> {
        let fault = |why: &str| Fault::new(format!("{}: {why}", self.path.display()));
        let failed = |why| fault(&explain(why));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let listed = rustix::fs::openat(&self.directory, ".", flags, Mode::empty()).map_err(failed)?;
        let mut buffer = Vec::with_capacity(32 << 10);
        let mut entries = RawDir::new(listed, buffer.spare_capacity_mut());
        let mut names = Vec::new();
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes();
            if name.starts_with(b".") {
                continue;
            }
            if names.len() == MOST {
                return Err(fault(&format!("more than {MOST} files")));
            }
            let name = std::str::from_utf8(name).map_err(|_| fault("a name that is not UTF-8"))?;
            names.push(name.to_owned());
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Reads a file of at most `limit` bytes; `None` if there is none.
    pub(super) fn read(&self, name: &str, limit: usize) -> Result<Option<Vec<u8>>, Fault> {
        let fault = |why: &str| Fault::new(format!("{}/{name}: {why}", self.path.display()));
        if name.is_empty() || name == ".." || name.bytes().any(|byte| matches!(byte, b'/' | 0)) {
            return Err(fault("it is not a name of a file in this directory"));
        }
        // Not even opening must have an effect: neither waiting for a FIFO's writer nor waking a device.
        let found = match rustix::fs::statat(&self.directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => found,
            Err(Errno::NOENT) => return Ok(None),
            Err(why) => return Err(fault(&explain(why))),
        };
        regular(&found).map_err(&fault)?;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.directory, name, flags, Mode::empty())
            .map_err(|why| fault(&explain(why)))?;
        let found = rustix::fs::fstat(&file).map_err(|why| fault(&explain(why)))?;
        regular(&found).map_err(&fault)?;
        check(&found, Sticky::DoesNotHelp).map_err(|why| fault(&why))?;
        let mut content = Vec::new();
        File::from(file)
            .take(limit as u64 + 1)
            .read_to_end(&mut content)
            .map_err(|why| fault(&super::told(&why)))?;
        if content.len() > limit {
            return Err(fault(&format!("longer than {limit} bytes")));
        }
        Ok(Some(content))
    }
}

/// Whether a sticky directory, in which nobody can rename what belongs to others, is guarded enough.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sticky {
    DoesNotHelp,
    Helps,
}

/// Refuses what somebody else owns or may write to. An access ACL's mask is in the group's bits.
fn check(found: &Stat, sticky: Sticky) -> Result<(), String> {
    let own = rustix::process::geteuid().as_raw();
    let mode = found.st_mode & 0o7777;
    if found.st_uid != 0 && found.st_uid != own {
        return Err(format!("it belongs to uid {}: chown root", found.st_uid));
    }
    let guarded = mode & 0o022 == 0 || (sticky == Sticky::Helps && mode & 0o1000 != 0);
    if guarded {
        Ok(())
    } else {
        Err(format!("others may write there (mode {mode:04o}): chmod go-w"))
    }
}

fn regular(found: &Stat) -> Result<(), &'static str> {
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => Ok(()),
        FileType::Symlink => Err("it is a symbolic link; put the file itself there"),
        _ => Err("it is not a regular file"),
    }
}

/// Most files that a directory may hold.
const MOST: usize = 1024;

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;
    use crate::trust::testing::scratch;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_others_may_write_is_refused() {
        let top = scratch("guarded-modes");
        let directory = top.join("trust.d");
        fs::create_dir(&directory).unwrap();
        chmod(&directory, 0o755);
        fs::write(directory.join("a"), "x").unwrap();
        chmod(&directory.join("a"), 0o644);
        let open = || Guarded::open(&directory).map(Option::unwrap);
        assert_eq!(open().unwrap().read("a", 9).unwrap().unwrap(), b"x");
        for mode in [0o775, 0o757, 0o1777] {
            chmod(&directory, mode);
            let told = open().unwrap_err().0;
            assert!(told.ends_with("chmod go-w"), "{mode:o}: {told}");
        }
        chmod(&directory, 0o755);
        for mode in [0o664, 0o646] {
            chmod(&directory.join("a"), mode);
            let told = open().unwrap().read("a", 9).unwrap_err().0;
            assert!(told.ends_with("chmod go-w"), "{mode:o}: {told}");
        }
        chmod(&top, 0o777);
        assert!(open().unwrap_err().0.ends_with("chmod go-w"));
        chmod(&top, 0o1777);
        open().unwrap();
        chmod(&top, 0o755);
    }

    #[test]
    fn what_somebody_else_owns_is_refused() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: not root");
            return;
        }
        let top = scratch("guarded-owners");
        let directory = top.join("trust.d");
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("a"), "x").unwrap();
        for (owned, place) in [(&*top, "above"), (&*directory, "the directory")] {
            std::os::unix::fs::chown(owned, Some(4711), None).unwrap();
            let told = Guarded::open(&directory).unwrap_err().0;
            assert!(
                told.ends_with("it belongs to uid 4711: chown root"),
                "{place}: {told}"
            );
            std::os::unix::fs::chown(owned, Some(0), None).unwrap();
        }
        std::os::unix::fs::chown(directory.join("a"), Some(4711), None).unwrap();
        let guarded = Guarded::open(&directory).unwrap().unwrap();
        assert!(guarded.read("a", 9).unwrap_err().0.contains("uid 4711"));
    }

    #[test]
    fn only_regular_files_of_the_directory_itself_are_read() {
        let top = scratch("guarded-kinds");
        let directory = top.join("trust.d");
        fs::create_dir_all(directory.join("sub")).unwrap();
        fs::write(top.join("outside"), "x").unwrap();
        fs::write(directory.join("long"), "12345").unwrap();
        fs::write(directory.join(".hidden"), "x").unwrap();
        symlink("../outside", directory.join("link")).unwrap();
        symlink("long", directory.join("inner")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            directory.join("fifo"),
            FileType::Fifo,
            Mode::RUSR,
            0,
        )
        .unwrap();
        let guarded = Guarded::open(&directory).unwrap().unwrap();
        assert_eq!(guarded.names().unwrap(), ["fifo", "inner", "link", "long", "sub"]);
        for (name, told) in [
            ("link", "it is a symbolic link; put the file itself there"),
            ("inner", "it is a symbolic link; put the file itself there"),
            ("fifo", "it is not a regular file"),
            ("sub", "it is not a regular file"),
            ("long", "longer than 4 bytes"),
            ("../outside", "it is not a name of a file in this directory"),
            ("..", "it is not a name of a file in this directory"),
            ("", "it is not a name of a file in this directory"),
        ] {
            let why = guarded.read(name, 4).unwrap_err().0;
            assert!(why.ends_with(told), "{name}: {why}");
        }
        assert_eq!(guarded.read("long", 5).unwrap().unwrap(), b"12345");
        assert!(guarded.read("absent", 5).unwrap().is_none());
        assert!(Guarded::open(&top.join("absent")).unwrap().is_none());
        assert!(
            Guarded::open(&top.join("outside"))
                .unwrap_err()
                .0
                .ends_with("it is not a directory")
        );
    }

    /// A link to a guarded directory from a place where others may replace the link.
    #[test]
    fn the_place_of_a_link_counts() {
        let top = scratch("guarded-link");
        fs::create_dir_all(top.join("real/trust.d")).unwrap();
        fs::create_dir_all(top.join("open")).unwrap();
        symlink("../real/trust.d", top.join("open/trust.d")).unwrap();
        Guarded::open(&top.join("open/trust.d")).unwrap().unwrap();
        chmod(&top.join("open"), 0o777);
        let told = Guarded::open(&top.join("open/trust.d")).unwrap_err().0;
        assert!(told.ends_with("chmod go-w"), "{told}");
        Guarded::open(&top.join("real/trust.d")).unwrap().unwrap();
    }
}
