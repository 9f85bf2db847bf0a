//! What a member of a tar archive says.

/// One member of a tar archive, its extension headers applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The path, relative to the archive's root: components joined by one `/`, without `.` and empty ones. Empty for
    /// the root itself (`./`). A member whose path has `..` is refused before it comes this far; a leading `/` is
    /// dropped, as every extractor does.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: MemberKind,
    /// Permission bits with setuid, setgid and sticky.
    pub permissions: u16,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bytes of content, holes of a sparse file included; 0 but for a regular file.
    pub size: u64,
    /// Whole seconds since 1970, UTC, rounded down.
    pub mtime: i64,
    /// Extended attributes, sorted by name: full names, values as the kernel has them.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// `SCHILY.acl.access`: an access control list as text. The names in it are resolved by whoever knows the image's
    /// accounts. Where it has a mask, that takes the place of the group's permission bits, which bsdtar does not write
    /// into the mode. GNU tar may write it a second time, as an extended attribute; also where it has nothing beyond the
    /// permission bits.
    pub acl: Option<Vec<u8>>,
    /// `SCHILY.acl.default`.
    pub default_acl: Option<Vec<u8>>,
    /// `chattr +i`, as `SCHILY.fflags` tells it; no other extension does.
    pub immutable: bool,
    /// `chattr +a`, likewise.
    pub append_only: bool,
}

/// Types of members.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberKind {
    /// A regular file; its content follows.
    File,
    /// A further name of an earlier member: that one's path, spelled like [`Member::path`].
    HardLink(Vec<u8>),
    /// A symbolic link: its target as it stands.
    Link(Vec<u8>),
    /// A directory.
    Directory,
    /// Major and minor number.
    CharDevice(u32, u32),
    /// Major and minor number.
    BlockDevice(u32, u32),
    /// A FIFO.
    Fifo,
}
