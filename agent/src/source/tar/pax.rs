//! pax extended headers: records `LENGTH KEY=VALUE\n` that say more of a member than its header can.
//!
//! Sources: POSIX.1-2017, `pax`, "pax Extended Header"; star(5) for `SCHILY.*`; libarchive's tar(5) for
//! `LIBARCHIVE.*`; GNU tar's manual, "Sparse Formats", for `GNU.sparse.*`.
//!
//! The length rules where a record ends: values may hold newlines and NULs. Keys that change nothing which is
//! listed here, or that no other reader knows, are passed over. Refused are those that would change what follows in a
//! way that is not read here, a record given twice, and an empty value of one that is read, which some readers take
//! for "nothing" and some for "as if it were not there".

use data_encoding::BASE64_NOPAD;

use super::path::told;
use super::sparse::PaxSparse;
use crate::source::file_system::Fault;

/// An extended attribute: its full name, and its value as the kernel has it.
pub(super) type Xattr = (Vec<u8>, Vec<u8>);

/// What an extended header says of the next member; `None` where it does not say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Pax {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) mtime: Option<i64>,
    pub(super) device_major: Option<u32>,
    pub(super) device_minor: Option<u32>,
    /// Sorted by name.
    pub(super) xattrs: Vec<Xattr>,
    pub(super) acl: Option<Vec<u8>>,
    pub(super) default_acl: Option<Vec<u8>>,
    pub(super) immutable: bool,
    pub(super) append_only: bool,
    pub(super) sparse: PaxSparse,
}

impl Pax {
    /// Reads the content of a header of type `x` (or Solaris's `X`).
    pub(super) fn parse(content: &[u8]) -> Result<Self, Fault> {
        let mut pax = Self::default();
        let mut xattrs = Xattrs::default();
        let mut flags = None;
        let mut rest = content;
        while !rest.is_empty() {
            let record =
                record(rest).ok_or_else(|| Fault::new("a malformed record in its extended header"))?;
            rest = record.rest;
            pax.take(&record, &mut xattrs, &mut flags)?;
        }
        pax.xattrs = xattrs.settle()?;
        let flags = flags.unwrap_or_default();
        let mut words = flags.split(|byte| matches!(byte, b',' | b' '));
        pax.immutable = words.clone().any(|word| IMMUTABLE.contains(&word));
        pax.append_only = words.any(|word| APPEND_ONLY.contains(&word));
        Ok(pax)
    }

    fn take(
        &mut self,
        record: &Record,
        xattrs: &mut Xattrs,
        flags: &mut Option<Vec<u8>>,
    ) -> Result<(), Fault> {
        let Record { key, value, .. } = *record;
        match key {
            b"path" => record.set(&mut self.path, |value| Some(value.to_vec())),
            b"linkpath" => record.set(&mut self.link, |value| Some(value.to_vec())),
            b"size" => record.set(&mut self.size, decimal),
            b"uid" => record.set(&mut self.uid, decimal32),
            b"gid" => record.set(&mut self.gid, decimal32),
            b"mtime" => record.set(&mut self.mtime, seconds),
            b"SCHILY.devmajor" => record.set(&mut self.device_major, decimal32),
            b"SCHILY.devminor" => record.set(&mut self.device_minor, decimal32),
            b"SCHILY.acl.access" => record.set(&mut self.acl, |value| Some(value.to_vec())),
            b"SCHILY.acl.default" => record.set(&mut self.default_acl, |value| Some(value.to_vec())),
            b"SCHILY.fflags" => record.set(flags, |value| Some(value.to_vec())),
            b"RHT.security.selinux" => {
                // The text of the label; the kernel's value has a NUL behind it.
                let label = value.strip_suffix(b"\0").unwrap_or(value);
                xattrs.add(Source::RedHat, SELINUX.to_vec(), [label, b"\0"].concat())
            }
            b"hdrcharset" if !matches!(value, b"BINARY" | b"ISO-IR 10646 2000 UTF-8") => {
                Err(Fault::new(format!("names in the character set {}", told(value))))
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    xattrs.add(Source::Schily, name.to_vec(), value.to_vec())
                } else if let Some(name) = key.strip_prefix(b"LIBARCHIVE.xattr.") {
                    xattrs.add(Source::Libarchive, percent_decoded(name), base64_decoded(value)?)
                } else if let Some(name) = key.strip_prefix(b"GNU.sparse.") {
                    self.sparse.take(name, value)
                } else if UNREADABLE.iter().any(|unreadable| key.starts_with(unreadable)) {
                    Err(Fault::new(format!(
                        "its extended header has {}, which cannot be read here",
                        told(key)
                    )))
                } else {
                    Ok(())
                }
            }
        }
    }
}

