//! The one spelling of bytes that come from a kernel.
//!
//! File names, link targets and attribute names are bytes, not text. [`OsText`] writes them so that a person
//! can read them, a terminal cannot be steered by them, and the bytes come back identical: printable UTF-8 as
//! it is, everything else (and the backslash itself) as `\xHH` with two lower-case hex digits. There is one
//! spelling for each byte string, so equal bytes are equal text.

use std::borrow::Cow;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};

/// Bytes in their one spelling: printable UTF-8 as it is, all else as `\xHH`. See "Text" in
/// `docs/baseline-format.md` for the rules.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct OsText(String);

impl OsText {
    /// Spells `bytes`.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Self {
        let mut text = String::with_capacity(bytes.len());
        spell(bytes, &mut text);
        Self(text)
    }

    /// Takes a text that is already in the canonical spelling; `None` if it is not.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        is_canonical(text).then(|| Self(text.to_owned()))
    }

    /// Two texts with something printable and ASCII between them, which keeps their bytes apart: what follows a
    /// cut character cannot complete it.
    pub(crate) fn joined(left: &Self, between: &'static str, right: &Self) -> Self {
        Self(format!("{left}{between}{right}"))
    }

    /// The canonical spelling.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes that were spelled.
    #[must_use]
    pub fn to_bytes(&self) -> Cow<'_, [u8]> {
        unspell(&self.0)
    }
}

/// Appends the canonical spelling of `bytes` to `out`.
pub(crate) fn spell(bytes: &[u8], out: &mut String) {
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_plain(character) {
                out.push(character);
            } else {
                let mut buffer = [0; 4];
                for byte in character.encode_utf8(&mut buffer).bytes() {
                    push_escaped(byte, out);
                }
            }
        }
        for &byte in chunk.invalid() {
            push_escaped(byte, out);
        }
    }
}

/// The bytes behind a canonical spelling. Borrowed unless something was escaped.
pub(crate) fn unspell(text: &str) -> Cow<'_, [u8]> {
    if !text.contains('\\') {
        return Cow::Borrowed(text.as_bytes());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        if let Some(byte) = escaped_byte(rest) {
            bytes.push(byte);
            rest = &rest[4..];
        } else {
            bytes.push(first);
            rest = tail;
        }
    }
    Cow::Owned(bytes)
}

/// Whether `text` is the one spelling of the bytes that it stands for.
pub(crate) fn is_canonical(text: &str) -> bool {
    if text.bytes().all(|byte| matches!(byte, 0x20..=0x5b | 0x5d..=0x7e)) {
        return true;
    }
    let mut again = String::with_capacity(text.len());
    spell(&unspell(text), &mut again);
    again == text
}

/// Whether a character stands for itself.
///
/// The list is closed and part of the format: it must not follow the Unicode version of a library, or the
/// same name would be spelled differently by two releases. Left out are the backslash, the control
/// characters, and the invisible and direction-changing characters that can make one name look like another.
const fn is_plain(character: char) -> bool {
    !matches!(character,
        '\u{0}'..='\u{1f}' | '\\' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

fn push_escaped(byte: u8, out: &mut String) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push_str("\\x");
    out.push(char::from(HEX[usize::from(byte >> 4)]));
    out.push(char::from(HEX[usize::from(byte & 15)]));
}

/// The byte of a `\xHH` at the start of `rest`; `None` for anything else.
fn escaped_byte(rest: &[u8]) -> Option<u8> {
    let [b'\\', b'x', high, low, ..] = rest else {
        return None;
    };
    let digit = |hex: u8| match hex {
        b'0'..=b'9' => Some(hex - b'0'),
        b'a'..=b'f' => Some(hex - b'a' + 10),
        _ => None,
    };
    Some(digit(*high)? << 4 | digit(*low)?)
}

impl fmt::Display for OsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for OsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

impl From<&str> for OsText {
    /// Spells a text: its backslashes and control characters are escaped like those of any other bytes.
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes())
    }
}

impl From<String> for OsText {
    fn from(text: String) -> Self {
        Self::new(text.as_bytes())
    }
}

impl<'de> Deserialize<'de> for OsText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom("not in the one spelling of bytes"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spells_what_a_terminal_must_not_see() {
        for (bytes, text) in [
            (&b"plain name"[..], "plain name"),
            (b"caf\xff", "caf\\xff"),
            (b"back\\slash", "back\\x5cslash"),
            (b"new\nline\x1b[31m", "new\\x0aline\\x1b[31m"),
            ("gr\u{fc}n".as_bytes(), "gr\u{fc}n"),
            ("evil\u{202e}txt".as_bytes(), "evil\\xe2\\x80\\xaetxt"),
            (b"", ""),
        ] {
            assert_eq!(OsText::new(bytes).to_string(), text);
            assert_eq!(OsText::new(bytes).to_bytes(), bytes);
        }
    }

    #[test]
    fn second_spellings_are_refused() {
        for text in [
            "a\\x61",
            "\\xFF",
            "\\",
            "\\x",
            "\\x0",
            "tab\there",
            "\\xc3\\xbc",
            "\u{202e}",
        ] {
            assert_eq!(OsText::parse(text), None, "{text:?}");
        }
        assert!(OsText::parse("\\x5c\\xff").is_some());
    }

    proptest! {
        #[test]
        fn bytes_round_trip(bytes: Vec<u8>) {
            let text = OsText::new(&bytes);
            prop_assert_eq!(text.to_bytes(), &bytes[..]);
            prop_assert_eq!(OsText::parse(text.as_str()), Some(text.clone()));
            prop_assert!(text.as_str().chars().all(|c| !c.is_control()));
        }

        #[test]
        fn a_text_is_canonical_or_refused(text: String) {
            if let Some(parsed) = OsText::parse(&text) {
                prop_assert_eq!(OsText::new(&parsed.to_bytes()), parsed);
            }
        }
    }
}
