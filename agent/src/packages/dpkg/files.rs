//! The lists below `/var/lib/dpkg`: files and digests of a package, diversions, statoverrides; see
//! dpkg-query(1), deb-md5sums(5), dpkg-divert(1) and dpkg-statoverride(1).

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::super::lines::{Faults, Line, hex_digest, lines, octal, path_fault};
use super::super::{Diversion, Override};

/// What a list says, and what of it could not be understood.
#[derive(Debug)]
pub struct Parsed<T> {
    /// The sound lines.
    pub found: T,
    /// The others.
    pub faults: Faults,
}

/// Parses `info/PACKAGE.list`: an absolute path a line, `/.` for the root.
#[must_use]
pub fn parse_list(bytes: &[u8]) -> Parsed<Vec<&[u8]>> {
    sound_lines(bytes, |line, found: &mut Vec<_>| {
        let path = if line == b"/." { b"/" } else { line };
        path_fault(path).map_or(Ok(()), Err)?;
        found.push(path);
        Ok(())
    })
}

/// Parses `info/PACKAGE.md5sums`: `DIGEST  NAME` a line, with names relative to the root. The keys of the
/// result are absolute paths, the values digests with their label.
#[must_use]
pub fn parse_md5sums(bytes: &[u8]) -> Parsed<BTreeMap<Vec<u8>, String>> {
    sound_lines(bytes, |line, found: &mut BTreeMap<_, _>| {
        let (escaped, line) = match line.strip_prefix(b"\\") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (digest, rest) = line.split_at_checked(32).ok_or("line is too short")?;
        let digest = hex_digest("md5", digest, 32).ok_or("not an MD5")?;
        let name = rest
            .strip_prefix(b"  ")
            .or_else(|| rest.strip_prefix(b" *"))
            .ok_or("no name")?;
        let name = if escaped {
            unescaped(name)?
        } else {
            Cow::Borrowed(name)
        };
        let name = name.strip_prefix(b"./").unwrap_or(&name);
        if name.is_empty() {
            return Err("no name");
        }
        let path = [b"/", name.strip_prefix(b"/").unwrap_or(name)].concat();
        path_fault(&path).map_or(Ok(()), Err)?;
        found.insert(path, digest);
        Ok(())
    })
}

/// Undoes the escapes of md5sum(1), which marks a line that has any with a backslash in front.
fn unescaped(name: &[u8]) -> Result<Cow<'static, [u8]>, &'static str> {
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name.iter();
    while let Some(&byte) = rest.next() {
        plain.push(match byte {
            b'\\' => match rest.next() {
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b'\\') => b'\\',
                _ => return Err("unknown escape in a name"),
            },
            byte => byte,
        });
    }
    Ok(Cow::Owned(plain))
}

/// Parses `/var/lib/dpkg/diversions`: three lines a diversion, namely from, to, and the package that
/// diverts, or `:` for a local diversion.
#[must_use]
pub fn parse_diversions(bytes: &[u8]) -> Parsed<Vec<Diversion>> {
    let (mut found, mut faults) = (Vec::new(), Faults::default());
    let mut rest = lines(bytes);
    while let Some(from) = rest.next() {
        let (Some(to), Some(by)) = (rest.next(), rest.next()) else {
            faults.push(from.number, "diversion is cut short");
            break;
        };
        match diversion(&from, &to, &by) {
            Ok(diversion) => found.push(diversion),
            Err(why) => faults.push(from.number, why),
        }
    }
    Parsed { found, faults }
}

