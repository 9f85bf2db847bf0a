//! Files that appear under their name only when they are complete and on disk.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::host;
use crate::sys::Kind;

/// Where what memory does not hold may go. Not `/tmp`: it is often memory.
const TEMPORARY: [&str; 3] = ["/var/lib/driftcheck", "/var/tmp", "/dev/shm"];

/// A file without a name, which vanishes with this process; below `$TMPDIR` if that is set.
pub fn temporary() -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    let chosen = std::env::var_os("TMPDIR").map(PathBuf::from);
    let places = TEMPORARY.map(PathBuf::from);
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for directory in chosen.into_iter().chain(places) {
        match rustix::fs::open(&directory, flags, Mode::RUSR | Mode::WUSR) {
            Ok(fd) => return Ok(File::from(fd)),
            Err(why) => {
                let why = crate::sys::explain(why);
                last = io::Error::other(format!("{}: {why}", directory.display()));
            }
        }
    }
    Err(last)
}

/// Standard output, or a file that is named when it is complete.
pub enum Output {
    /// Standard output.
    Standard(io::Stdout),
    /// A file.
    File {
        /// What is written to.
        file: BufWriter<File>,
        /// Where the file is meanwhile; `None` if it has no name yet, and vanishes by itself.
        partial: Option<PathBuf>,
        /// Its name when it is complete.
        path: PathBuf,
    },
}

/// The name of a file that is not complete yet: beside the target, so that the rename is one step.
pub(crate) fn partial_name(path: &[u8]) -> Vec<u8> {
    let name_at = path
        .iter()
        .rposition(|byte| *byte == b'/')
        .map_or(0, |slash| slash + 1);
    let (directory, name) = path.split_at(name_at);
    [
        directory,
        b".",
        name,
        format!(".{}.partial", std::process::id()).as_bytes(),
    ]
    .concat()
}

/// The directory that holds a file of this name.
fn directory_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

impl Output {
    /// Begins a file at `path` of this machine, or standard output if that is `-`.
    pub fn create(path: &[u8]) -> io::Result<Self> {
        if path == b"-" {
            return Ok(Self::Standard(io::stdout()));
        }
        // What is replaced must be a file: never a device, and of a link the file that it leads to.
        // Asked of what is there, not of where its name leads: `/dev/stdout` may lead to a pipe, which has no path.
        let target = match rustix::fs::stat(path).map(|stat| Kind::of_mode(stat.st_mode)) {
            Ok(Kind::File) => fs::canonicalize(host::as_path(path))?,
            Ok(Kind::Directory) => return Err(io::Error::other("it is a directory; name a file")),
            Ok(_) => {
                return Err(io::Error::other(
                    "it is not a regular file; write to `-` and redirect",
                ));
            }
            Err(Errno::NOENT) if rustix::fs::lstat(path).is_ok() => {
                return Err(io::Error::other("it is a link that leads to nothing"));
            }
            Err(Errno::NOENT) => host::as_path(path).to_path_buf(),
            Err(why) => return Err(why.into()),
        };
        if target.file_name().is_none() {
            return Err(io::Error::other("it names no file"));
        }
        let (file, partial) = Self::nameless(&target).or_else(|_| Self::named(&target))?;
        Ok(Self::File {
            file: BufWriter::with_capacity(128 << 10, file),
            partial,
            path: target,
        })
    }

    /// A file without a name: nothing stays behind, however this process ends. Not every file system has them. Only
    /// the owner may read it: a baseline says which passwords age how, and who may do what.
    fn nameless(target: &Path) -> io::Result<(File, Option<PathBuf>)> {
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        let fd = rustix::fs::open(directory_of(target), flags, Mode::RUSR | Mode::WUSR)?;
        Ok((File::from(fd), None))
    }

    fn named(target: &Path) -> io::Result<(File, Option<PathBuf>)> {
        use std::os::unix::fs::OpenOptionsExt as _;
        let partial = host::as_path(&partial_name(target.as_os_str().as_encoded_bytes())).to_path_buf();
        let file = File::options()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&partial)?;
        Ok((file, Some(partial)))
    }

    /// Puts the file on disk and gives it its name, and the mode of the file that it replaces.
    pub fn commit(mut self) -> io::Result<()> {
        use std::os::fd::AsRawFd as _;
        match &mut self {
            Self::Standard(out) => out.flush(),
            Self::File { file, partial, path } => {
                file.flush()?;
                let file = file.get_ref();
                if let Ok(replaced) = File::open(&*path).and_then(|replaced| replaced.metadata()) {
                    file.set_permissions(replaced.permissions())?;
                }
                file.sync_all()?;
                if partial.is_none() {
                    let name =
                        host::as_path(&partial_name(path.as_os_str().as_encoded_bytes())).to_path_buf();
                    let own = format!("/proc/self/fd/{}", file.as_raw_fd());
                    let cwd = rustix::fs::CWD;
                    rustix::fs::linkat(cwd, own, cwd, &name, rustix::fs::AtFlags::SYMLINK_FOLLOW)?;
                    *partial = Some(name);
                }
                if let Some(name) = &*partial {
                    fs::rename(name, &*path)?;
                }
                *partial = None;
                File::open(directory_of(path))?.sync_all()
            }
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Standard(out) => out.write(bytes),
            Self::File { file, .. } => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Standard(out) => out.flush(),
            Self::File { file, .. } => file.flush(),
        }
    }
}

impl Drop for Output {
    /// An incomplete file does not stay.
    fn drop(&mut self) {
        if let Self::File {
            partial: Some(partial),
            ..
        } = self
        {
            fs::remove_file(partial).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_regular_files_are_replaced() {
        let directory = std::env::temp_dir().join(format!("driftcheck-output-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (reader, _writer) = io::pipe().unwrap();
        let pipe = {
            use std::os::fd::AsRawFd as _;
            format!("/proc/self/fd/{}", reader.as_raw_fd())
        };
        for (name, target) in [
            ("pipe", &pipe[..]),
            ("nothing", "none"),
            ("null", "/dev/null"),
            ("directory", "."),
        ] {
            let link = directory.join(name);
            symlink(target, &link).unwrap();
            assert!(
                Output::create(link.as_os_str().as_encoded_bytes()).is_err(),
                "{name}"
            );
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "{name}");
        }
        fs::write(directory.join("file"), "old").unwrap();
        symlink("file", directory.join("link")).unwrap();
        for (name, into) in [("link", "file"), ("new", "new")] {
            let mut output = Output::create(directory.join(name).as_os_str().as_encoded_bytes()).unwrap();
            output.write_all(b"new").unwrap();
            output.commit().unwrap();
            assert_eq!(fs::read(directory.join(into)).unwrap(), b"new");
        }
        assert!(fs::symlink_metadata(directory.join("link")).unwrap().is_symlink());
        fs::remove_dir_all(directory).unwrap();
    }
}
