//! The spelling of bytes in an mtree: vis(3).

use std::borrow::Cow;

/// Whether a byte stands for itself in everything that reads an mtree. `=` is none although it could, because
/// libarchive writes it escaped, too; `*`, `?` and `[` make a name a pattern.
pub(super) const fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && !matches!(byte, b'#' | b'=' | b'\\' | b'*' | b'?' | b'[')
}

/// Appends bytes, each of those that are not plain as a backslash and three octal digits, which everything that
/// reads an mtree understands.
pub(super) fn push(bytes: &[u8], out: &mut Vec<u8>) {
    for &byte in bytes {
        if is_plain(byte) {
            out.push(byte);
        } else {
            out.push(b'\\');
            out.extend([6, 3, 0].map(|shift| b'0' + (byte >> shift & 7)));
        }
    }
}

/// Undoes what vis(3) does in any of its styles. The error is a lower-case fragment.
///
/// Refused are escapes that not everything reads alike: of a zero byte, of a `/`, with fewer than three octal
/// digits, and those that stand for nothing.
pub(super) fn decode(word: &[u8]) -> Result<Cow<'_, [u8]>, &'static str> {
    if !word.contains(&b'\\') {
        return Ok(Cow::Borrowed(word));
    }
    let mut plain = Vec::with_capacity(word.len());
    let mut rest = word;
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'\\' {
            plain.push(first);
            rest = tail;
            continue;
        }
        let (byte, tail) = escaped(tail)?;
        match byte {
            0 => return Err("an escape stands for a zero byte"),
            b'/' => return Err("a `/` is written as an escape"),
            byte => plain.push(byte),
        }
        rest = tail;
    }
    Ok(Cow::Owned(plain))
}

/// The byte of an escape, without its backslash, and what follows it.
fn escaped(rest: &[u8]) -> Result<(u8, &[u8]), &'static str> {
    Ok(match rest {
        [
            high @ b'0'..=b'3',
            middle @ b'0'..=b'7',
            low @ b'0'..=b'7',
            tail @ ..,
        ] => ((high - b'0') << 6 | (middle - b'0') << 3 | (low - b'0'), tail),
        [b'0'..=b'9', ..] => return Err("an escape does not have three octal digits up to 377"),
        [b'M', b'-', byte @ 0x21..=0x7e, tail @ ..] => (byte | 0x80, tail),
        [b'M', b'^', byte, tail @ ..] => (control(*byte)? | 0x80, tail),
        [b'^', byte, tail @ ..] => (control(*byte)?, tail),
        [byte @ (b'\\' | b'#' | b'*' | b'?' | b'['), tail @ ..] => (*byte, tail),
        [b'a', tail @ ..] => (0x07, tail),
        [b'b', tail @ ..] => (0x08, tail),
        [b't', tail @ ..] => (b'\t', tail),
        [b'n', tail @ ..] => (b'\n', tail),
        [b'v', tail @ ..] => (0x0b, tail),
        [b'f', tail @ ..] => (0x0c, tail),
        [b'r', tail @ ..] => (b'\r', tail),
        [b'E', tail @ ..] => (0x1b, tail),
        [b's', tail @ ..] => (b' ', tail),
        _ => return Err("a backslash that begins no escape of vis(3)"),
    })
}

/// The control character that `^` and a character mean.
const fn control(byte: u8) -> Result<u8, &'static str> {
    match byte {
        b'?' => Ok(0x7f),
        b'@'..=b'_' => Ok(byte & 0x1f),
        _ => Err("a control character's escape is none"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_style_of_vis_is_read() {
        for (text, bytes) in [
            (&b"plain"[..], &b"plain"[..]),
            (b"a\\040b", b"a b"),
            (b"a\\sb\\tc\\nd\\\\e\\#f", b"a b\tc\nd\\e#f"),
            (b"caf\\M^?", b"caf\xff"),
            (b"gr\\M-C\\M-<n", "gr\u{fc}n".as_bytes()),
            (b"esc\\^[[31m\\^?\\E", b"esc\x1b[31m\x7f\x1b"),
            (b"\\M^@\\240\\377", b"\x80\xa0\xff"),
            (b"\\*\\?\\[", b"*?["),
            (b"\xc3\xbc", "\u{fc}".as_bytes()),
        ] {
            assert_eq!(decode(text).as_deref(), Ok(bytes), "{text:?}");
        }
    }

    #[test]
    fn what_is_read_differently_is_refused() {
        for text in [
            &b"\\"[..],
            b"a\\",
            b"\\0",
            b"\\40",
            b"\\08",
            b"\\400",
            b"\\000",
            b"\\^@",
            b"\\057",
            b"\\x41",
            b"\\$",
            b"\\M",
            b"\\M-",
            b"\\M-\xff",
            b"\\^a",
            b"\\M^a",
            b"\\e",
            b"\\ ",
        ] {
            assert!(decode(text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(bytes in prop::collection::vec(prop::sample::select((1..=255).filter(|b| *b != b'/').collect::<Vec<u8>>()), 0..20)) {
            let mut text = Vec::new();
            push(&bytes, &mut text);
            prop_assert!(text.iter().all(|byte| matches!(byte, 0x21..=0x7e) && *byte != b'#'));
            prop_assert_eq!(decode(&text).map(Cow::into_owned), Ok(bytes));
        }

        #[test]
        fn anything_is_decoded_or_refused(bytes: Vec<u8>) {
            prop_assert!(decode(&bytes).map_or(0, |plain| plain.len()) <= bytes.len());
        }
    }
}
