//! Package databases, read from files below a root without any package manager.
//!
//! Each ecosystem has one file (or folder) that turns its database into [`Installed`]: packages for the
//! `packages` section, and declared files for the audit against the vendor (`--baseline vendor`).

pub mod alternatives;
pub mod apk;
pub mod dpkg;
pub mod lines;
pub mod pacman;
pub mod version;

use crate::tree::{Tree, TreeError};

pub mod rpm;

/// The package managers that driftcheck reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ecosystem {
    /// Alpine.
    Apk,
    /// Debian, Ubuntu.
    Deb,
    /// Arch.
    Pacman,
    /// Fedora, RHEL, SUSE.
    Rpm,
}

impl Ecosystem {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Apk, Self::Deb, Self::Pacman, Self::Rpm];

    /// The first component of the ecosystem's keys in the `packages` section.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Apk => "apk",
            Self::Deb => "deb",
            Self::Pacman => "pacman",
            Self::Rpm => "rpm",
        }
    }
}

/// One installed package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Package {
    /// Name without version and architecture.
    pub name: Vec<u8>,
    /// Version as the ecosystem writes it, with epoch and release: `1:2.3-4`.
    pub version: Vec<u8>,
    /// Architecture as the ecosystem writes it.
    pub architecture: Vec<u8>,
    /// Source package, where it is recorded.
    pub source: Option<Vec<u8>>,
    /// Vendor, packager or maintainer, where it is recorded.
    pub vendor: Option<Vec<u8>>,
    /// State in words where it is not simply installed, e.g. `config-files`, `half-configured`.
    pub status: Option<Vec<u8>>,
    /// Whether it was installed as a dependency; `None` where that is not recorded.
    pub automatic: Option<bool>,
    /// Whether it is held at its version.
    pub held: bool,
    /// Who signed it, where it is recorded: e.g. `rsa/sha256 key 199e2f91fd431d51`.
    pub signature: Option<Vec<u8>>,
}

/// One file that a package says it installed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeclaredFile {
    /// Absolute path as the package names it, before usr-merge and diversions.
    pub path: Vec<u8>,
    /// Index of the package in [`Installed::packages`].
    pub package: usize,
    /// What it is; `None` where the database does not say (dpkg).
    pub kind: Option<DeclaredKind>,
    /// Permission bits without the type.
    pub mode: Option<u32>,
    /// Owner's name.
    pub user: Option<Vec<u8>>,
    /// Group's name.
    pub group: Option<Vec<u8>>,
    /// Bytes.
    pub size: Option<u64>,
    /// Target of a symbolic link.
    pub link: Option<Vec<u8>>,
    /// Digest of the content with its label: `md5:...`, `sha1:...`, `sha256:...`, `sha512:...`.
    pub digest: Option<String>,
    /// File capabilities as text, e.g. `cap_net_raw=ep`.
    pub capabilities: Option<Vec<u8>>,
    /// A configuration file: the administrator may change it.
    pub config: bool,
    /// The package owns the path but did not install it (rpm `%ghost`), or may lack it (`missingok`); its
    /// absence is no drift and nothing of it is compared.
    pub ghost: bool,
}

/// What a package says a path is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeclaredKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Link,
    /// A device, FIFO or socket.
    Special,
}

/// What one package manager has installed.
#[derive(Debug, Default)]
pub struct Installed {
    /// The packages, in database order.
    pub packages: Vec<Package>,
    /// Declared files, in database order; only filled when asked for.
    pub files: Vec<DeclaredFile>,
    /// Paths that the package manager itself has moved or replaced (dpkg-divert): from, to, and by which package
    /// (`None` for a local diversion). The diverting package keeps `from`.
    pub diversions: Vec<Diversion>,
    /// Owner and mode set by the administrator through the package manager (dpkg-statoverride).
    pub overrides: Vec<Override>,
    /// What could not be read or understood: the key it concerns (`deb/NAME:ARCH`, or just `deb`) and why.
    pub trouble: Vec<(Vec<u8>, String)>,
}

/// A `dpkg-divert` entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diversion {
    /// Where packages other than `by` say their file is.
    pub from: Vec<u8>,
    /// Where it really is.
    pub to: Vec<u8>,
    /// The package whose own file is at `from`; `None` for a local diversion.
    pub by: Option<Vec<u8>>,
}

/// A `dpkg-statoverride` entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// Path.
    pub path: Vec<u8>,
    /// Owner, by name or `#` and number.
    pub user: Vec<u8>,
    /// Group, by name or `#` and number.
    pub group: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

/// Whether declared files are wanted too; they are by far the larger part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Packages only.
    Packages,
    /// Packages and their declared files.
    PackagesAndFiles,
}

/// One package manager's reader.
pub type Reader = fn(&dyn Tree, Wanted) -> Result<Option<Installed>, TreeError>;

/// Who reads which database. To add one: its line here.
pub const READERS: &[(Ecosystem, Reader)] = &[
    (Ecosystem::Apk, apk::read),
    (Ecosystem::Deb, dpkg::read),
    (Ecosystem::Pacman, pacman::read),
    (Ecosystem::Rpm, rpm::read),
];

/// The order of two versions of the package with this key of the `packages` section; `None` if the key is not a
/// package's.
#[must_use]
pub fn order(key: &str, left: &[u8], right: &[u8]) -> Option<std::cmp::Ordering> {
    let ecosystem = Ecosystem::ALL
        .into_iter()
        .find(|ecosystem| Some(ecosystem.name()) == key.split('/').next())?;
    Some(version::compare(ecosystem, left, right))
}
