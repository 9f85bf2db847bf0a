//! `mtree`: what each file of a package was like when it was packed. See mtree(5).

use std::collections::BTreeMap;
use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::super::lines::{Faults, decimal, hex_digest, lines, octal, path_fault};
use super::super::{DeclaredFile, DeclaredKind};

/// What an `mtree` says.
#[derive(Debug, Default)]
pub struct Mtree {
    /// Files by absolute path. The path in the value is empty, and its package is not known.
    pub entries: BTreeMap<Vec<u8>, DeclaredFile>,
    /// What could not be understood.
    pub faults: Faults,
}

/// Decompresses what is at most `limit` bytes long; the error is a lower-case fragment.
pub fn gunzip(bytes: &[u8], limit: u64) -> Result<Vec<u8>, String> {
    let mut text = Vec::new();
    let mut decoder = MultiGzDecoder::new(bytes).take(limit + 1);
    decoder
        .read_to_end(&mut text)
        .map_err(|why| format!("not sound gzip: {why}"))?;
    if text.len() as u64 > limit {
        return Err(format!("longer than {limit} bytes without its compression"));
    }
    Ok(text)
}

/// Parses an `mtree` without its compression. Never fails: what is malformed is in the faults.
#[must_use]
pub fn parse_mtree(bytes: &[u8]) -> Mtree {
    let mut mtree = Mtree::default();
    let mut defaults = DeclaredFile::default();
    for line in lines(bytes) {
        let taken = line.fault().map_or(Ok(()), Err).and_then(|()| {
            let mut words = line
                .bytes
                .split(|byte| *byte == b' ')
                .filter(|word| !word.is_empty());
            let Some(first) = words.next() else { return Ok(()) };
            match first {
                b"/set" => words.try_for_each(|word| apply(word, &mut defaults)),
                b"/unset" => {
                    words.for_each(|word| forget(word, &mut defaults));
                    Ok(())
                }
                comment if comment[0] == b'#' => Ok(()),
                name => {
                    let path = absolute(name)?;
                    let mut file = defaults.clone();
                    words.try_for_each(|word| apply(word, &mut file))?;
                    mtree.entries.insert(path, file);
                    Ok(())
                }
            }
        });
        if let Err(why) = taken {
            mtree.faults.push(line.number, why);
        }
    }
    mtree
}

/// Takes over one `KEYWORD=VALUE`.
fn apply(word: &[u8], file: &mut DeclaredFile) -> Result<(), &'static str> {
    let (keyword, value) = match word.iter().position(|byte| *byte == b'=') {
        Some(at) => (&word[..at], &word[at + 1..]),
        None => (word, &b""[..]),
    };
    let number = || {
        decimal(value)
            .map(|_| value.to_vec())
            .ok_or("owner is not a number")
    };
    match keyword {
        b"md5" | b"md5digest" => take_digest("md5", 32, value, file)?,
        b"sha1" | b"sha1digest" => take_digest("sha1", 40, value, file)?,
        b"sha256" | b"sha256digest" => take_digest("sha256", 64, value, file)?,
        b"sha512" | b"sha512digest" => take_digest("sha512", 128, value, file)?,
        b"type" => file.kind = Some(kind(value)?),
        b"mode" => {
            let mode = octal(value).filter(|mode| *mode <= 0o7777);
            file.mode = Some(mode.ok_or("mode is not octal permission bits")?);
        }
        b"uid" => file.user = Some(number()?),
        b"gid" => file.group = Some(number()?),
        b"size" => file.size = Some(decimal(value).ok_or("size is not a number")?),
        b"link" => file.link = Some(unescaped(value)?),
        // Times and the like are not compared.
        _ => {}
    }
    Ok(())
}

/// A file may have several digests; the strongest counts.
fn take_digest(
    label: &str,
    digits: usize,
    value: &[u8],
    file: &mut DeclaredFile,
) -> Result<(), &'static str> {
    let digest = hex_digest(label, value, digits).ok_or("not a digest")?;
    if file
        .digest
        .as_deref()
        .is_none_or(|known| rank_of(known) < rank_of(&digest))
    {
        file.digest = Some(digest);
    }
    Ok(())
}

fn rank_of(digest: &str) -> usize {
    ["md5:", "sha1:", "sha256:", "sha512:"]
        .iter()
        .position(|label| digest.starts_with(label))
        .unwrap_or(0)
}

fn forget(keyword: &[u8], file: &mut DeclaredFile) {
    match keyword {
        b"all" => *file = DeclaredFile::default(),
        b"type" => file.kind = None,
        b"mode" => file.mode = None,
        b"uid" => file.user = None,
        b"gid" => file.group = None,
        _ => {}
    }
}

