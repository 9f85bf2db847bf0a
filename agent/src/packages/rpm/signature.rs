//! Who signed a package, from the `OpenPGP` signature packet in its header.
//!
//! Nothing is verified here: the package file that was signed is gone. Source: RFC 9580 (packets, subpackets,
//! algorithm numbers); version 3 packets, which RHEL signed with for long, are in RFC 4880.

use super::header::Header;
use super::{Malformed, tag, word};

/// The signatures of a header as text, e.g. `rsa/sha256 key 199e2f91fd431d51`, joined by `, ` if there are several;
/// `None` for an unsigned package.
///
/// Looked for in the tag of rpm 6 first, which holds all of them, then in those over the header, then in those over
/// header and payload.
pub fn of(header: &Header) -> Result<Option<Vec<u8>>, Malformed> {
    if let Some(all) = header.strings(tag::OPENPGP)? {
        let all = all
            .map(|text| describe(&base64(text)?))
            .collect::<Result<Vec<_>, _>>()?;
        return Ok(Some(all.join(", ").into_bytes()));
    }
    for tag in [tag::RSAHEADER, tag::DSAHEADER, tag::SIGPGP, tag::SIGGPG] {
        if let Some(packet) = header.bytes(tag)? {
            return Ok(Some(describe(packet)?.into_bytes()));
        }
    }
    Ok(None)
}

/// One signature packet as text: algorithms by name where known, else by number, and the issuer's key id in
/// hexadecimal.
pub fn describe(packet: &[u8]) -> Result<String, Malformed> {
    let bad = || Malformed::new("the signature is no OpenPGP signature packet");
    let body = body(packet).ok_or_else(bad)?;
    let (public, hash, issuer) = match body {
        // 5 bytes are hashed: type and time.
        [3, 5, _, _, _, _, _, rest @ ..] => match rest.split_first_chunk() {
            Some((issuer, [public, hash, ..])) => (public, hash, Some(*issuer)),
            _ => return Err(bad()),
        },
        [4, _, public, hash, rest @ ..] => (
            public,
            hash,
            subpackets(rest, 2).ok_or_else(bad)?.find_map(key_id),
        ),
        [6, _, public, hash, rest @ ..] => (
            public,
            hash,
            subpackets(rest, 4).ok_or_else(bad)?.find_map(key_id),
        ),
        _ => return Err(bad()),
    };
    let public = match public {
        1..=3 => "rsa".into(),
        17 => "dsa".into(),
        19 => "ecdsa".into(),
        22 => "eddsa".into(),
        27 => "ed25519".into(),
        28 => "ed448".into(),
        other => format!("algorithm-{other}"),
    };
    let hash = match hash {
        1 => "md5".into(),
        2 => "sha1".into(),
        3 => "ripemd160".into(),
        8 => "sha256".into(),
        9 => "sha384".into(),
        10 => "sha512".into(),
        11 => "sha224".into(),
        12 => "sha3-256".into(),
        14 => "sha3-512".into(),
        other => format!("hash-{other}"),
    };
    let issuer = issuer.map_or_else(
        || "unknown".into(),
        |id| format!("{:016x}", u64::from_be_bytes(id)),
    );
    Ok(format!("{public}/{hash} key {issuer}"))
}

/// The body of a packet that must be a signature (type 2) and of definite length.
fn body(packet: &[u8]) -> Option<&[u8]> {
    let (first, rest) = packet.split_first()?;
    let (length, rest) = match first {
        // The new format: a length as in subpackets.
        0xc2 => length(rest)?,
        // The old format: the two lowest bits say how long the length is.
        0x88 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x89 => (
            usize::from(u16::from_be_bytes(*rest.first_chunk()?)),
            rest.get(2..)?,
        ),
        0x8a => (
            usize::try_from(u32::from_be_bytes(word(rest, 0)?)).ok()?,
            rest.get(4..)?,
        ),
        _ => return None,
    };
    rest.get(..length)
}

/// A length of the new format, and what follows it. Partial lengths, which signatures cannot have, are read as the
/// two-byte lengths they are in subpackets and then run out of bounds.
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    match bytes {
        [one @ 0..192, rest @ ..] => Some((usize::from(*one), rest)),
        [255, rest @ ..] => Some((
            usize::try_from(u32::from_be_bytes(word(rest, 0)?)).ok()?,
            rest.get(4..)?,
        )),
        [one, two, rest @ ..] => Some(((usize::from(*one) - 192) * 256 + usize::from(*two) + 192, rest)),
        _ => None,
    }
}

/// The subpackets in the two areas, hashed and unhashed, each behind its length of `width` bytes.
fn subpackets(mut rest: &[u8], width: usize) -> Option<impl Iterator<Item = &[u8]>> {
    let mut found = Vec::new();
    for _ in 0..2 {
        let (size, after) = rest.split_at_checked(width)?;
        let size = size
            .iter()
            .fold(0_usize, |sum, byte| sum << 8 | usize::from(*byte));
        let (mut area, after) = after.split_at_checked(size)?;
        rest = after;
        while !area.is_empty() {
            let (size, after) = length(area)?;
            let (subpacket, after) = after.split_at_checked(size)?;
            found.push(subpacket);
            area = after;
        }
    }
    Some(found.into_iter())
}

