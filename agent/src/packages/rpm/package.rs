//! A header's package and the files it declares.

use super::header::{Header, Strings};
use super::{Malformed, tag};
use crate::packages::{DeclaredFile, DeclaredKind, Package};

/// Most files of one package. The largest packages of distributions have some hundred thousand.
pub const MOST_FILES: usize = 1_000_000;

/// Longest path in bytes, as in Linux (`PATH_MAX`).
pub const LONGEST_PATH: usize = 4096;

/// The package of a header, without its signature; see [`super::signature::of`].
pub fn package(header: &Header) -> Result<Package, Malformed> {
    let required = |tag| -> Result<_, Malformed> {
        let text = header.string(tag)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| Malformed::new(format!("tag {tag} is missing")))
    };
    // rpm itself stores these words as the source of `gpg-pubkey`.
    let optional = |tag| -> Result<_, Malformed> {
        let text = header
            .string(tag)?
            .filter(|text| !text.is_empty() && *text != b"(none)");
        Ok(text.map(<[u8]>::to_vec))
    };
    let mut version = Vec::new();
    if let Some(epoch) = first(header.u32s(tag::EPOCH)?).filter(|epoch| *epoch != 0) {
        version.extend(format!("{epoch}:").into_bytes());
    }
    version.extend_from_slice(required(tag::VERSION)?);
    version.push(b'-');
    version.extend_from_slice(required(tag::RELEASE)?);
    Ok(Package {
        name: required(tag::NAME)?.to_vec(),
        version,
        // `gpg-pubkey`, a key that rpm keeps as if it were a package, has none.
        architecture: optional(tag::ARCH)?.unwrap_or_default(),
        source: optional(tag::SOURCERPM)?,
        vendor: optional(tag::VENDOR)?,
        status: None,
        automatic: None,
        held: false,
        signature: None,
    })
}

fn first<T: Copy>(numbers: Option<Vec<T>>) -> Option<T> {
    numbers?.first().copied()
}

/// Why single files could not be read in full, at most once each.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    /// Number of an algorithm of digests that is not known here; the digests are left out.
    pub digest_algorithm: Option<u32>,
}

/// The files that a package has installed, appended to `files` as those of package number `package`.
///
/// Left out are files that rpm did not install or that another package has replaced since (`FILESTATES`), as rpm's
/// own verification does not look at them either. A field is `None` where the package asks that it not be verified
/// (`%verify`), and where rpm does not verify it for that kind of file: size and digest of anything but regular
/// files, the mode of symbolic links.
///
/// On error nothing is appended: a list whose parts do not fit together has no good part.
pub fn files(header: &Header, package: usize, files: &mut Vec<DeclaredFile>) -> Result<Doubts, Malformed> {
    let start = files.len();
    append_files(header, package, files).inspect_err(|_| files.truncate(start))
}

