//! `desc` and `files`: blocks of a line `%KEY%` and the values below it, ended by an empty line.

use std::collections::BTreeMap;

use super::super::Package;
use super::super::lines::{Faults, hex_digest, lines, path_fault};

/// What a `desc` says.
#[derive(Debug, Default)]
pub struct Desc {
    /// The package; its name is empty if there was none.
    pub package: Package,
    /// What could not be understood.
    pub faults: Faults,
}

/// Parses a `desc`. Never fails: what is malformed is in the faults.
#[must_use]
pub fn parse_desc(bytes: &[u8]) -> Desc {
    let mut desc = Desc::default();
    let mut reason = None;
    let mut validation: Vec<&[u8]> = Vec::new();
    each_value(
        bytes,
        &mut desc.faults,
        |key, value, package: &mut Package| {
            let field = match key {
                b"NAME" => &mut package.name,
                b"VERSION" => &mut package.version,
                b"ARCH" => &mut package.architecture,
                b"BASE" => package.source.get_or_insert_default(),
                b"PACKAGER" => package.vendor.get_or_insert_default(),
                b"REASON" => reason.get_or_insert_default(),
                b"VALIDATION" => {
                    validation.push(value);
                    return Ok(());
                }
                _ => return Ok(()),
            };
            if !field.is_empty() {
                return Err("second value");
            }
            *field = value.to_vec();
            Ok(())
        },
        &mut desc.package,
    );
    // Without a reason the package was asked for.
    desc.package.automatic = match reason.as_deref() {
        None | Some(b"0") => Some(false),
        Some(b"1") => Some(true),
        Some(_) => None,
    };
    if desc.package.automatic.is_none() {
        desc.faults.push(1, "%REASON% is neither 0 nor 1");
    }
    if !validation.is_empty() {
        validation.sort_unstable();
        desc.package.signature = Some(validation.join(&b' '));
    }
    if desc.package.version.is_empty() {
        desc.faults.push(1, "no %VERSION%");
    }
    desc
}

/// What a `files` says.
#[derive(Debug, Default)]
pub struct Files {
    /// Absolute paths, and whether each is one of a directory, in file order.
    pub paths: Vec<(Vec<u8>, bool)>,
    /// Configuration files by absolute path, with the digest of the content that the package brought.
    pub backup: BTreeMap<Vec<u8>, Option<String>>,
    /// What could not be understood.
    pub faults: Faults,
}

/// Parses a `files`. Never fails: what is malformed is in the faults.
#[must_use]
pub fn parse_files(bytes: &[u8]) -> Files {
    let mut files = Files::default();
    let mut found = (Vec::new(), BTreeMap::new());
    each_value(
        bytes,
        &mut files.faults,
        |key, value, (paths, backup): &mut (Vec<_>, BTreeMap<_, _>)| {
            match key {
                b"FILES" => {
                    let (name, is_directory) = value
                        .strip_suffix(b"/")
                        .map_or((value, false), |name| (name, true));
                    paths.push((absolute(name)?, is_directory));
                }
                b"BACKUP" => {
                    let tab = value
                        .iter()
                        .rposition(|byte| *byte == b'\t')
                        .ok_or("backup without a digest")?;
                    // pacman writes (null) where it could not compute one.
                    let digest = match &value[tab + 1..] {
                        b"(null)" => None,
                        digest => Some(hex_digest("md5", digest, 32).ok_or("backup's digest is not an MD5")?),
                    };
                    backup.insert(absolute(&value[..tab])?, digest);
                }
                _ => {}
            }
            Ok(())
        },
        &mut found,
    );
    (files.paths, files.backup) = found;
    files
}

fn absolute(name: &[u8]) -> Result<Vec<u8>, &'static str> {
    if name.is_empty() || name[0] == b'/' {
        return Err("path is not relative to the root");
    }
    let path = [b"/", name].concat();
    path_fault(&path).map_or(Ok(path), Err)
}

/// Feeds each value with its key to `take`; what it refuses becomes a fault.
fn each_value<'a, T>(
    bytes: &'a [u8],
    faults: &mut Faults,
    mut take: impl FnMut(&'a [u8], &'a [u8], &mut T) -> Result<(), &'static str>,
    into: &mut T,
) {
    let mut key: Option<&[u8]> = None;
    for line in lines(bytes) {
        let taken = match (line.fault(), line.bytes, key) {
            (Some(why), ..) => Err(why),
            (_, b"", _) => {
                key = None;
                Ok(())
            }
            (_, value, Some(key)) => take(key, value, into),
            (_, [b'%', name @ .., b'%'], None) if !name.is_empty() => {
                key = Some(name);
                Ok(())
            }
            _ => Err("neither a key nor a value"),
        };
        if let Err(why) = taken {
            faults.push(line.number, why);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn faulty(faults: &Faults) -> Vec<usize> {
        faults.iter().map(|fault| fault.line).collect()
    }

    #[test]
    fn a_package_with_all_that_is_compared() {
        let desc = parse_desc(
            b"%NAME%\nzlib\n\n%VERSION%\n1:1.3.1-2\n\n%BASE%\nzlib\n\n%ARCH%\nx86_64\n\n%PACKAGER%\nA <a@b>\n\n\
              %REASON%\n1\n\n%LICENSE%\nZlib\n\n%VALIDATION%\nsha256\npgp\n\n%DEPENDS%\nglibc\n\n",
        );
        assert!(desc.faults.is_empty());
        let expected = Package {
            name: b"zlib".into(),
            version: b"1:1.3.1-2".into(),
            architecture: b"x86_64".into(),
            source: Some(b"zlib".into()),
            vendor: Some(b"A <a@b>".into()),
            automatic: Some(true),
            signature: Some(b"pgp sha256".into()),
            ..Package::default()
        };
        assert_eq!(desc.package, expected);
    }

    #[test]
    fn what_is_wrong_is_named_by_line() {
        let desc = parse_desc(b"stray\n%NAME%\na\nb\n\n%REASON%\n2\n\n%ARCH%\nx\0\n");
        assert_eq!(faulty(&desc.faults), [1, 4, 10, 1, 1]);
        assert_eq!(desc.package.automatic, None);
        let files = parse_files(
            b"%FILES%\netc/\netc/a b\n/abs\na/../b\n\n%BACKUP%\netc/x\netc/a b\tff\netc/n\t(null)\n",
        );
        assert_eq!(
            files.paths,
            [(b"/etc".to_vec(), true), (b"/etc/a b".to_vec(), false)]
        );
        assert_eq!(files.backup, BTreeMap::from([(b"/etc/n".to_vec(), None)]));
        assert_eq!(faulty(&files.faults), [4, 5, 8, 9]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed(bytes: Vec<u8>) {
            prop_assert!(parse_desc(&bytes).package.version.len() <= bytes.len());
            prop_assert!(parse_files(&bytes).paths.len() <= bytes.len());
        }

        #[test]
        fn any_near_miss_is_parsed(text in "(%(NAME|VERSION|REASON|FILES|BACKUP)?%\n([a-z./]{0,3}\t?[0-9a-f]{0,32}\n){0,2}\n?){0,6}") {
            prop_assert!(parse_desc(text.as_bytes()).package.version.len() <= text.len());
            prop_assert!(parse_files(text.as_bytes()).paths.len() <= text.len());
        }
    }
}
