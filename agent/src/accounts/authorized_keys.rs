//! `authorized_keys`, sshd(8): keys, their fingerprints and what they are limited to.
//!
//! Fingerprints are public; three other things in such a file may not be: the text of a forced command, the
//! value of an environment variable, and whatever was pasted in by mistake, up to a private key. The first two
//! are kept as digests, the third is not kept at all.

use data_encoding::{BASE64, BASE64_NOPAD};
use sha2::{Digest, Sha256};

use super::{LINE_LIMIT, Malformed, Numbered, numbered_lines};

/// Longest file that is read, in bytes. Less than [`super::FILE_LIMIT`], for any user can write one.
pub const AUTHORIZED_KEYS_LIMIT: u64 = 4 << 20;

/// One key that may log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedKey {
    /// The key's type as the key itself says it, e.g. `ssh-ed25519`.
    pub kind: Vec<u8>,
    /// Length of the modulus, for types in which it is a choice (RSA, DSA).
    pub bits: Option<u32>,
    /// `SHA256:` and base 64 without padding, as `ssh-keygen -l` prints it.
    pub fingerprint: String,
    /// Options in order, `NAME` or `NAME=VALUE`, names in lower case; secret values as `sha256:...`.
    pub options: Vec<Vec<u8>>,
    /// The comment; one that could hide a secret as `sha256:...`.
    pub comment: Vec<u8>,
}

/// Parses a file. Empty lines and comments are left out.
pub fn parse(bytes: &[u8]) -> impl Iterator<Item = Numbered<AuthorizedKey>> {
    numbered_lines(bytes)
        .filter(|(_, line)| !matches!(line.first(), None | Some(b'#')))
        .map(|(at, line)| {
            let record = if line.len() > LINE_LIMIT {
                Err(Malformed::TooLong)
            } else if line.contains(&0) {
                Err(Malformed::Nul)
            } else {
                parse_line(line.strip_suffix(b"\r").unwrap_or(line))
            };
            Numbered { line: at, record }
        })
}

/// sshd's own rule: a line is a key, or else options and a key.
fn parse_line(line: &[u8]) -> Result<AuthorizedKey, Malformed> {
    if let Some(key) = parse_key(line) {
        return Ok(key);
    }
    let end = end_of_options(line).ok_or(Malformed::Other("unterminated quotation mark"))?;
    let (options, rest) = line.split_at(end);
    // The key first: a line without one is not even an attempt at options.
    let key = parse_key(rest.trim_ascii_start()).ok_or(Malformed::Other("no public key"))?;
    Ok(AuthorizedKey {
        options: parse_options(options)?,
        ..key
    })
}

/// `TYPE BASE64 [COMMENT]`.
fn parse_key(text: &[u8]) -> Option<AuthorizedKey> {
    let (named, rest) = word(text);
    let (encoded, comment) = word(rest);
    let blob = BASE64.decode(encoded).ok()?;
    let (kind, mut parts) = take_string(&blob)?;
    if named != kind || !is_key_type(kind) {
        return None;
    }
    let mut fields = Vec::new();
    if let Some((_, count)) = PARTS.iter().find(|(known, _)| known.as_bytes() == kind) {
        while !parts.is_empty() {
            let (field, rest) = take_string(parts)?;
            fields.push(field);
            parts = rest;
        }
        if fields.len() != *count {
            return None;
        }
    }
    let modulus = match kind {
        b"ssh-rsa" => fields.get(1),
        b"ssh-dss" => fields.first(),
        _ => None,
    };
    Some(AuthorizedKey {
        kind: kind.to_vec(),
        bits: modulus.map(|number| bit_length(number)),
        fingerprint: format!("SHA256:{}", BASE64_NOPAD.encode(&Sha256::digest(&blob))),
        options: Vec::new(),
        comment: publishable(comment.trim_ascii_end()),
    })
}

/// Key types and how many strings follow the type in the key. A type that is not listed is newer than this
/// release and taken as it is.
const PARTS: &[(&str, usize)] = &[
    ("ssh-rsa", 2),
    ("ssh-dss", 4),
    ("ssh-ed25519", 1),
    ("ecdsa-sha2-nistp256", 2),
    ("ecdsa-sha2-nistp384", 2),
    ("ecdsa-sha2-nistp521", 2),
    ("sk-ssh-ed25519@openssh.com", 2),
    ("sk-ecdsa-sha2-nistp256@openssh.com", 3),
];