fn append_files(header: &Header, package: usize, files: &mut Vec<DeclaredFile>) -> Result<Doubts, Malformed> {
    let mut doubts = Doubts::default();
    let Some(mut paths) = Paths::of(header)? else {
        return Ok(doubts);
    };
    let count = paths.count();
    if count > MOST_FILES {
        return Err(Malformed::new(format!(
            "{count} files are more than {MOST_FILES}"
        )));
    }
    let modes = fit(tag::FILEMODES, header.u16s(tag::FILEMODES)?, count)?;
    let sizes = fit(tag::FILESIZES, header.u32s(tag::FILESIZES)?, count)?;
    let long_sizes = fit(tag::LONGFILESIZES, header.u64s(tag::LONGFILESIZES)?, count)?;
    let flags = fit(tag::FILEFLAGS, header.u32s(tag::FILEFLAGS)?, count)?;
    let verify = fit(tag::FILEVERIFYFLAGS, header.u32s(tag::FILEVERIFYFLAGS)?, count)?;
    let states = fit(
        tag::FILESTATES,
        header.u8s(tag::FILESTATES)?.map(<[u8]>::to_vec),
        count,
    )?;
    let mut users = Column::of(header, tag::FILEUSERNAME, count)?;
    let mut groups = Column::of(header, tag::FILEGROUPNAME, count)?;
    let mut links = Column::of(header, tag::FILELINKTOS, count)?;
    let mut digests = Column::of(header, tag::FILEDIGESTS, count)?;
    let mut capabilities = Column::of(header, tag::FILECAPS, count)?;
    let algorithm = first(header.u32s(tag::FILEDIGESTALGO)?).unwrap_or(1);

    for at in 0..count {
        // All columns step together, whether or not the file is kept.
        let (path, user, group) = (paths.next()?, users.next(), groups.next());
        let (link, digest, capabilities) = (links.next(), digests.next(), capabilities.next());
        if states.as_ref().is_some_and(|states| states[at] != STATE_NORMAL) {
            continue;
        }
        let mode = modes.as_ref().map(|modes| u32::from(modes[at]));
        let kind = mode.and_then(kind);
        let size = match (&long_sizes, &sizes) {
            (Some(long), _) => Some(long[at]),
            (None, short) => short.as_ref().map(|short| u64::from(short[at])),
        };
        let flags = flags.as_ref().map_or(0, |flags| flags[at]);
        let verified = |flag: u32| verify.as_ref().is_none_or(|verify| verify[at] & flag != 0);
        let is = |wanted| kind == Some(wanted);
        let digest = match digest.filter(|_| is(DeclaredKind::File) && verified(VERIFY_DIGEST)) {
            Some(text) => labelled(algorithm, text, &mut doubts)?,
            None => None,
        };
        files.push(DeclaredFile {
            path,
            package,
            kind,
            mode: mode
                .map(|mode| mode & 0o7777)
                .filter(|_| !is(DeclaredKind::Link) && verified(VERIFY_MODE)),
            user: user.filter(|_| verified(VERIFY_USER)).map(<[u8]>::to_vec),
            group: group.filter(|_| verified(VERIFY_GROUP)).map(<[u8]>::to_vec),
            size: size.filter(|_| is(DeclaredKind::File) && verified(VERIFY_SIZE)),
            link: link
                .filter(|_| is(DeclaredKind::Link) && verified(VERIFY_LINK))
                .map(<[u8]>::to_vec),
            digest,
            capabilities: capabilities
                .filter(|_| verified(VERIFY_CAPABILITIES))
                .map(<[u8]>::to_vec),
            config: flags & FLAG_CONFIG != 0,
            ghost: flags & (FLAG_GHOST | FLAG_MISSINGOK) != 0,
        });
    }
    Ok(doubts)
}

// rpmfiles.h: `rpmfileState`, `rpmfileAttrs`.
const STATE_NORMAL: u8 = 0;
const FLAG_CONFIG: u32 = 1;
const FLAG_MISSINGOK: u32 = 1 << 3;
const FLAG_GHOST: u32 = 1 << 6;

// rpmvf.h: `rpmVerifyAttrs`.
const VERIFY_DIGEST: u32 = 1;
const VERIFY_SIZE: u32 = 1 << 1;
const VERIFY_LINK: u32 = 1 << 2;
const VERIFY_USER: u32 = 1 << 3;
const VERIFY_GROUP: u32 = 1 << 4;
const VERIFY_MODE: u32 = 1 << 6;
const VERIFY_CAPABILITIES: u32 = 1 << 8;

/// What the type bits of a mode say; `None` where there are none.
fn kind(mode: u32) -> Option<DeclaredKind> {
    match mode & 0o170_000 {
        0 => None,
        0o100_000 => Some(DeclaredKind::File),
        0o040_000 => Some(DeclaredKind::Directory),
        0o120_000 => Some(DeclaredKind::Link),
        _ => Some(DeclaredKind::Special),
    }
}

