//! THE order of entries: section name as bytes, then the key's components as bytes.
//!
//! A key is split at `/`, and components are compared one by one, so that a directory's content follows the
//! directory and nothing comes between: `/a`, `/a/b`, `/a.b`. That is the same as comparing bytes with `/`
//! below every other byte, and it is the order in which a depth-first walk with sorted names meets a tree.
//! Keys are compared by the bytes that they stand for, not by their spelling.

use std::cmp::Ordering;

use crate::os_text::unspell;

/// Compares two entries' places, given as (section, key in its canonical spelling).
#[must_use]
pub fn compare(left: (&str, &str), right: (&str, &str)) -> Ordering {
    left.0.cmp(right.0).then_with(|| compare_keys(left.1, right.1))
}

/// Compares two keys of one section, both in their canonical spelling.
#[must_use]
pub fn compare_keys(left: &str, right: &str) -> Ordering {
    if left.contains('\\') || right.contains('\\') {
        compare_key_bytes(&unspell(left), &unspell(right))
    } else {
        compare_key_bytes(left.as_bytes(), right.as_bytes())
    }
}

/// Compares two keys of one section, both as bytes.
#[must_use]
pub fn compare_key_bytes(left: &[u8], right: &[u8]) -> Ordering {
    match left.iter().zip(right).find(|(l, r)| l != r) {
        Some((l, r)) => rank(*l).cmp(&rank(*r)),
        None => left.len().cmp(&right.len()),
    }
}

/// Whether `key` lies below the directory `above`; a key is not below itself. Both in canonical spelling.
#[must_use]
pub fn is_below(key: &str, above: &str) -> bool {
    key.strip_prefix(above.strip_suffix('/').unwrap_or(above))
        .is_some_and(|rest| rest.len() > 1 && rest.starts_with('/'))
}

/// `/` first, then the bytes in their own order.
fn rank(byte: u8) -> u16 {
    if byte == b'/' { 0 } else { u16::from(byte) + 1 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn components_not_characters() {
        let sorted = [
            "/", "/a", "/a/b", "/a/b/c", "/a/c", "/a b", "/a.b", "/a\\xff", "/b",
        ];
        for pair in sorted.windows(2) {
            assert_eq!(compare_keys(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
    }

    #[test]
    fn below_is_by_component() {
        assert!(is_below("/a/b", "/a"));
        assert!(is_below("/a/b/c", "/a"));
        assert!(is_below("/a", "/"));
        for (key, above) in [
            ("/a", "/a"),
            ("/ab", "/a"),
            ("/", "/"),
            ("/a.b/c", "/a"),
            ("/a", "/a/b"),
        ] {
            assert!(!is_below(key, above), "{key} {above}");
        }
    }

    proptest! {
        #[test]
        fn equals_component_comparison(left in "(/[ab.\\x01\u{fc}]{1,3}){1,4}", right in "(/[ab.\\x01\u{fc}]{1,3}){1,4}") {
            let components = |key: &str| key.split('/').map(|c| c.as_bytes().to_vec()).collect::<Vec<_>>();
            prop_assert_eq!(
                compare_key_bytes(left.as_bytes(), right.as_bytes()),
                components(&left).cmp(&components(&right))
            );
        }
    }
}
