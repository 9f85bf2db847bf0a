//! The order of rpm versions.
//!
//! Source: `rpmvercmp` and `rpmverCmp` of rpm, and rpm-version(7). A version is cut into segments: runs of ASCII
//! digits, runs of ASCII letters, `~` and `^`; everything else only separates. The segments are compared in turn,
//! and the end of a text counts as a segment between `~` and `^`.

use std::cmp::Ordering;

/// Compares two versions of the shape `epoch:version-release`.
///
/// A missing epoch is 0. A text without release is older than the same text with one. Different texts can be
/// equal (`1.0` and `1_00`), so this is no order for keys.
#[must_use]
pub fn compare(a: &[u8], b: &[u8]) -> Ordering {
    let (a, b) = (Parts::of(a), Parts::of(b));
    segments(a.epoch, b.epoch)
        .then_with(|| segments(a.version, b.version))
        .then_with(|| match (a.release, b.release) {
            (Some(a), Some(b)) => segments(a, b),
            (a, b) => a.is_some().cmp(&b.is_some()),
        })
}

struct Parts<'a> {
    epoch: &'a [u8],
    version: &'a [u8],
    release: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    /// The epoch is the digits before a `:`, the release what follows the last `-`.
    fn of(text: &'a [u8]) -> Self {
        let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
        let (epoch, rest) = match text.split_at(digits) {
            (epoch, [b':', rest @ ..]) => (epoch, rest),
            _ => (&b"0"[..], text),
        };
        let epoch = if epoch.is_empty() { b"0" } else { epoch };
        match rest.iter().rposition(|b| *b == b'-') {
            Some(dash) => Self {
                epoch,
                version: &rest[..dash],
                release: Some(&rest[dash + 1..]),
            },
            None => Self {
                epoch,
                version: rest,
                release: None,
            },
        }
    }
}

fn segments(mut a: &[u8], mut b: &[u8]) -> Ordering {
    loop {
        let (left, right);
        (left, a) = Segment::next(a);
        (right, b) = Segment::next(b);
        match left.cmp(&right) {
            Ordering::Equal if left == Segment::End => return Ordering::Equal,
            Ordering::Equal => {}
            unequal => return unequal,
        }
    }
}

/// A piece of a version; the order of the variants is the order of versions.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Segment<'a> {
    /// `~`: before everything, even the end.
    Tilde,
    /// The end of the text.
    End,
    /// `^`: after the end, before anything else.
    Caret,
    /// Letters, by bytes.
    Letters(&'a [u8]),
    /// Digits without leading zeros; the longer is the greater.
    Number(usize, &'a [u8]),
}

impl<'a> Segment<'a> {
    /// The first segment of a text, and the rest.
    fn next(text: &'a [u8]) -> (Self, &'a [u8]) {
        let start = text
            .iter()
            .position(|b| b.is_ascii_alphanumeric() || matches!(b, b'~' | b'^'));
        let text = &text[start.unwrap_or(text.len())..];
        let run = |of: fn(&u8) -> bool| text.split_at(text.iter().take_while(|b| of(b)).count());
        match text {
            [] => (Self::End, text),
            [b'~', rest @ ..] => (Self::Tilde, rest),
            [b'^', rest @ ..] => (Self::Caret, rest),
            [b'0'..=b'9', ..] => {
                let (digits, rest) = run(u8::is_ascii_digit);
                let zeros = digits.iter().take_while(|b| **b == b'0').count();
                (Self::Number(digits.len() - zeros, &digits[zeros..]), rest)
            }
            _ => {
                let (letters, rest) = run(u8::is_ascii_alphabetic);
                (Self::Letters(letters), rest)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// From rpm's own test suite (`rpmvercmp.at`) and rpm-version(7); the oracle test compares many more.
    #[test]
    fn known_pairs() {
        for (a, b, order) in [
            ("1.0", "1.0", Ordering::Equal),
            ("1.0", "2.0", Ordering::Less),
            ("5.5p1", "5.5p10", Ordering::Less),
            ("10xyz", "10.1xyz", Ordering::Less),
            ("xyz10", "xyz10.1", Ordering::Less),
            ("6.0.rc1", "6.0", Ordering::Greater),
            ("8.0", "8.0.rc1", Ordering::Less),
            ("1.05", "1.5", Ordering::Equal),
            ("2_0", "2.0", Ordering::Equal),
            ("a", "1", Ordering::Less),
            ("1.0~rc1", "1.0", Ordering::Less),
            ("1.0~rc1~git", "1.0~rc1", Ordering::Less),
            ("1.0^", "1.0", Ordering::Greater),
            ("1.0^git1", "1.0.1", Ordering::Less),
            ("1.0^git1~pre", "1.0^git1", Ordering::Less),
            ("1:1-1", "2-1", Ordering::Greater),
            ("0:1-1", "1-1", Ordering::Equal),
            (":1-1", "1-1", Ordering::Equal),
            ("1-1", "1", Ordering::Greater),
            ("1-1-2", "1-1-10", Ordering::Less),
            (
                "99999999999999999999999",
                "100000000000000000000000",
                Ordering::Less,
            ),
        ] {
            assert_eq!(compare(a.as_bytes(), b.as_bytes()), order, "{a} {b}");
            assert_eq!(compare(b.as_bytes(), a.as_bytes()), order.reverse(), "{b} {a}");
        }
    }

    proptest! {
        #[test]
        fn is_an_order(a in "[0-2a:~^.-]{0,8}", b in "[0-2a:~^.-]{0,8}", c in "[0-2a:~^.-]{0,8}") {
            let (a, b, c) = (a.as_bytes(), b.as_bytes(), c.as_bytes());
            prop_assert_eq!(compare(a, b), compare(b, a).reverse());
            if compare(a, b).is_le() && compare(b, c).is_le() {
                prop_assert!(compare(a, c).is_le());
            }
        }

        #[test]
        fn takes_any_bytes(a: Vec<u8>, b: Vec<u8>) {
            prop_assert_eq!(compare(&a, &b), compare(&b, &a).reverse());
        }
    }
}