/// A digest with its label. The numbers are those of `OpenPGP`'s hash algorithms.
fn labelled(algorithm: u32, text: &[u8], doubts: &mut Doubts) -> Result<Option<String>, Malformed> {
    let (label, digits) = match algorithm {
        1 => ("md5", 32),
        2 => ("sha1", 40),
        8 => ("sha256", 64),
        9 => ("sha384", 96),
        10 => ("sha512", 128),
        unknown => {
            doubts.digest_algorithm = Some(unknown);
            return Ok(None);
        }
    };
    let text = str::from_utf8(text).unwrap_or_default();
    if text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        Ok(Some(format!("{label}:{}", text.to_ascii_lowercase())))
    } else {
        Err(Malformed::new(format!("a digest that is no {label}")))
    }
}

/// An array with one element per file, or none at all.
fn fit<T>(tag: u32, column: Option<Vec<T>>, count: usize) -> Result<Option<Vec<T>>, Malformed> {
    match column {
        Some(column) if column.len() != count => Err(misfit(tag, column.len(), count)),
        other => Ok(other),
    }
}

fn misfit(tag: u32, found: usize, count: usize) -> Malformed {
    Malformed::new(format!("tag {tag}: {found} elements for {count} files"))
}

/// An array of strings with one element per file; empty strings are `None`.
struct Column<'a>(Option<Strings<'a>>);

impl<'a> Column<'a> {
    fn of(header: &Header<'a>, tag: u32, count: usize) -> Result<Self, Malformed> {
        match header.strings(tag)? {
            Some(column) if column.len() != count => Err(misfit(tag, column.len(), count)),
            other => Ok(Self(other)),
        }
    }

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.as_mut()?.next().filter(|text| !text.is_empty())
    }
}

/// The paths of a package in order.
struct Paths<'a> {
    names: Strings<'a>,
    /// Directories by number and each file's number; `None` for whole paths, as before rpm 4.
    directories: Option<(Vec<&'a [u8]>, std::vec::IntoIter<u32>)>,
    /// Bytes that paths may still take. A short name can stand in a long directory a million times over; real
    /// packages take less than one byte of paths per byte of header.
    left: usize,
}

impl<'a> Paths<'a> {
    fn of(header: &Header<'a>) -> Result<Option<Self>, Malformed> {
        let left = header.length().saturating_mul(16);
        let Some(names) = header.strings(tag::BASENAMES)? else {
            let names = header.strings(tag::OLDFILENAMES)?;
            return Ok(names.map(|names| Self {
                names,
                directories: None,
                left,
            }));
        };
        let (Some(directories), Some(indexes)) =
            (header.strings(tag::DIRNAMES)?, header.u32s(tag::DIRINDEXES)?)
        else {
            return Err(Malformed::new("files without directories"));
        };
        if indexes.len() != names.len() {
            return Err(misfit(tag::DIRINDEXES, indexes.len(), names.len()));
        }
        Ok(Some(Self {
            names,
            directories: Some((directories.collect(), indexes.into_iter())),
            left,
        }))
    }

    fn count(&self) -> usize {
        self.names.len()
    }

