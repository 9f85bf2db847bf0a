//! The keywords of one line of an mtree.
//!
//! Refused: a keyword twice in a line, a value that is not what the keyword takes, symbolic modes (what they mean
//! depends on who reads them), a digest of another length than its keyword says.

use baseline_format::OsText;
use data_encoding::BASE64;

use super::super::vis;
use crate::sys::Kind;

/// What a line states; also what `/set` has set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keywords {
    pub(super) kind: Option<Kind>,
    /// Permission bits.
    pub(super) mode: Option<u16>,
    pub(super) uid: Option<u32>,
    pub(super) gid: Option<u32>,
    pub(super) user: Option<Vec<u8>>,
    pub(super) group: Option<Vec<u8>>,
    /// Bytes.
    pub(super) size: Option<i64>,
    /// Names of the file.
    pub(super) names: Option<u32>,
    /// Target of a symbolic link.
    pub(super) link: Option<Vec<u8>>,
    /// Seconds since 1970.
    pub(super) time: Option<i64>,
    pub(super) flags: Option<Vec<String>>,
    pub(super) device: Option<Device>,
    /// Hexadecimal digits, by [`DIGESTS`].
    pub(super) digests: [Option<String>; DIGESTS.len()],
    /// Names and values of extended attributes.
    pub(super) xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) ignore: bool,
    pub(super) optional: bool,
    pub(super) no_change: bool,
    /// Keywords that a baseline has no place for, as text.
    pub(super) foreign: Vec<String>,
}

/// What a device node stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Device {
    /// In the form of another system, whose numbers say nothing on Linux.
    Foreign,
    /// Major and minor number.
    Numbers(u32, u32),
}

/// Label, keyword, its synonym, and hexadecimal digits of the digests that are taken, the one that is preferred
/// first: what a host is audited by anyway, then by strength.
pub(super) const DIGESTS: [(&str, &str, &str, usize); 4] = [
    ("sha256", "sha256digest", "sha256", 64),
    ("sha512", "sha512digest", "sha512", 128),
    ("sha1", "sha1digest", "sha1", 40),
    ("md5", "md5digest", "md5", 32),
];

