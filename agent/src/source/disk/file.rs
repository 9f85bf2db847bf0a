//! The file or block device that holds a disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;

use crate::source::bytes::{Bytes, FileBytes, ReadAt};
use crate::source::file_system::Fault;

/// Opens a regular file or a block device for reading. Links are followed: the operator chose the path.
///
/// A block device that is in use (mounted, or part of what is) is refused: what is read of it piece by piece
/// was never there as a whole.
pub fn open(path: &Path) -> Result<Bytes, Fault> {
    let file = open_file(path)?;
    let bytes: io::Result<Bytes> = if is_block_device(&file).map_err(|why| place(path, &why))? {
        DeviceBytes::new(file).map(|bytes| Arc::new(bytes) as Bytes)
    } else {
        FileBytes::new(file).map(|bytes| Arc::new(bytes) as Bytes)
    };
    bytes.map_err(|why| place(path, &why))
}

/// As [`open`], but only the open file.
pub fn open_file(path: &Path) -> Result<File, Fault> {
    // A FIFO would wait for its writer, and a terminal would become ours.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let open = |flags: OFlags| {
        let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
        OpenOptions::new().read(true).custom_flags(flags).open(path)
    };
    let file = open(flags).map_err(|why| place(path, &why))?;
    let kind = file.metadata().map_err(|why| place(path, &why))?.file_type();
    if kind.is_file() {
        return Ok(file);
    }
    if !kind.is_block_device() {
        let why = "it is neither a regular file nor a block device";
        return Err(Fault::new(format!("{}: {why}", path.display())));
    }
    // Only asks whether nobody has it: held, it could not be opened a second time, by us or by a loop device.
    match open(flags | OFlags::EXCL) {
        Ok(_) => Ok(file),
        Err(why) if why.kind() == io::ErrorKind::ResourceBusy => Err(Fault::new(format!(
            "{}: the device is in use: unmount it, or take the directory where it is mounted",
            path.display()
        ))),
        Err(why) => Err(place(path, &why)),
    }
}

fn is_block_device(file: &File) -> io::Result<bool> {
    Ok(file.metadata()?.file_type().is_block_device())
}

fn place(path: &Path, why: &io::Error) -> Fault {
    let text = why.to_string();
    let why = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
    Fault::new(format!("{}: {why}", path.display()))
}

/// A block device.
#[derive(Debug)]
struct DeviceBytes {
    file: File,
    size: u64,
}

impl DeviceBytes {
    fn new(mut file: File) -> io::Result<Self> {
        // Its inode says 0; where it ends, the kernel tells.
        let size = file.seek(SeekFrom::End(0))?;
        file.rewind()?;
        Ok(Self { file, size })
    }
}

impl ReadAt for DeviceBytes {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_a_size_is_opened() {
        let fifo = std::env::temp_dir().join(format!("driftcheck-disk-file-{}", std::process::id()));
        rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, rustix::fs::Mode::RUSR).unwrap();
        for path in [&fifo, Path::new("/dev/zero"), Path::new("/")] {
            let why = open(path).err().unwrap().0;
            assert!(
                why.ends_with("neither a regular file nor a block device"),
                "{why}"
            );
        }
        std::fs::remove_file(fifo).unwrap();
        let why = open(Path::new("/nowhere/disk")).err().unwrap();
        assert_eq!(why.0, "/nowhere/disk: no such file or directory");
        let whole = open(Path::new("/proc/self/exe")).unwrap();
        let mut magic = [0; 4];
        whole.read_exact_at(&mut magic, 0).unwrap();
        assert_eq!(&magic, b"\x7fELF");
    }
}