fn kind(value: &[u8]) -> Result<DeclaredKind, &'static str> {
    match value {
        b"file" => Ok(DeclaredKind::File),
        b"dir" => Ok(DeclaredKind::Directory),
        b"link" => Ok(DeclaredKind::Link),
        b"block" | b"char" | b"fifo" | b"socket" => Ok(DeclaredKind::Special),
        _ => Err("unknown type"),
    }
}

fn absolute(name: &[u8]) -> Result<Vec<u8>, &'static str> {
    let name = unescaped(name)?;
    let relative = match &name[..] {
        b"." => &b""[..],
        [b'.', b'/', rest @ ..] => rest,
        _ => return Err("name is not relative to the root"),
    };
    let path = [b"/", relative].concat();
    path_fault(&path).map_or(Ok(path), Err)
}

/// Undoes the escapes of vis(3) that libarchive writes: a backslash and three octal digits.
fn unescaped(text: &[u8]) -> Result<Vec<u8>, &'static str> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'\\' {
            plain.push(first);
            rest = tail;
            continue;
        }
        if let Some(tail) = tail.strip_prefix(b"\\") {
            plain.push(b'\\');
            rest = tail;
            continue;
        }
        let (digits, tail) = tail.split_at_checked(3).ok_or("unknown escape")?;
        let byte = octal(digits).and_then(|byte| u8::try_from(byte).ok());
        plain.push(byte.filter(|byte| *byte != 0).ok_or("unknown escape")?);
        rest = tail;
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn entries_inherit_what_was_set() {
        let sha = "a".repeat(64);
        let md5 = "b".repeat(32);
        let text = format!(
            "#mtree\n/set type=file uid=0 gid=0 mode=644\n./.PKGINFO time=1.0 size=9 sha256digest={sha}\n\
             ./usr time=1.0 mode=755 type=dir\n./usr/a\\040b time=1.0 size=7 sha256digest={sha} md5digest={md5}\n\
             ./usr/l time=1.0 mode=777 type=link link=a\\040b\n/unset mode\n./usr/s uid=5 type=fifo\n"
        );
        let Mtree { entries, faults } = parse_mtree(text.as_bytes());
        assert!(faults.is_empty(), "{faults:?}");
        let file = &entries[&b"/usr/a b"[..]];
        assert_eq!(
            (file.kind, file.mode, file.size),
            (Some(DeclaredKind::File), Some(0o644), Some(7))
        );
        assert_eq!(file.digest.as_deref(), Some(&*format!("sha256:{sha}")));
        assert_eq!(entries[&b"/usr"[..]].kind, Some(DeclaredKind::Directory));
        assert_eq!(entries[&b"/usr/l"[..]].link.as_deref(), Some(&b"a b"[..]));
        let special = &entries[&b"/usr/s"[..]];
        assert_eq!((special.kind, special.mode), (Some(DeclaredKind::Special), None));
        assert_eq!(special.user.as_deref(), Some(&b"5"[..]));
    }

    #[test]
    fn garbage_is_named_by_line_and_the_rest_goes_on() {
        let Mtree { entries, faults } = parse_mtree(
            b"./a mode=999\n./b type=odd\n/abs mode=644\n./c\\9 mode=644\n./d/../e\n./f sha256digest=x\n\
              ./g uid=root\n./h size=-1\n./i\\000 x\n./good mode=644\n. type=dir",
        );
        assert_eq!(entries.keys().collect::<Vec<_>>(), [&b"/"[..], b"/good"]);
        assert_eq!(
            faults.iter().map(|fault| fault.line).collect::<Vec<_>>(),
            [1, 2, 3, 4, 5, 6, 7, 8, 9]
        );
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let packed = gzip(&vec![0; 4 << 20]);
        assert!(packed.len() < 8192);
        assert_eq!(
            gunzip(&packed, 1000).unwrap_err(),
            "longer than 1000 bytes without its compression"
        );
        assert_eq!(gunzip(&gzip(b"text"), 4).unwrap(), b"text");
        assert!(gunzip(&packed[..packed.len() / 2], 8 << 20).is_err());
        assert!(gunzip(b"plain", 10).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed(bytes: Vec<u8>) {
            prop_assert!(parse_mtree(&bytes).entries.len() <= bytes.len());
            prop_assert!(gunzip(&bytes, 1000).map_or(0, |text| text.len()) <= 1000);
            prop_assert_eq!(gunzip(&gzip(&bytes), bytes.len() as u64), Ok(bytes));
        }

        #[test]
        fn any_near_miss_is_parsed(text in "((/set|/unset|\\./a|\\.|#)?( (mode=[0-9]{0,4}|type=(dir|x)?|uid=[0-9]?|link=\\\\?[0-9]{0,3}|all))?\n?){0,12}") {
            prop_assert!(parse_mtree(text.as_bytes()).entries.len() <= text.len());
        }
    }
}