impl Keywords {
    /// Takes over the words of a line, each `KEYWORD=VALUE` or `KEYWORD`.
    pub(super) fn take_all<'a>(&mut self, words: impl Iterator<Item = &'a [u8]>) -> Result<(), String> {
        let mut seen: Vec<&[u8]> = Vec::new();
        for word in words {
            if seen.len() == MOST_WORDS {
                return Err(format!("more than {MOST_WORDS} keywords"));
            }
            let (keyword, value) = match word.iter().position(|byte| *byte == b'=') {
                Some(at) => (word.get(..at).unwrap_or_default(), word.get(at + 1..)),
                None => (word, None),
            };
            let keyword = canonical(keyword);
            if seen.contains(&keyword) {
                return Err(format!("`{}` twice", OsText::new(keyword)));
            }
            seen.push(keyword);
            self.take(keyword, value)
                .map_err(|why| format!("`{}`: {why}", OsText::new(keyword)))?;
        }
        Ok(())
    }

    /// Forgets what `/unset` names.
    pub(super) fn forget_all<'a>(&mut self, words: impl Iterator<Item = &'a [u8]>) -> Result<(), String> {
        for word in words {
            if word.contains(&b'=') {
                return Err("`/unset` takes no values".to_owned());
            }
            match canonical(word) {
                b"all" => *self = Self::default(),
                keyword => self.forget(keyword),
            }
        }
        Ok(())
    }

    fn take(&mut self, keyword: &[u8], value: Option<&[u8]>) -> Result<(), String> {
        let flag = match keyword {
            b"ignore" => Some(&mut self.ignore),
            b"optional" => Some(&mut self.optional),
            b"nochange" => Some(&mut self.no_change),
            _ => None,
        };
        if let Some(flag) = flag {
            *flag = true;
            return value.map_or(Ok(()), |_| Err("it takes no value".to_owned()));
        }
        if keyword == b"all" {
            return Err("only `/unset` knows it".to_owned());
        }
        if let Some(at) = DIGESTS.iter().position(|digest| digest.1.as_bytes() == keyword) {
            let digest = hex(needed(value)?, DIGESTS[at].3)?;
            self.digests[at] = Some(digest);
            return Ok(());
        }
        if let Some(name) = keyword.strip_prefix(b"xattr.") {
            return self.take_xattr(name, value.ok_or("no value")?);
        }
        match keyword {
            b"type" => self.kind = Some(kind(needed(value)?)?),
            b"mode" => self.mode = Some(mode(needed(value)?)?),
            b"uid" => self.uid = Some(number(needed(value)?, 10)?),
            b"gid" => self.gid = Some(number(needed(value)?, 10)?),
            b"uname" => self.user = owner(value.ok_or("no value")?)?,
            b"gname" => self.group = owner(value.ok_or("no value")?)?,
            b"size" => self.size = Some(number(needed(value)?, 10)?),
            b"nlink" => self.names = Some(number(needed(value)?, 10)?),
            b"link" => self.link = Some(target(needed(value)?)?),
            b"time" => self.time = Some(seconds(needed(value)?)?),
            b"flags" => self.flags = Some(flags(needed(value)?)?),
            b"device" => self.device = Some(device(needed(value)?)?),
            other => {
                let text = OsText::new(other).to_string();
                if !self.foreign.contains(&text) {
                    self.foreign.push(text);
                }
                if self.foreign.len() > MOST_WORDS {
                    return Err(format!("more than {MOST_WORDS} keywords that are not known"));
                }
            }
        }
        Ok(())
    }

    fn take_xattr(&mut self, name: &[u8], value: &[u8]) -> Result<(), String> {
        let name = vis::decode(name)?.into_owned();
        let value = BASE64.decode(value).map_err(|_| "its value is not base64")?;
        if name.is_empty() || name.contains(&0) || name.len() > XATTR_NAME_BYTES || value.len() > XATTR_BYTES
        {
            return Err("not an extended attribute that Linux could have".to_owned());
        }
        self.xattrs.retain(|(known, _)| *known != name);
        self.xattrs.push((name, value));
        if self.xattrs.len() > MOST_WORDS {
            return Err(format!("more than {MOST_WORDS} extended attributes"));
        }
        Ok(())
    }

    fn forget(&mut self, keyword: &[u8]) {
        if let Some(at) = DIGESTS.iter().position(|digest| digest.1.as_bytes() == keyword) {
            self.digests[at] = None;
        }
        if let Some(name) = keyword.strip_prefix(b"xattr.") {
            self.xattrs
                .retain(|(known, _)| vis::decode(name).as_deref() != Ok(known));
        }
        match keyword {
            b"type" => self.kind = None,
            b"mode" => self.mode = None,
            b"uid" => self.uid = None,
            b"gid" => self.gid = None,
            b"uname" => self.user = None,
            b"gname" => self.group = None,
            b"size" => self.size = None,
            b"nlink" => self.names = None,
            b"link" => self.link = None,
            b"time" => self.time = None,
            b"flags" => self.flags = None,
            b"device" => self.device = None,
            b"ignore" => self.ignore = false,
            b"optional" => self.optional = false,
            b"nochange" => self.no_change = false,
            other => {
                let text = OsText::new(other).to_string();
                self.foreign.retain(|known| *known != text);
            }
        }
    }
}

/// The forms of `device` that NetBSD's mtree knows besides those of Linux.
const FOREIGN_DEVICES: [&[u8]; 14] = [
    b"386bsd", b"4bsd", b"bsdos", b"freebsd", b"hpux", b"isc", b"netbsd", b"osf1", b"sco", b"solaris",
    b"sunos", b"svr3", b"svr4", b"ultrix",
];
/// Keywords of one line.
const MOST_WORDS: usize = 256;
/// Bytes of an extended attribute's name (`XATTR_NAME_MAX`).
const XATTR_NAME_BYTES: usize = 255;
/// Bytes of an extended attribute's value (`XATTR_SIZE_MAX`).
const XATTR_BYTES: usize = 64 << 10;
/// Bytes of a link's target; Linux has 4095.
const TARGET_BYTES: usize = 64 << 10;
/// Bytes of an owner's name.
const OWNER_BYTES: usize = 1024;

/// The one name of a keyword that has two. go-mtree's `tar_time` is `time` in whole seconds.
fn canonical(keyword: &[u8]) -> &[u8] {
    if keyword == b"tar_time" {
        return b"time";
    }
    let digest = DIGESTS.iter().find(|digest| digest.2.as_bytes() == keyword);
    digest.map_or(keyword, |digest| digest.1.as_bytes())
}

fn needed(value: Option<&[u8]>) -> Result<&[u8], String> {
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| "no value".to_owned())
}