    fn next(&mut self) -> Result<Vec<u8>, Malformed> {
        let short = || Malformed::new("fewer paths than files");
        let name = self.names.next().ok_or_else(short)?;
        let directory = match &mut self.directories {
            None => &b""[..],
            Some((directories, indexes)) => usize::try_from(indexes.next().ok_or_else(short)?)
                .ok()
                .and_then(|at| directories.get(at).copied())
                .ok_or_else(|| Malformed::new("a file in no directory"))?,
        };
        let length = directory.len().saturating_add(name.len());
        self.left = self
            .left
            .checked_sub(length)
            .ok_or_else(|| Malformed::new("paths out of proportion"))?;
        if length > LONGEST_PATH {
            return Err(Malformed::new(format!("a path of {length} bytes")));
        }
        let path = [directory, name].concat();
        if path.first() == Some(&b'/') {
            Ok(path)
        } else {
            Err(Malformed::new("a path that is not absolute"))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::header;
    use super::super::testing::{self, Builder, Value, hand_made};
    use super::*;

    const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

    fn read(builder: &Builder) -> Result<(Vec<DeclaredFile>, Doubts), Malformed> {
        let blob = builder.plain();
        let mut found = Vec::new();
        let doubts = files(&header::parse(&blob)?, 0, &mut found)?;
        Ok((found, doubts))
    }

    /// Regular files in `/d` with these names and nothing else.
    fn with_names(names: &[&str]) -> Builder {
        let mut builder = testing::package("demo");
        builder.add(tag::DIRNAMES, Value::Texts(&["/d/"]));
        builder
            .add(tag::DIRINDEXES, Value::Words(&vec![0; names.len()]))
            .add(tag::BASENAMES, Value::Texts(names));
        builder.add(tag::FILEMODES, Value::Shorts(&vec![0o100_644; names.len()]));
        builder
    }

    #[test]
    fn golden_package_is_read() {
        let blob = hand_made();
        let header = header::parse(&blob).unwrap();
        let expected = Package {
            name: b"demo".to_vec(),
            version: b"2:1.2-3a".to_vec(),
            architecture: b"x86_64".to_vec(),
            ..Package::default()
        };
        assert_eq!(package(&header).unwrap(), expected);

        let mut found = Vec::new();
        assert_eq!(files(&header, 7, &mut found).unwrap(), Doubts::default());
        let expected = [
            ("/opt/xyz/a", DeclaredKind::File, 0o644),
            ("/usr/lib/b", DeclaredKind::Directory, 0o755),
        ]
        .map(|(path, kind, mode)| DeclaredFile {
            path: path.into(),
            package: 7,
            kind: Some(kind),
            mode: Some(mode),
            ..DeclaredFile::default()
        });
        assert_eq!(found, expected);
    }

    #[test]
    fn epoch_of_zero_is_not_written() {
        let mut builder = testing::package("demo");
        builder.add(tag::EPOCH, Value::Words(&[0]));
        let blob = builder.plain();
        assert_eq!(package(&header::parse(&blob).unwrap()).unwrap().version, b"1.0-1");
    }

    #[test]
    fn package_without_name_is_refused() {
        let mut builder = Builder::default();
        builder
            .add(tag::VERSION, Value::Text("1"))
            .add(tag::RELEASE, Value::Text("1"));
        let blob = builder.plain();
        assert_eq!(
            package(&header::parse(&blob).unwrap()),
            Err(Malformed::new("tag 1000 is missing"))
        );
    }

    #[test]
    fn every_column_is_read() {
        let mut builder = with_names(&["a"]);
        builder
            .add(tag::FILEUSERNAME, Value::Texts(&["root"]))
            .add(tag::FILEGROUPNAME, Value::Texts(&["mail"]));
        builder.add(tag::FILEFLAGS, Value::Words(&[FLAG_CONFIG | FLAG_GHOST]));
        builder.add(tag::FILEDIGESTS, Value::Texts(&[&MD5.to_ascii_uppercase()]));
        builder
            .add(tag::LONGFILESIZES, Value::Longs(&[1 << 33]))
            .add(tag::FILECAPS, Value::Texts(&["cap_chown=p"]));
        let (found, _) = read(&builder).unwrap();
        let expected = DeclaredFile {
            path: b"/d/a".to_vec(),
            package: 0,
            kind: Some(DeclaredKind::File),
            mode: Some(0o644),
            user: Some(b"root".to_vec()),
            group: Some(b"mail".to_vec()),
            size: Some(1 << 33),
            link: None,
            digest: Some(format!("md5:{MD5}")),
            capabilities: Some(b"cap_chown=p".to_vec()),
            config: true,
            ghost: true,
        };
        assert_eq!(found, [expected]);
    }

    #[test]
    fn fields_not_to_be_verified_are_left_out() {
        let mut builder = with_names(&["none", "all", "missing"]);
        builder.add(tag::FILEVERIFYFLAGS, Value::Words(&[0, u32::MAX, !VERIFY_MODE]));
        builder.add(tag::FILEFLAGS, Value::Words(&[0, 0, FLAG_MISSINGOK]));
        builder
            .add(tag::FILEUSERNAME, Value::Texts(&["u"; 3]))
            .add(tag::FILEGROUPNAME, Value::Texts(&["g"; 3]));
        builder
            .add(tag::FILESIZES, Value::Words(&[5; 3]))
            .add(tag::FILEDIGESTS, Value::Texts(&[MD5; 3]));
        builder.add(tag::FILECAPS, Value::Texts(&["cap_chown=p"; 3]));
        let (found, _) = read(&builder).unwrap();
        let unverified = DeclaredFile {
            path: b"/d/none".to_vec(),
            kind: Some(DeclaredKind::File),
            ..DeclaredFile::default()
        };
        assert_eq!(found[0], unverified);
        let [_, all, missing] = &found[..] else {
            panic!("{found:?}")
        };
        assert!(all.mode.is_some() && all.user.is_some() && all.group.is_some() && all.size.is_some());
        assert!(all.digest.is_some() && all.capabilities.is_some() && !all.ghost);
        assert!(missing.mode.is_none() && missing.digest.is_some() && missing.ghost);
    }

    #[test]
    fn links_have_targets_and_directories_no_sizes() {
        let mut builder = with_names(&["link", "dir"]);
        builder
            .add(tag::FILELINKTOS, Value::Texts(&["../to", ""]))
            .add(tag::FILESIZES, Value::Words(&[5, 4096]));
        let blob = builder.plain();
        // The modes that `with_names` wrote become those of a link and of a directory.
        let modes = [0o100_644_u16, 0o100_644].map(u16::to_be_bytes).concat();
        let at = blob.windows(4).position(|w| w == modes).unwrap();
        let mut blob = blob;
        blob[at..at + 4].copy_from_slice(&[0o120_777_u16, 0o40_700].map(u16::to_be_bytes).concat());
        let mut found = Vec::new();
        files(&header::parse(&blob).unwrap(), 0, &mut found).unwrap();
        assert_eq!(found[0].link.as_deref(), Some(&b"../to"[..]));
        assert_eq!(
            (found[0].kind, found[0].mode, found[0].size),
            (Some(DeclaredKind::Link), None, None)
        );
        assert_eq!(
            (found[1].kind, found[1].mode),
            (Some(DeclaredKind::Directory), Some(0o700))
        );
        assert_eq!((found[1].size, &found[1].link), (None, &None));
    }

    /// Each file keeps its own columns when the one before it is left out.
    #[test]
    fn files_that_are_not_installed_are_left_out() {
        let mut builder = with_names(&["replaced", "here", "not", "net", "colour", "gone", "too"]);
        builder.add(tag::FILESTATES, Value::Chars(&[1, 0, 2, 3, 4, 255, 0]));
        builder.add(
            tag::FILEUSERNAME,
            Value::Texts(&["0", "1", "2", "3", "4", "5", "6"]),
        );
        let (found, _) = read(&builder).unwrap();
        let found: Vec<_> = found.iter().map(|f| (&f.path[..], f.user.as_deref())).collect();
        assert_eq!(
            found,
            [
                (&b"/d/here"[..], Some(&b"1"[..])),
                (&b"/d/too"[..], Some(&b"6"[..]))
            ]
        );
    }

    #[test]
    fn unknown_algorithm_is_a_doubt() {
        let mut builder = with_names(&["a"]);
        builder
            .add(tag::FILEDIGESTS, Value::Texts(&["00"]))
            .add(tag::FILEDIGESTALGO, Value::Words(&[99]));
        let (found, doubts) = read(&builder).unwrap();
        assert_eq!((&found[0].digest, doubts.digest_algorithm), (&None, Some(99)));
    }

    #[test]
    fn whole_paths_of_old_packages_are_read() {
        let mut builder = testing::package("demo");
        builder.add(tag::OLDFILENAMES, Value::Texts(&["/", "/bin/sh"]));
        let (found, _) = read(&builder).unwrap();
        let found: Vec<_> = found.iter().map(|f| &f.path[..]).collect();
        assert_eq!(found, [&b"/"[..], b"/bin/sh"]);
    }

    #[test]
    fn parts_that_do_not_fit_are_refused() {
        read(&with_names(&["a", "b"])).unwrap();
        let letters = "g".repeat(32);
        for (defect, tag, value) in [
            ("sizes", tag::FILESIZES, Value::Words(&[1])),
            ("users", tag::FILEUSERNAME, Value::Texts(&["u"; 3])),
            ("states", tag::FILESTATES, Value::Chars(&[0])),
            ("digest length", tag::FILEDIGESTS, Value::Texts(&["00", ""])),
            ("digest digits", tag::FILEDIGESTS, Value::Texts(&[&letters, ""])),
            ("type", tag::FILEFLAGS, Value::Texts(&["a", "b"])),
            ("algorithm", tag::FILEDIGESTALGO, Value::Text("1")),
        ] {
            let mut builder = with_names(&["a", "b"]);
            builder.add(tag, value);
            assert!(read(&builder).is_err(), "{defect}");
        }
        for (defect, directories, indexes) in [
            ("index", &["/d/"][..], &[1][..]),
            ("count", &["/d/"], &[0, 0]),
            ("relative", &["d/"], &[0]),
            ("long", &[&*format!("/{}/", "d".repeat(LONGEST_PATH))], &[0]),
        ] {
            let mut builder = testing::package("demo");
            builder
                .add(tag::DIRNAMES, Value::Texts(directories))
                .add(tag::DIRINDEXES, Value::Words(indexes));
            builder.add(tag::BASENAMES, Value::Texts(&["a"]));
            assert!(read(&builder).is_err(), "{defect}");
        }
        let mut builder = testing::package("demo");
        builder.add(tag::BASENAMES, Value::Texts(&["a"]));
        assert_eq!(read(&builder), Err(Malformed::new("files without directories")));
    }

    #[test]
    fn paths_out_of_proportion_are_refused() {
        let directory = format!("/{}/", "d".repeat(4000));
        let mut builder = testing::package("demo");
        builder
            .add(tag::DIRNAMES, Value::Texts(&[&directory]))
            .add(tag::DIRINDEXES, Value::Words(&[0; 100]));
        builder.add(tag::BASENAMES, Value::Texts(&["a"; 100]));
        assert_eq!(read(&builder), Err(Malformed::new("paths out of proportion")));
    }

    /// Files read before a package turned out to be broken do not stay.
    #[test]
    fn broken_package_leaves_nothing() {
        let mut builder = with_names(&["a", "b"]);
        builder.add(tag::FILEDIGESTS, Value::Texts(&["", "bad"]));
        let blob = builder.plain();
        let mut found = vec![DeclaredFile::default()];
        files(&header::parse(&blob).unwrap(), 0, &mut found).unwrap_err();
        assert_eq!(found, [DeclaredFile::default()]);
    }

    proptest! {
        #[test]
        fn mutated_package_ends(at: prop::sample::Index, byte: u8) {
            let mut builder = with_names(&["a", "b"]);
            builder.add(tag::FILEDIGESTS, Value::Texts(&[MD5, ""])).add(tag::FILESTATES, Value::Chars(&[0, 1]));
            builder.add(tag::FILEFLAGS, Value::Words(&[1, 64])).add(tag::LONGFILESIZES, Value::Longs(&[1, 2]));
            let mut blob = builder.plain();
            let at = at.index(blob.len());
            blob[at] = byte;
            if let Ok(header) = header::parse(&blob) {
                package(&header).ok();
                let mut found = Vec::new();
                files(&header, 0, &mut found).ok();
                prop_assert!(found.len() <= 2);
            }
        }
    }
}
