//! mtree(5) and mtree(8): the oldest list of what a file system should hold, read and written by NetBSD's and
//! FreeBSD's mtree, by libarchive (bsdtar) and by go-mtree.
//!
//! Sources: mtree(5) of libarchive, mtree(8) and vis(3) of NetBSD, and where these leave something open, what the
//! programs do. Where two of them read one text differently, [`read`] refuses it and says how to write it instead.

pub mod read;
mod vis;
pub mod write;

pub use read::Spec;
pub use write::write;