fn kind(value: &[u8]) -> Result<Kind, String> {
    Ok(match value {
        b"block" => Kind::BlockDevice,
        b"char" => Kind::CharDevice,
        b"dir" => Kind::Directory,
        b"fifo" => Kind::Fifo,
        b"file" => Kind::File,
        b"link" => Kind::Link,
        b"socket" => Kind::Socket,
        other => return Err(format!("`{}` is no type", OsText::new(other))),
    })
}

fn mode(value: &[u8]) -> Result<u16, String> {
    if !value.first().is_some_and(u8::is_ascii_digit) {
        return Err("symbolic modes are not taken: write it in octal digits".to_owned());
    }
    number(value, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| "not octal digits up to 7777".to_owned())
}

/// Digits and nothing else: `from_str_radix` alone would take a sign.
fn number<T: TryFrom<i64>>(value: &[u8], radix: u32) -> Result<T, String> {
    let digits = std::str::from_utf8(value)
        .ok()
        .filter(|text| text.chars().all(|digit| digit.is_digit(radix)));
    digits
        .and_then(|digits| i64::from_str_radix(digits, radix).ok())
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| "not a number that fits".to_owned())
}

/// Whole seconds. What follows the point is nanoseconds for some writers and a fraction for others.
fn seconds(value: &[u8]) -> Result<i64, String> {
    let (whole, rest) = match value.iter().position(|byte| *byte == b'.') {
        Some(at) => (
            value.get(..at).unwrap_or_default(),
            value.get(at + 1..).unwrap_or_default(),
        ),
        None => (value, &b""[..]),
    };
    let (negative, digits) = match whole.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, whole),
    };
    if digits.is_empty() || !rest.iter().all(u8::is_ascii_digit) {
        return Err("not seconds".to_owned());
    }
    let seconds: i64 = number(digits, 10)?;
    Ok(if negative { -seconds } else { seconds })
}

/// An owner's name; go-mtree writes an owner without a name as an empty one.
fn owner(value: &[u8]) -> Result<Option<Vec<u8>>, String> {
    if value.len() > OWNER_BYTES || value.contains(&0) {
        return Err("not an owner's name".to_owned());
    }
    Ok(Some(value.to_vec()).filter(|name| !name.is_empty()))
}

fn target(value: &[u8]) -> Result<Vec<u8>, String> {
    let target = vis::decode(value)?;
    if target.len() > TARGET_BYTES || target.contains(&0) {
        return Err("not a target that a link could have".to_owned());
    }
    Ok(target.into_owned())
}

fn flags(value: &[u8]) -> Result<Vec<String>, String> {
    let words = value.split(|byte| *byte == b',');
    words
        .map(|word| match word {
            b"" => Err("an empty flag".to_owned()),
            word => Ok(OsText::new(word).to_string()),
        })
        .collect()
}

/// `native,MAJOR,MINOR`, `linux,MAJOR,MINOR`, or one number as Linux's C library packs the two.
fn device(value: &[u8]) -> Result<Device, String> {
    let words: Vec<&[u8]> = value.split(|byte| *byte == b',').collect();
    match words.as_slice() {
        [packed] => {
            let packed: u64 = c_number(packed)?;
            let major = (packed >> 8 & 0xfff) | (packed >> 32 & 0xffff_f000);
            let minor = (packed & 0xff) | (packed >> 12 & 0xffff_ff00);
            let fits = |part: u64| u32::try_from(part).map_err(|_| "not a device number".to_owned());
            Ok(Device::Numbers(fits(major)?, fits(minor)?))
        }
        [b"native" | b"linux", major, minor] => {
            let fits = |word: &[u8]| {
                c_number(word)
                    .and_then(|part| u32::try_from(part).map_err(|_| "not a device number".to_owned()))
            };
            Ok(Device::Numbers(fits(major)?, fits(minor)?))
        }
        [form, numbers @ ..] if FOREIGN_DEVICES.contains(form) && matches!(numbers.len(), 2 | 3) => {
            for number in numbers {
                c_number(number)?;
            }
            Ok(Device::Foreign)
        }
        _ => Err("not a device number".to_owned()),
    }
}

