//! Extended attributes.

use std::os::fd::AsFd;

use rustix::io::Errno;

/// Room for the names of one file's attributes; the kernel's own limit (`XATTR_LIST_MAX`).
const LIST: usize = 64 << 10;
/// Room for one value; the kernel's own limit (`XATTR_SIZE_MAX`).
const VALUE: usize = 64 << 10;

/// Reads extended attributes with buffers that are used again and again.
#[derive(Debug)]
pub struct Xattrs {
    names: Vec<u8>,
    value: Vec<u8>,
}

impl Default for Xattrs {
    fn default() -> Self {
        Self {
            names: vec![0; 1024],
            value: Vec::new(),
        }
    }
}

impl Xattrs {
    /// Calls `each` with the name and value of every extended attribute of an open file. File systems without
    /// extended attributes have none.
    pub fn of_open(
        &mut self,
        fd: impl AsFd,
        mut each: impl FnMut(&[u8], Result<&[u8], Errno>),
    ) -> Result<(), Errno> {
        let fd = fd.as_fd();
        let Some(length) = list(&mut self.names, |names| rustix::fs::flistxattr(fd, names))? else {
            return Ok(());
        };
        visit(
            &self.names[..length],
            &mut self.value,
            |name, value| rustix::fs::fgetxattr(fd, name, value),
            &mut each,
        );
        Ok(())
    }

    /// The same for something that is not open for reading: a link, a device, a file without permission.
    pub fn of_handle(
        &mut self,
        handle: &super::Handle,
        mut each: impl FnMut(&[u8], Result<&[u8], Errno>),
    ) -> Result<(), Errno> {
        // A handle cannot be asked itself; the path through /proc leads to the same inode, and to the link
        // itself if the handle holds a link.
        let path = handle.proc_path();
        let path = path.as_str();
        let Some(length) = list(&mut self.names, |names| rustix::fs::listxattr(path, names))? else {
            return Ok(());
        };
        visit(
            &self.names[..length],
            &mut self.value,
            |name, value| rustix::fs::getxattr(path, name, value),
            &mut each,
        );
        Ok(())
    }
}

/// Lists names into the buffer, which grows when it must; `None` if there are none.
fn list(
    names: &mut Vec<u8>,
    mut call: impl FnMut(&mut [u8]) -> Result<usize, Errno>,
) -> Result<Option<usize>, Errno> {
    loop {
        match call(names) {
            Ok(0) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(None),
            Ok(length) => return Ok(Some(length)),
            Err(Errno::RANGE) if names.len() < LIST => names.resize(LIST, 0),
            Err(why) => return Err(why),
        }
    }
}

fn visit(
    names: &[u8],
    value: &mut Vec<u8>,
    mut get: impl FnMut(&[u8], &mut [u8]) -> Result<usize, Errno>,
    each: &mut impl FnMut(&[u8], Result<&[u8], Errno>),
) {
    value.resize(VALUE, 0);
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        match get(name, value) {
            Ok(length) => each(name, Ok(&value[..length])),
            // Removed since it was listed.
            Err(Errno::NODATA) => {}
            Err(why) => each(name, Err(why)),
        }
    }
}