fn is_key_type(kind: &[u8]) -> bool {
    (1..=64).contains(&kind.len())
        && kind
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-.@_".contains(byte))
        && kind.contains(&b'-')
}

/// The first word and what follows the blanks behind it.
fn word(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\t'))
        .unwrap_or(text.len());
    (&text[..end], text[end..].trim_ascii_start())
}

/// A string of the SSH wire format: four bytes of length, big-endian, then the bytes.
fn take_string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// Length in bits of a number of the wire format, big-endian and perhaps with zeros in front.
fn bit_length(number: &[u8]) -> u32 {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = &number[zeros..];
    let bytes = u32::try_from(number.len()).unwrap_or(u32::MAX / 8);
    number
        .first()
        .map_or(0, |first| bytes * 8 - first.leading_zeros())
}

/// Where the options end: at the first blank outside of quotation marks. `None` if a mark stays open.
fn end_of_options(line: &[u8]) -> Option<usize> {
    let mut quoted = false;
    let mut at = 0;
    while let Some(byte) = line.get(at) {
        match byte {
            b' ' | b'\t' if !quoted => return Some(at),
            b'\\' if line.get(at + 1) == Some(&b'"') => at += 1,
            b'"' => quoted = !quoted,
            _ => {}
        }
        at += 1;
    }
    (!quoted).then_some(line.len())
}

/// `NAME[="VALUE"],...`
fn parse_options(mut text: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut options = Vec::new();
    while !text.is_empty() {
        let end = text
            .iter()
            .position(|byte| matches!(byte, b',' | b'='))
            .unwrap_or(text.len());
        let name = text[..end].to_ascii_lowercase();
        // A name of this form is no secret: keys, tokens and PEM lines are longer or have other characters.
        if !(1..=40).contains(&name.len())
            || !text[..end]
                .iter()
                .all(|byte| byte.is_ascii_lowercase() || *byte == b'-')
        {
            let known = OPTIONS.iter().any(|option| name == option.as_bytes());
            if !known {
                return Err(Malformed::Other(
                    "something that is no option in front of the key",
                ));
            }
        }
        text = &text[end..];
        if let Some(value) = text.strip_prefix(b"=") {
            let (value, rest) = unquote(value).ok_or(Malformed::Other("an option's value is not quoted"))?;
            options.push([&name, &b"="[..], &shown_value(&name, &value)].concat());
            text = rest;
        } else {
            options.push(name);
        }
        text = match text {
            [] => text,
            [b',', rest @ ..] => rest,
            _ => return Err(Malformed::Other("an option does not end where it should")),
        };
    }
    Ok(options)
}

/// Options of sshd(8) that may be written in any case.
const OPTIONS: &[&str] = &[
    "agent-forwarding",
    "cert-authority",
    "command",
    "environment",
    "expiry-time",
    "from",
    "no-agent-forwarding",
    "no-port-forwarding",
    "no-pty",
    "no-touch-required",
    "no-user-rc",
    "no-x11-forwarding",
    "permitlisten",
    "permitopen",
    "port-forwarding",
    "principals",
    "pty",
    "restrict",
    "tunnel",
    "user-rc",
    "verify-required",
    "x11-forwarding",
];

/// The text between quotation marks, in which `\"` is a mark, and what follows.
fn unquote(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let text = text.strip_prefix(b"\"")?;
    let mut value = Vec::new();
    let mut at = 0;
    loop {
        match text.get(at)? {
            b'"' => return Some((value, &text[at + 1..])),
            b'\\' if text.get(at + 1) == Some(&b'"') => {
                value.push(b'"');
                at += 1;
            }
            byte => value.push(*byte),
        }
        at += 1;
    }
}

/// An option's value as it may be published.
fn shown_value(name: &[u8], value: &[u8]) -> Vec<u8> {
    match name {
        b"environment" => match value.iter().position(|byte| *byte == b'=') {
            Some(at) => [&publishable(&value[..at]), &b"="[..], &digest(&value[at + 1..])].concat(),
            None => digest(value),
        },
        b"expiry-time" | b"from" | b"permitlisten" | b"permitopen" | b"principals" | b"tunnel" => {
            publishable(value)
        }
        // `command`, and options that this release does not know.
        _ => digest(value),
    }
}

/// The text itself, or its digest if it looks as if it could hold key material.
fn publishable(text: &[u8]) -> Vec<u8> {
    let encoded = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=');
    let longest = text
        .split(|byte| !encoded(byte))
        .map(<[u8]>::len)
        .max()
        .unwrap_or(0);
    let private = text
        .windows(b"PRIVATE KEY".len())
        .any(|window| window == b"PRIVATE KEY");
    if longest >= ENCODED_RUN || private || text.len() > COMMENT_LIMIT {
        digest(text)
    } else {
        text.to_vec()
    }
}