/// A number as `strtoul` with base 0 reads it: hexadecimal after `0x`, octal after `0`.
fn c_number(word: &[u8]) -> Result<u64, String> {
    let (digits, radix) = match word {
        [b'0', b'x' | b'X', digits @ ..] => (digits, 16),
        [b'0', digits @ ..] if !digits.is_empty() => (digits, 8),
        digits => (digits, 10),
    };
    let text = std::str::from_utf8(digits)
        .ok()
        .filter(|text| text.chars().all(|digit| digit.is_digit(radix)));
    text.and_then(|text| u64::from_str_radix(text, radix).ok())
        .ok_or_else(|| "not a device number".to_owned())
}

/// A digest's digits, in lower case. BSD's programs may write `0x` in front.
fn hex(value: &[u8], digits: usize) -> Result<String, String> {
    let value = value.strip_prefix(b"0x").unwrap_or(value);
    if value.len() != digits || !value.iter().all(u8::is_ascii_hexdigit) {
        return Err(format!("not {digits} hexadecimal digits"));
    }
    Ok(value
        .iter()
        .map(|byte| char::from(byte.to_ascii_lowercase()))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(text: &str) -> Result<Keywords, String> {
        let mut keywords = Keywords::default();
        keywords
            .take_all(text.split(' ').map(str::as_bytes))
            .map(|()| keywords)
    }

    #[test]
    fn devices_in_every_documented_form() {
        for (text, device) in [
            ("0x103", Device::Numbers(1, 3)),
            ("259", Device::Numbers(1, 3)),
            ("0x11112c70", Device::Numbers(300, 70000)),
            ("0xffffffffffffffff", Device::Numbers(u32::MAX, u32::MAX)),
            ("native,1,3", Device::Numbers(1, 3)),
            ("linux,0x10,010", Device::Numbers(16, 8)),
            ("freebsd,1,3", Device::Foreign),
            ("bsdos,1,2,3", Device::Foreign),
        ] {
            assert_eq!(
                taken(&format!("device={text}")).unwrap().device,
                Some(device),
                "{text}"
            );
        }
        for text in [
            "",
            "x",
            "native,1",
            "native,1,2,3",
            "native,,1",
            "native,4294967296,1",
            "-1",
            "1,2,3,4,5",
        ] {
            assert!(taken(&format!("device={text}")).is_err(), "{text}");
        }
    }

    #[test]
    fn malformed_values_are_refused() {
        for text in [
            "type=door",
            "type",
            "type=",
            "mode=u=rwx",
            "mode=999",
            "mode=100644",
            "mode=+644",
            "uid=root",
            "uid=-1",
            "uid=4294967296",
            "size=1k",
            "size=9223372036854775808",
            "time=x",
            "time=1.x",
            "time=.5",
            "md5=00",
            "sha512digest=6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b",
            "link=",
            "link=a\\",
            "flags=",
            "flags=a,,b",
            "optional=1",
            "all",
            "mode=644 mode=755",
            "md5=x md5digest=y",
            "xattr.user.a=!",
            "xattr.=YQ==",
        ] {
            assert!(taken(text).is_err(), "{text}");
        }
        assert_eq!(
            taken("sha256=0 sha256digest=1").unwrap_err(),
            "`sha256digest`: not 64 hexadecimal digits"
        );
    }

    #[test]
    fn set_and_unset() {
        let all = "type=file mode=0644 uid=1 gid=2 uname=u gname=g size=3 nlink=2 link=x time=-5.25 flags=schg \
                   device=1 md5=00000000000000000000000000000000 xattr.user.a=YQ== ignore optional nochange cksum=7";
        let mut keywords = taken(all).unwrap();
        assert_eq!(keywords.time, Some(-5));
        assert_eq!(keywords.xattrs, [(b"user.a".to_vec(), b"a".to_vec())]);
        assert_eq!(keywords.foreign, ["cksum"]);
        keywords.take_all([&b"mode=755"[..]].into_iter()).unwrap();
        assert_eq!(keywords.mode, Some(0o755));
        let names = all.split(' ').filter(|word| !word.is_empty());
        let names: Vec<&[u8]> = names
            .map(|word| word.split('=').next().unwrap().as_bytes())
            .collect();
        for name in &names {
            let before = keywords.clone();
            keywords.forget_all([*name].into_iter()).unwrap();
            assert_ne!(before, keywords, "{name:?}");
        }
        assert_eq!(keywords, Keywords::default());
        let mut keywords = taken(all).unwrap();
        keywords.forget_all([&b"all"[..]].into_iter()).unwrap();
        assert_eq!(keywords, Keywords::default());
        assert!(keywords.forget_all([&b"mode=1"[..]].into_iter()).is_err());
    }
}