fn diversion(from: &Line<'_>, to: &Line<'_>, by: &Line<'_>) -> Result<Diversion, &'static str> {
    [from, to, by]
        .iter()
        .find_map(|line| line.fault())
        .map_or(Ok(()), Err)?;
    [from, to]
        .iter()
        .find_map(|line| path_fault(line.bytes))
        .map_or(Ok(()), Err)?;
    if by.bytes.is_empty() {
        return Err("diversion without a package");
    }
    let by = Some(by.bytes).filter(|name| *name != b":").map(Into::into);
    Ok(Diversion {
        from: from.bytes.into(),
        to: to.bytes.into(),
        by,
    })
}

/// Parses `/var/lib/dpkg/statoverride`: `USER GROUP MODE PATH` a line, the mode in octal.
#[must_use]
pub fn parse_statoverride(bytes: &[u8]) -> Parsed<Vec<Override>> {
    sound_lines(bytes, |line, found: &mut Vec<_>| {
        let words: Vec<&[u8]> = line.splitn(4, |byte| *byte == b' ').collect();
        let &[user, group, mode, path] = words.as_slice() else {
            return Err("not four words");
        };
        if user.is_empty() || group.is_empty() {
            return Err("no user or no group");
        }
        let mode = octal(mode)
            .filter(|mode| *mode <= 0o7777)
            .ok_or("mode is not octal permission bits")?;
        path_fault(path).map_or(Ok(()), Err)?;
        found.push(Override {
            path: path.into(),
            user: user.into(),
            group: group.into(),
            mode,
        });
        Ok(())
    })
}

/// Feeds the lines that may be interpreted to `take`; what it refuses, and what may not, becomes a fault.
fn sound_lines<'a, T: Default>(
    bytes: &'a [u8],
    mut take: impl FnMut(&'a [u8], &mut T) -> Result<(), &'static str>,
) -> Parsed<T> {
    let mut parsed = Parsed {
        found: T::default(),
        faults: Faults::default(),
    };
    for line in lines(bytes).filter(|line| !line.bytes.is_empty()) {
        let taken = line
            .fault()
            .map_or(Ok(()), Err)
            .and_then(|()| take(line.bytes, &mut parsed.found));
        if let Err(why) = taken {
            parsed.faults.push(line.number, why);
        }
    }
    parsed
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn faulty(faults: &Faults) -> Vec<usize> {
        faults.iter().map(|fault| fault.line).collect()
    }

    #[test]
    fn lists_name_absolute_paths() {
        let parsed = parse_list(b"/.\n/bin\n/bin/a b\nrelative\n\n/x/../y\n/nul\0\n/end");
        assert_eq!(parsed.found, [&b"/"[..], b"/bin", b"/bin/a b", b"/end"]);
        assert_eq!(faulty(&parsed.faults), [4, 6, 7]);
    }

    #[test]
    fn md5sums_with_every_spelling_of_a_name() {
        let digest = "0123456789abcdef0123456789abcdef";
        let text = format!(
            "{digest}  usr/bin/a\n{digest} *usr/bin/b\n{digest}  ./c\n\\{digest}  back\\\\slash\\nline\n\
             {digest}  raw\\n\nno\n{digest}\n{digest}  \n{digest}x  d\n\\{digest}  \\q\n{digest}  a/../b\n"
        );
        let parsed = parse_md5sums(text.as_bytes());
        let paths: Vec<_> = parsed
            .found
            .keys()
            .map(|path| str::from_utf8(path).unwrap())
            .collect();
        assert_eq!(
            paths,
            ["/back\\slash\nline", "/c", "/raw\\n", "/usr/bin/a", "/usr/bin/b"]
        );
        assert!(
            parsed
                .found
                .values()
                .all(|found| *found == format!("md5:{digest}"))
        );
        assert_eq!(faulty(&parsed.faults), [6, 7, 8, 9, 10, 11]);
    }

    #[test]
    fn diversions_come_in_threes() {
        let parsed = parse_diversions(b"/a\n/a.real\ndash\n/b\n/b.x\n:\nrel\n/c\nd\n/e\n/f\n\n/g\n/h\n");
        assert_eq!(
            parsed.found,
            [
                Diversion {
                    from: b"/a".into(),
                    to: b"/a.real".into(),
                    by: Some(b"dash".into())
                },
                Diversion {
                    from: b"/b".into(),
                    to: b"/b.x".into(),
                    by: None
                },
            ]
        );
        assert_eq!(faulty(&parsed.faults), [7, 10, 13]);
    }

    #[test]
    fn statoverrides_by_name_or_number() {
        let parsed = parse_statoverride(
            b"root mail 2755 /usr/bin/x y\n#1 #2 0 /z\nroot root 999 /a\nx\na b 17777 /c\n",
        );
        assert_eq!(
            parsed.found,
            [
                Override {
                    path: b"/usr/bin/x y".into(),
                    user: "root".into(),
                    group: "mail".into(),
                    mode: 0o2755
                },
                Override {
                    path: b"/z".into(),
                    user: "#1".into(),
                    group: "#2".into(),
                    mode: 0
                },
            ]
        );
        assert_eq!(faulty(&parsed.faults), [3, 4, 5]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed(bytes: Vec<u8>) {
            prop_assert!(parse_list(&bytes).found.len() <= bytes.len());
            prop_assert!(parse_md5sums(&bytes).found.len() <= bytes.len());
            prop_assert!(parse_diversions(&bytes).found.len() <= bytes.len());
            prop_assert!(parse_statoverride(&bytes).found.len() <= bytes.len());
        }

        #[test]
        fn any_near_miss_is_parsed(text in "(\\\\?[0-9a-f]{31,33} [ *]?[a-z\\\\./]{0,4}\n?|/[a-z./]{0,4}\n|:\n|root root 755 /a\n){0,8}") {
            prop_assert!(parse_list(text.as_bytes()).found.len() <= text.len());
            prop_assert!(parse_md5sums(text.as_bytes()).found.len() <= text.len());
            prop_assert!(parse_diversions(text.as_bytes()).found.len() <= text.len());
            prop_assert!(parse_statoverride(text.as_bytes()).found.len() <= text.len());
        }
    }
}