/// From this many characters of base 64 on, a run in a text may be a secret: 24 bytes.
const ENCODED_RUN: usize = 32;
/// Longest text that is taken for a comment, in bytes.
const COMMENT_LIMIT: usize = 1024;

fn digest(text: &[u8]) -> Vec<u8> {
    let mut out = b"sha256:".to_vec();
    baseline_format::push_hex(&Sha256::digest(text), &mut out);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS";

    fn only(line: &str) -> Result<AuthorizedKey, Malformed> {
        parse(line.as_bytes()).next().unwrap().record
    }

    fn options(line: &str) -> Vec<String> {
        let options = only(line).unwrap().options;
        options
            .into_iter()
            .map(|option| String::from_utf8(option).unwrap())
            .collect()
    }

    #[test]
    fn plain_and_restricted() {
        let key = only(&format!("{KEY} alice@laptop")).unwrap();
        assert_eq!(
            (&key.kind[..], &key.comment[..]),
            (&b"ssh-ed25519"[..], &b"alice@laptop"[..])
        );
        assert_eq!(
            key.fingerprint,
            "SHA256:qH8baHrA5X0qCBovKCZyM02Q7TFtK4GMqVgOo4TZJAE"
        );
        assert_eq!((key.bits, key.options.len()), (None, 0));
        let line = format!("restrict,PTY,from=\"10.0.0.0/8,!10.1.1.1\",permitopen=\"h:1\" {KEY}");
        assert_eq!(
            options(&line),
            ["restrict", "pty", "from=10.0.0.0/8,!10.1.1.1", "permitopen=h:1"]
        );
        assert_eq!(
            options(&format!("cert-authority,principals=\"a,b\"\t{KEY}")),
            ["cert-authority", "principals=a,b"]
        );
    }

    #[test]
    fn secrets_stay_in_the_file() {
        let secret = "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW";
        for line in [
            format!("command=\"backup --token {secret} \\\"x\\\"\",no-pty {KEY}"),
            format!("environment=\"TOKEN={secret}\" {KEY}"),
            format!("{KEY} {secret}"),
            format!("{KEY} -----BEGIN OPENSSH PRIVATE KEY----- {secret}"),
            format!("from=\"{secret}\" {KEY}"),
            format!("{secret} {KEY}"),
            format!("future=\"{secret}\" {KEY}"),
            secret.to_owned(),
            format!("ssh-ed25519 {secret}"),
        ] {
            let printed = format!("{:?}", only(&line));
            let leaked = secret.as_bytes().windows(12).any(|part| {
                let part = std::str::from_utf8(part).unwrap();
                let bytes = format!("{:?}", part.as_bytes());
                printed.contains(part) || printed.contains(bytes.trim_matches(['[', ']']))
            });
            assert!(!leaked, "{line}: {printed}");
        }
        let line = format!("command=\"say \\\"hi\\\"\",environment=\"A=b\" {KEY}");
        assert_eq!(
            options(&line),
            [
                format!("command={}", String::from_utf8(digest(b"say \"hi\"")).unwrap()),
                format!("environment=A={}", String::from_utf8(digest(b"b")).unwrap()),
            ]
        );
    }

    #[test]
    fn malformed_lines() {
        for line in [
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            "2048 65537 1234567 old@protocol-1",
            "command=\"open ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS",
            "from=10.0.0.1 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS",
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS",
            "Ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
        ] {
            assert!(only(line).is_err(), "{line}");
        }
        assert_eq!(parse(b"\n  # comment\n\n").count(), 0);
    }

    #[test]
    fn a_type_of_the_future_is_a_key() {
        let blob = [&[0, 0, 0, 11][..], b"ssh-mldsa44", b"anything"].concat();
        let key = only(&format!("ssh-mldsa44 {}", BASE64.encode(&blob)));
        assert_eq!(key.unwrap().kind, b"ssh-mldsa44");
    }

    proptest! {
        #[test]
        fn any_bytes_are_parsed(bytes: Vec<u8>) {
            prop_assert!(parse(&bytes).count() <= bytes.len());
        }

        #[test]
        fn any_options_are_parsed(options in "[a-z,=\" \\\\-]{0,40}") {
            prop_assert_eq!(parse(format!("{options} {KEY}").as_bytes()).count(), 1);
        }
    }
}
