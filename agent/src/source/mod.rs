//! Where a state is read from: a directory of this machine, an archive, a disk.

pub mod bytes;
pub mod file_system;