/// Checks a header of type `g`, which is about all members that follow. Half of the readers apply such a header and
/// half do not, so only what changes nothing is taken: comments, as `git archive` writes them, a volume's label.
pub(super) fn check_global(content: &[u8]) -> Result<(), Fault> {
    let mut rest = content;
    while !rest.is_empty() {
        let record = record(rest).ok_or_else(|| Fault::new("a malformed record in a global header"))?;
        rest = record.rest;
        if !GLOBAL.contains(&record.key) && !record.key.starts_with(b"SCHILY.volhdr.") {
            return Err(Fault::new(format!(
                "a global header sets {} of all members, which not every reader heeds; write the archive without \
                 `g` records in --pax-option",
                told(record.key)
            )));
        }
    }
    Ok(())
}

/// Keys that a global header may have.
const GLOBAL: &[&[u8]] = &[
    b"comment",
    b"charset",
    b"atime",
    b"ctime",
    b"uname",
    b"gname",
    b"GNU.volume.label",
    b"SCHILY.archtype",
    b"SCHILY.release",
];

/// Beginnings of keys that say that the content, the type or the access control list is not what the rest says.
const UNREADABLE: &[&[u8]] = &[
    b"GNU.dumpdir",
    b"GNU.volume.",
    b"SCHILY.acl.ace",
    b"SCHILY.dir",
    b"SCHILY.filetype",
    b"SCHILY.offset",
    b"SCHILY.realsize",
    b"SCHILY.tarfiletype",
    b"SUN.holesdata",
];

const SELINUX: &[u8] = b"security.selinux";

/// What `SCHILY.fflags` calls them: bsdtar writes the first, star and other systems the others.
const IMMUTABLE: &[&[u8]] = &[b"schg", b"schange", b"simmutable"];
const APPEND_ONLY: &[&[u8]] = &[b"sappnd", b"sappend"];

/// The longest name and value that the kernel takes: `XATTR_NAME_MAX` and `XATTR_SIZE_MAX`.
const LONGEST_XATTR_NAME: usize = 255;
const LONGEST_XATTR: usize = 64 << 10;

struct Record<'a> {
    key: &'a [u8],
    value: &'a [u8],
    rest: &'a [u8],
}

/// The first record; its length counts itself, the space and the newline.
fn record(content: &[u8]) -> Option<Record<'_>> {
    let space = content.iter().take(8).position(|byte| *byte == b' ')?;
    let length = usize::try_from(decimal(content.get(..space)?)?).ok()?;
    let (record, rest) = content.split_at_checked(length)?;
    let record = record.get(space + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    let (key, value) = record.split_at_checked(equals)?;
    (!key.is_empty() && !key.contains(&0)).then_some(Record {
        key,
        value: value.get(1..)?,
        rest,
    })
}

impl Record<'_> {
    fn set<T>(&self, slot: &mut Option<T>, parse: impl Fn(&[u8]) -> Option<T>) -> Result<(), Fault> {
        let key = || told(self.key);
        if self.value.is_empty() {
            return Err(Fault::new(format!("an empty {} in its extended header", key())));
        }
        let value = parse(self.value)
            .ok_or_else(|| Fault::new(format!("{} in its extended header is not one", key())))?;
        match slot.replace(value) {
            Some(_) => Err(Fault::new(format!("two {} in its extended header", key()))),
            None => Ok(()),
        }
    }
}

