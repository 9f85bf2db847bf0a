//! Types of files.

/// Types of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    BlockDevice,
    CharDevice,
    Directory,
    Fifo,
    File,
    Link,
    Socket,
    Unknown,
}

impl Kind {
    /// The type in the bits of an `st_mode`.
    #[must_use]
    pub const fn of_mode(mode: u32) -> Self {
        match mode & 0o170_000 {
            0o100_000 => Self::File,
            0o040_000 => Self::Directory,
            0o120_000 => Self::Link,
            0o060_000 => Self::BlockDevice,
            0o020_000 => Self::CharDevice,
            0o010_000 => Self::Fifo,
            0o140_000 => Self::Socket,
            _ => Self::Unknown,
        }
    }

    /// The bits of an `st_mode` that say this type; 0 for an unknown one.
    #[must_use]
    pub const fn mode_bits(self) -> u32 {
        match self {
            Self::File => 0o100_000,
            Self::Directory => 0o040_000,
            Self::Link => 0o120_000,
            Self::BlockDevice => 0o060_000,
            Self::CharDevice => 0o020_000,
            Self::Fifo => 0o010_000,
            Self::Socket => 0o140_000,
            Self::Unknown => 0,
        }
    }

    /// The word in the `type` attribute.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BlockDevice => "block-device",
            Self::CharDevice => "char-device",
            Self::Directory => "directory",
            Self::Fifo => "fifo",
            Self::File => "file",
            Self::Link => "symlink",
            Self::Socket => "socket",
            Self::Unknown => "unknown",
        }
    }
}