/// The key id in an issuer (16) or issuer fingerprint (33) subpacket; the highest bit of the type only says that it
/// is critical.
fn key_id(subpacket: &[u8]) -> Option<[u8; 8]> {
    match subpacket {
        [16 | 144, id @ ..] => id.try_into().ok(),
        [33 | 161, 4, fingerprint @ ..] if fingerprint.len() == 20 => fingerprint.last_chunk().copied(),
        [33 | 161, 6, fingerprint @ ..] if fingerprint.len() == 32 => fingerprint.first_chunk().copied(),
        _ => None,
    }
}

/// Decodes base64 of RFC 4648, with or without line ends and padding.
fn base64(text: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut held) = (0_u32, 0);
    for digit in text.iter().filter(|b| !b.is_ascii_whitespace() && **b != b'=') {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return Err(Malformed::new("the signature is not base64")),
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::header;
    use super::super::testing::{Value, package};
    use super::*;

    const KEY: [u8; 8] = [0x19, 0x9e, 0x2f, 0x91, 0xfd, 0x43, 0x1d, 0x51];

    fn version_3() -> Vec<u8> {
        [
            &[0x88, 22, 3, 5, 0, 1, 2, 3, 4][..],
            &KEY,
            &[1, 8, 0xab, 0xcd, 0, 8, 0xff],
        ]
        .concat()
    }

    fn version_4(unhashed: &[u8]) -> Vec<u8> {
        let body = [
            &[
                4,
                0,
                1,
                8,
                0,
                6,
                5,
                2,
                1,
                2,
                3,
                4,
                0,
                u8::try_from(unhashed.len()).unwrap(),
            ][..],
            unhashed,
        ];
        let body = [body.concat(), vec![0xab, 0xcd, 0, 8, 0xff]].concat();
        [&[0xc2, u8::try_from(body.len()).unwrap()][..], &body].concat()
    }

    #[test]
    fn issuer_is_found() {
        assert_eq!(describe(&version_3()).unwrap(), "rsa/sha256 key 199e2f91fd431d51");
        assert_eq!(
            describe(&version_4(&[&[9, 16][..], &KEY].concat())).unwrap(),
            "rsa/sha256 key 199e2f91fd431d51"
        );
        let fingerprint = [&[22, 161, 4][..], &[7; 12], &KEY].concat();
        assert_eq!(
            describe(&version_4(&fingerprint)).unwrap(),
            "rsa/sha256 key 199e2f91fd431d51"
        );
        assert_eq!(describe(&version_4(&[])).unwrap(), "rsa/sha256 key unknown");
    }

    #[test]
    fn cut_or_foreign_packets_are_refused() {
        let whole = version_4(&[&[9, 16][..], &KEY].concat());
        for end in 0..whole.len() {
            describe(&whole[..end]).unwrap_err();
        }
        // A user id packet, and a subpacket that reaches out of its area.
        describe(&[0xb4, 1, b'x']).unwrap_err();
        describe(&version_4(&[20, 16, 1])).unwrap_err();
    }

    #[test]
    fn tags_are_taken_in_order() {
        let mut both = package("demo");
        both.add(tag::SIGPGP, Value::Bytes(&[0]))
            .add(tag::RSAHEADER, Value::Bytes(&version_3()));
        let blob = both.plain();
        let text = of(&header::parse(&blob).unwrap()).unwrap();
        assert_eq!(text.as_deref(), Some(&b"rsa/sha256 key 199e2f91fd431d51"[..]));

        // `version_3()` in base64, as rpm 6 stores it.
        let mut six = package("demo");
        six.add(
            tag::OPENPGP,
            Value::Texts(&[
                "iBYDBQABAgMEGZ4vkf1DHVEBCKvN\nAAj/",
                "iBYDBQABAgMEGZ4vkf1DHVEBCKvNAAj/",
            ]),
        );
        let blob = six.plain();
        let text = of(&header::parse(&blob).unwrap()).unwrap();
        let one = "rsa/sha256 key 199e2f91fd431d51";
        assert_eq!(text, Some(format!("{one}, {one}").into_bytes()));

        let blob = package("demo").plain();
        assert_eq!(of(&header::parse(&blob).unwrap()).unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_packet_ends(packet: Vec<u8>, tag in prop::sample::select(&[0x88_u8, 0x89, 0x8a, 0xc2][..])) {
            describe(&packet).ok();
            describe(&[&[tag, 30, 4, 0, 1, 8][..], &packet].concat()).ok();
            base64(&packet).ok();
        }
    }
}