/// Who wrote an extended attribute.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Libarchive,
    RedHat,
    Schily,
}

#[derive(Default)]
struct Xattrs(Vec<(Vec<u8>, Source, Vec<u8>)>);

impl Xattrs {
    fn add(&mut self, source: Source, name: Vec<u8>, value: Vec<u8>) -> Result<(), Fault> {
        if value.len() > LONGEST_XATTR {
            return Err(Fault::new(format!(
                "the extended attribute {} has more than {LONGEST_XATTR} bytes",
                told(&name)
            )));
        }
        self.0.push((name, source, value));
        Ok(())
    }

    /// The attributes, each once. Several writers spell each twice, in two ways, which must agree.
    fn settle(self) -> Result<Vec<Xattr>, Fault> {
        let Self(mut all) = self;
        let of_libarchive = all.iter().any(|(_, source, _)| *source == Source::Libarchive);
        for (name, source, _) in &mut all {
            if *source == Source::Schily && name.contains(&b'%') {
                *name = schily_name(name, of_libarchive)?;
            }
            if name.is_empty() || name.len() > LONGEST_XATTR_NAME || name.contains(&0) {
                return Err(Fault::new(format!(
                    "{} cannot name an extended attribute",
                    told(name)
                )));
            }
        }
        all.sort_unstable();
        let mut xattrs: Vec<Xattr> = Vec::with_capacity(all.len());
        let mut last_source = None;
        for (name, source, value) in all {
            if let Some((last_name, last)) = xattrs.last_mut()
                && *last_name == name
            {
                if last_source == Some(source) || !is_same(&name, last, &value) {
                    return Err(Fault::new(format!(
                        "the extended attribute {} is given twice",
                        told(&name)
                    )));
                }
                // As the file system gave it, if that was told too.
                *last = value;
            } else {
                xattrs.push((name, value));
            }
            last_source = Some(source);
        }
        Ok(xattrs)
    }
}

/// Labels are told as text and as the kernel's value, which has a NUL at its end.
fn is_same(name: &[u8], a: &[u8], b: &[u8]) -> bool {
    a == b || name == SELINUX && a.strip_suffix(b"\0").unwrap_or(a) == b.strip_suffix(b"\0").unwrap_or(b)
}

/// The name behind `SCHILY.xattr.`: GNU tar spells `%` as `%25` and `=` as `%3D`, libarchive encodes all but plain
/// characters, Go encodes nothing. What can be told apart is decoded.
fn schily_name(name: &[u8], of_libarchive: bool) -> Result<Vec<u8>, Fault> {
    let others = || {
        let mut escapes = name.windows(3).filter(|three| three.starts_with(b"%"));
        escapes.any(|escape| !matches!(escape, b"%25" | b"%3D") && hex(escape).is_some())
    };
    if !of_libarchive && others() {
        return Err(Fault::new(format!(
            "whether the extended attribute {} has its name in percent encoding cannot be told",
            told(name)
        )));
    }
    Ok(percent_decoded(name))
}

/// Decodes `%HH`; a `%` without two digits behind it stands for itself.
fn percent_decoded(name: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((first, tail)) = rest.split_first() {
        if let Some(byte) = rest.get(..3).and_then(hex) {
            decoded.push(byte);
            rest = tail.get(2..).unwrap_or_default();
        } else {
            decoded.push(*first);
            rest = tail;
        }
    }
    decoded
}

/// The byte of a `%HH`.
fn hex(escape: &[u8]) -> Option<u8> {
    let [b'%', high, low] = escape else {
        return None;
    };
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

fn base64_decoded(value: &[u8]) -> Result<Vec<u8>, Fault> {
    let end = value
        .iter()
        .rposition(|byte| *byte != b'=')
        .map_or(0, |last| last + 1);
    let digits = value.get(..end).unwrap_or_default();
    BASE64_NOPAD
        .decode(digits)
        .map_err(|_| Fault::new("an extended attribute in its extended header is not in base 64"))
}

/// Decimal digits and nothing else.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0_u64, |number, byte| {
        let digit = char::from(*byte).to_digit(10)?;
        number.checked_mul(10)?.checked_add(u64::from(digit))
    })
}

fn decimal32(text: &[u8]) -> Option<u32> {
    decimal(text).and_then(|number| u32::try_from(number).ok())
}

/// Seconds since 1970 with a fraction, rounded down.
fn seconds(text: &[u8]) -> Option<i64> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(text) => (true, text),
        None => (false, text),
    };
    let mut parts = text.splitn(2, |byte| *byte == b'.');
    let whole = i64::try_from(decimal(parts.next()?)?).ok()?;
    let fraction = parts.next().unwrap_or(b"0");
    if !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let beyond = fraction.iter().any(|digit| *digit != b'0');
    if negative {
        (-whole).checked_sub(i64::from(beyond))
    } else {
        Some(whole)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A record as POSIX has it.
    pub(in super::super) fn write(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
        let (key, value) = (key.as_ref(), value.as_ref());
        let rest = key.len() + value.len() + 3;
        let mut length = rest;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
    }

    fn parse(records: &[(&str, &[u8])]) -> Result<Pax, Fault> {
        let content: Vec<Vec<u8>> = records.iter().map(|(key, value)| write(key, value)).collect();
        Pax::parse(&content.concat())
    }

    #[test]
    fn everything_is_read() {
        let pax = parse(&[
            ("path", b"a\nb=c"),
            ("linkpath", b"t"),
            ("size", b"10000000000"),
            ("uid", b"4294967294"),
            ("gid", b"0"),
            ("mtime", b"-1.5"),
            ("SCHILY.devmajor", b"4095"),
            ("SCHILY.devminor", b"1048575"),
            ("SCHILY.acl.access", b"user::rw-"),
            ("SCHILY.acl.default", b"user::r--"),
            ("SCHILY.fflags", b"noatime,schg,sappnd"),
            ("SCHILY.xattr.user.b", b"\n7 x=y\n\0"),
            ("SCHILY.xattr.user.empty", b""),
            ("SCHILY.xattr.user.a%25b%3D", b"1"),
            ("RHT.security.selinux", b"u:r:t:s0"),
            ("hdrcharset", b"BINARY"),
            ("comment", b""),
            ("comment", b"again"),
            ("APPLE.anything", b"1"),
        ])
        .unwrap();
        let xattr = |name: &str, value: &[u8]| (Vec::from(name), Vec::from(value));
        assert_eq!(
            pax,
            Pax {
                path: Some(b"a\nb=c".into()),
                link: Some(b"t".into()),
                size: Some(10_000_000_000),
                uid: Some(4_294_967_294),
                gid: Some(0),
                mtime: Some(-2),
                device_major: Some(4095),
                device_minor: Some(1_048_575),
                xattrs: vec![
                    xattr("security.selinux", b"u:r:t:s0\0"),
                    xattr("user.a%b=", b"1"),
                    xattr("user.b", b"\n7 x=y\n\0"),
                    xattr("user.empty", b""),
                ],
                acl: Some(b"user::rw-".into()),
                default_acl: Some(b"user::r--".into()),
                immutable: true,
                append_only: true,
                sparse: PaxSparse::default(),
            }
        );
    }

    #[test]
    fn attributes_told_in_two_ways_must_agree() {
        let pax = parse(&[
            ("LIBARCHIVE.xattr.user.caf%FF", b"dg"),
            ("SCHILY.xattr.user.caf%FF", b"v"),
            ("LIBARCHIVE.xattr.user.padded", b"dg=="),
            ("RHT.security.selinux", b"label"),
            ("SCHILY.xattr.security.selinux", b"label"),
        ])
        .unwrap();
        let expected: [(&[u8], &[u8]); 3] = [
            (b"security.selinux", b"label"),
            (b"user.caf\xff", b"v"),
            (b"user.padded", b"v"),
        ];
        let found: Vec<(&[u8], &[u8])> = pax.xattrs.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        assert_eq!(found, expected);
        for (other, value) in [("LIBARCHIVE.xattr.user.a", b"dg"), ("SCHILY.xattr.user.a", b"w ")] {
            let twice = parse(&[("SCHILY.xattr.user.a", b"w"), (other, value)]);
            let why = "the extended attribute `user.a` is given twice";
            assert_eq!(twice, Err(Fault::new(why)), "{other}");
        }
    }

    #[test]
    fn what_is_unclear_is_refused() {
        for (key, value) in [
            ("path", &b""[..]),
            ("size", b"-1"),
            ("size", b"0x10"),
            ("size", b"18446744073709551616"),
            ("uid", b"4294967296"),
            ("mtime", b"1e9"),
            ("mtime", b"1.x"),
            ("mtime", b"."),
            ("mtime", b"9223372036854775808"),
            ("hdrcharset", b"ISO-IR 8859 1 1998"),
            ("SCHILY.xattr.user.%41", b"1"),
            ("SCHILY.xattr.", b"1"),
            ("SCHILY.realsize", b"1"),
            ("SCHILY.acl.ace", b"owner@:r:allow"),
            ("SUN.holesdata", b" 0 1"),
            ("GNU.dumpdir", b"Yfile"),
            ("GNU.volume.size", b"1"),
            ("LIBARCHIVE.xattr.user.a", b"*"),
        ] {
            assert!(parse(&[(key, value)]).is_err(), "{key}");
            let long = vec![b'x'; LONGEST_XATTR + 1];
            assert!(parse(&[("SCHILY.xattr.user.a", &long)]).is_err());
        }
        for key in [
            "path",
            "linkpath",
            "size",
            "uid",
            "gid",
            "mtime",
            "SCHILY.devmajor",
        ] {
            assert!(parse(&[(key, b"1")]).is_ok(), "{key}");
            assert!(parse(&[(key, b"1"), (key, b"1")]).is_err(), "{key}");
        }
        for content in [
            &b"x"[..],
            b"5 a=b\n",
            b"6 a=b\n\0",
            b"6 a=bc",
            b"7 a=b\n",
            b"06 a=b",
            b"6 =ab\n",
            b"6 abc\n",
            b"0 a=b\n",
            b"99999999999999999999 a=b\n",
            b"+6 a=b\n",
            b"7 a\0=b\n",
        ] {
            assert!(Pax::parse(content).is_err(), "{}", content.escape_ascii());
        }
    }

    #[test]
    fn global_headers_change_nothing() {
        assert_eq!(check_global(&write("comment", "0123456789abcdef")), Ok(()));
        assert_eq!(check_global(&write("GNU.volume.label", "x")), Ok(()));
        for key in [
            "path",
            "uid",
            "mtime",
            "SCHILY.xattr.user.a",
            "hdrcharset",
            "GNU.sparse.size",
        ] {
            assert!(check_global(&write(key, "1")).is_err(), "{key}");
        }
        assert!(check_global(b"7 a=b\n").is_err());
    }

    #[test]
    fn times_are_rounded_down() {
        for (text, time) in [
            ("0", 0),
            ("1.999999999", 1),
            ("-0.5", -1),
            ("-1.0", -1),
            ("-1.000000001", -2),
            ("-9223372036854775807", i64::MIN + 1),
            ("5.", 5),
        ] {
            assert_eq!(seconds(text.as_bytes()), Some(time), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_header_ends(content: Vec<u8>) {
            Pax::parse(&content).ok();
        }

        #[test]
        fn attributes_come_back(xattrs in prop::collection::btree_map("user\\.[a-z]{1,9}", prop::collection::vec(any::<u8>(), 0..99), 0..9)) {
            let content: Vec<u8> = xattrs.iter().flat_map(|(name, value)| write(format!("SCHILY.xattr.{name}"), value)).collect();
            let pax = Pax::parse(&content).unwrap();
            let expected: Vec<_> = xattrs.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone())).collect();
            prop_assert_eq!(pax.xattrs, expected);
        }
    }
}
