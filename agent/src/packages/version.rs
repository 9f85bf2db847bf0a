//! Which of two versions is the newer one, by the rules of each package manager.

use std::cmp::Ordering;

use super::Ecosystem;

/// Compares two versions of one package as its package manager would. `Equal` means that neither is newer,
/// not that the bytes are the same: dpkg takes `1.0`, `1.00` and `0:1.0-0` for one version.
///
/// Never fails: what is no version by the package manager's own rules has some place nevertheless. The
/// orders of dpkg and apk are total; those of pacman and rpm are not for versions that nobody writes, so
/// nothing should be sorted by them.
#[must_use]
pub fn compare(ecosystem: Ecosystem, a: &[u8], b: &[u8]) -> Ordering {
    match ecosystem {
        Ecosystem::Apk => apk_order(a, b),
        Ecosystem::Deb => deb_order(a, b),
        Ecosystem::Pacman => pacman_order(a, b),
        Ecosystem::Rpm => super::rpm::version::compare(a, b),
    }
}

/// deb-version(7): `[EPOCH:]UPSTREAM[-REVISION]`.
fn deb_order(a: &[u8], b: &[u8]) -> Ordering {
    let ((epoch_a, a), (epoch_b, b)) = (split_epoch(a), split_epoch(b));
    let ((upstream_a, revision_a), (upstream_b, revision_b)) = (split_last_dash(a), split_last_dash(b));
    number_order(epoch_a, epoch_b)
        .then_with(|| deb_part_order(upstream_a, upstream_b))
        // No revision and the revision 0 are the same.
        .then_with(|| deb_part_order(revision_a.unwrap_or_default(), revision_b.unwrap_or_default()))
}

/// Compares pieces without digits and pieces of digits in turn.
fn deb_part_order(mut a: &[u8], mut b: &[u8]) -> Ordering {
    while !(a.is_empty() && b.is_empty()) {
        let ((text_a, rest_a), (text_b, rest_b)) = (split_text(a), split_text(b));
        // The end of a piece has a rank too: below it is only the tilde, so that 1.0~rc1 comes before 1.0.
        let ranks = |text: &'_ [u8]| {
            text.iter()
                .map(|byte| deb_rank(*byte))
                .chain([0])
                .collect::<Vec<i16>>()
        };
        let text = ranks(text_a).cmp(&ranks(text_b));
        let ((digits_a, rest_a), (digits_b, rest_b)) = (split_digits(rest_a), split_digits(rest_b));
        let order = text.then_with(|| number_order(digits_a, digits_b));
        if order.is_ne() {
            return order;
        }
        (a, b) = (rest_a, rest_b);
    }
    Ordering::Equal
}

/// Letters come before all other signs.
fn deb_rank(byte: u8) -> i16 {
    match byte {
        b'~' => -1,
        letter if letter.is_ascii_alphabetic() => i16::from(letter),
        sign => i16::from(sign) + 256,
    }
}

/// pacman's vercmp(8): `[EPOCH:]VERSION[-RELEASE]`; the release counts only if both have one.
fn pacman_order(a: &[u8], b: &[u8]) -> Ordering {
    let ((epoch_a, a), (epoch_b, b)) = (split_epoch(a), split_epoch(b));
    let ((version_a, release_a), (version_b, release_b)) = (split_last_dash(a), split_last_dash(b));
    number_order(epoch_a, epoch_b)
        .then_with(|| segment_order(version_a, version_b))
        .then_with(|| match (release_a, release_b) {
            (Some(a), Some(b)) => segment_order(a, b),
            _ => Ordering::Equal,
        })
}

/// Compares runs of digits and runs of letters in turn. Signs only part them, but how many there are counts.
fn segment_order(mut a: &[u8], mut b: &[u8]) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    loop {
        if a.is_empty() || b.is_empty() {
            return rest_order(a, b);
        }
        let ((signs_a, rest_a), (signs_b, rest_b)) = (split_signs(a), split_signs(b));
        if rest_a.is_empty() || rest_b.is_empty() {
            return rest_order(rest_a, rest_b);
        }
        let signs = signs_a.len().cmp(&signs_b.len());
        if signs.is_ne() {
            return signs;
        }
        let order = match (rest_a[0].is_ascii_digit(), rest_b[0].is_ascii_digit()) {
            (true, true) => {
                let ((digits_a, tail_a), (digits_b, tail_b)) = (split_digits(rest_a), split_digits(rest_b));
                (a, b) = (tail_a, tail_b);
                number_order(digits_a, digits_b)
            }
            (false, false) => {
                let ((word_a, tail_a), (word_b, tail_b)) = (split_letters(rest_a), split_letters(rest_b));
                (a, b) = (tail_a, tail_b);
                word_a.cmp(word_b)
            }
            // A number is newer than a word.
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// One of the two has nothing left. More is newer, unless it is a word: 1.0rc1 comes before 1.0.
fn rest_order(a: &[u8], b: &[u8]) -> Ordering {
    let word = |rest: &[u8]| rest.first().is_some_and(u8::is_ascii_alphabetic);
    match (a.is_empty(), b.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) if !word(b) => Ordering::Less,
        _ if word(a) => Ordering::Less,
        _ => Ordering::Greater,
    }
}

/// apk-package(5): `NUMBER{.NUMBER}{LETTER}{_SUFFIX{NUMBER}}{~HASH}{-rNUMBER}`, as apk 3 compares them.
///
/// Versions are read as pieces with a rank. The first difference decides, in rank or in value, so that what
/// follows a common beginning is in this order: a suffix from before the release, nonsense, nothing, a
/// revision, a hash, a number of a suffix, a suffix from after the release, a letter, a number.
fn apk_order(a: &[u8], b: &[u8]) -> Ordering {
    let (mut a, mut b) = (Pieces { rest: a, last: None }, Pieces { rest: b, last: None });
    loop {
        let ((rank_a, value_a), (rank_b, value_b)) = (a.next_piece(), b.next_piece());
        let order = rank_a.cmp(&rank_b).then_with(|| match rank_a {
            Rank::Number if value_a.starts_with(b"0") || value_b.starts_with(b"0") => value_a.cmp(value_b),
            Rank::First | Rank::Number | Rank::SuffixNumber | Rank::Revision => {
                number_order(value_a, value_b)
            }
            Rank::Before | Rank::After => suffix_rank(value_a).cmp(&suffix_rank(value_b)),
            Rank::Letter | Rank::Hash => value_a.cmp(value_b),
            Rank::End | Rank::Nonsense => Ordering::Equal,
        });
        if order.is_ne() || matches!(rank_a, Rank::End | Rank::Nonsense) {
            return order;
        }
    }
}

/// What a piece of an apk version is, older first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Before,
    Nonsense,
    End,
    Revision,
    Hash,
    SuffixNumber,
    After,
    Letter,
    Number,
    First,
}

struct Pieces<'a> {
    rest: &'a [u8],
    last: Option<Rank>,
}

impl<'a> Pieces<'a> {
    fn next_piece(&mut self) -> (Rank, &'a [u8]) {
        let (rank, value) = self.piece().unwrap_or((Rank::Nonsense, b""));
        self.last = Some(rank);
        (rank, value)
    }

    fn piece(&mut self) -> Option<(Rank, &'a [u8])> {
        use Rank::{After, Before, First, Hash, Letter, Number, Revision, SuffixNumber};
        let Some(last) = self.last else {
            return self.digits(self.rest).map(|digits| (First, digits));
        };
        let Some((&sign, tail)) = self.rest.split_first() else {
            return Some((Rank::End, b""));
        };
        let numbers = matches!(last, First | Number);
        let suffixes = matches!(last, Before | After);
        match sign {
            b'a'..=b'z' if numbers => {
                let (letter, tail) = self.rest.split_at(1);
                self.rest = tail;
                Some((Letter, letter))
            }
            b'.' if numbers => self.digits(tail).map(|digits| (Number, digits)),
            b'0'..=b'9' if suffixes => self.digits(self.rest).map(|digits| (SuffixNumber, digits)),
            b'_' if numbers || suffixes || matches!(last, Letter | SuffixNumber) => {
                let word;
                (word, self.rest) = split_while(tail, u8::is_ascii_lowercase);
                let rank = if suffix_rank(word)? < RELEASE {
                    Before
                } else {
                    After
                };
                Some((rank, word))
            }
            b'~' if !matches!(last, Hash | Revision) => {
                let hash;
                (hash, self.rest) = split_while(tail, u8::is_ascii_hexdigit);
                (!hash.is_empty()).then_some((Hash, hash))
            }
            b'-' if last != Revision => {
                let digits = self.digits(tail.strip_prefix(b"r")?)?;
                Some((Revision, digits))
            }
            _ => None,
        }
    }

    fn digits(&mut self, from: &'a [u8]) -> Option<&'a [u8]> {
        let (digits, rest) = split_digits(from);
        self.rest = rest;
        (!digits.is_empty()).then_some(digits)
    }
}

/// The place of an apk suffix among the suffixes.
fn suffix_rank(word: &[u8]) -> Option<usize> {
    const SUFFIXES: [&[u8]; 9] = [
        b"alpha", b"beta", b"pre", b"rc", b"cvs", b"svn", b"git", b"hg", b"p",
    ];
    SUFFIXES.iter().position(|known| *known == word)
}

/// The first suffix of a version after its release.
const RELEASE: usize = 4;

/// `EPOCH:REST`; no epoch where there are other signs than digits before the colon.
fn split_epoch(version: &[u8]) -> (&[u8], &[u8]) {
    let (digits, rest) = split_digits(version);
    rest.strip_prefix(b":")
        .map_or((b"", version), |rest| (digits, rest))
}

fn split_last_dash(version: &[u8]) -> (&[u8], Option<&[u8]>) {
    match version.iter().rposition(|byte| *byte == b'-') {
        Some(at) => (&version[..at], Some(&version[at + 1..])),
        None => (version, None),
    }
}

/// Compares digits as numbers of any size; none are zero.
fn number_order(a: &[u8], b: &[u8]) -> Ordering {
    let significant = |digits: &[u8]| {
        digits
            .iter()
            .position(|digit| *digit != b'0')
            .unwrap_or(digits.len())
    };
    let (a, b) = (&a[significant(a)..], &b[significant(b)..]);
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

fn split_while(bytes: &[u8], belongs: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    bytes.split_at(
        bytes
            .iter()
            .position(|byte| !belongs(byte))
            .unwrap_or(bytes.len()),
    )
}

fn split_digits(bytes: &[u8]) -> (&[u8], &[u8]) {
    split_while(bytes, u8::is_ascii_digit)
}

fn split_text(bytes: &[u8]) -> (&[u8], &[u8]) {
    split_while(bytes, |byte| !byte.is_ascii_digit())
}

fn split_letters(bytes: &[u8]) -> (&[u8], &[u8]) {
    split_while(bytes, u8::is_ascii_alphabetic)
}

fn split_signs(bytes: &[u8]) -> (&[u8], &[u8]) {
    split_while(bytes, |byte| !byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Checks a list in which each version is newer than the one before.
    fn ascends(ecosystem: Ecosystem, versions: &[&str]) {
        for (at, a) in versions.iter().enumerate() {
            for (other, b) in versions.iter().enumerate() {
                let order = compare(ecosystem, a.as_bytes(), b.as_bytes());
                assert_eq!(order, at.cmp(&other), "{a} against {b}");
            }
        }
    }

    fn same(ecosystem: Ecosystem, versions: &[&str]) {
        for a in versions {
            for b in versions {
                assert!(
                    compare(ecosystem, a.as_bytes(), b.as_bytes()).is_eq(),
                    "{a} against {b}"
                );
            }
        }
    }

    #[test]
    fn debian() {
        ascends(
            Ecosystem::Deb,
            &[
                "0~~",
                "0~~a",
                "0~",
                "0",
                "0a",
                "0+",
                "1.0~rc1",
                "1.0",
                "1.0-1~bpo1",
                "1.0-1",
                "1.0-1+b1",
                "1.0-1.1",
                "1.0-2",
                "1.0-10",
                "1.0a",
                "1.0+dfsg",
                "1.0-1-1",
                "1.0.",
                "1.0.1",
                "1.1",
                "1.10",
                "99999999999999999999999",
                "1:0.1",
                "2:0",
            ],
        );
        same(
            Ecosystem::Deb,
            &["1.0", "1.00", "0:1.0", "1.0-", "1.0-0", "01.0-00"],
        );
    }

    #[test]
    fn pacman() {
        ascends(
            Ecosystem::Pacman,
            &[
                "1.0a", "1.0b", "1.0beta", "1.0p", "1.0pre", "1.0rc", "1.0", "1.0.a", "1.0.1", "1.1",
                "1.5.b", "1.5.1", "1.10", "2.0", "1:0.5", "2:0.1",
            ],
        );
        ascends(
            Ecosystem::Pacman,
            &["1.5-1", "1.5-2", "1.5-10", "1.5.1-1", "1:1.0-1"],
        );
        same(Ecosystem::Pacman, &["1.5", "1.5-1", "0:1.5", "1_5", "01.05"]);
    }

    #[test]
    fn alpine() {
        ascends(
            Ecosystem::Apk,
            &[
                "nonsense",
                "0.9",
                "1.0_alpha",
                "1.0_alpha2",
                "1.0_beta1",
                "1.0_pre3",
                "1.0_rc1",
                "1.0_rc1-r1",
                "1.0_rc10",
                "1.0",
                "1.0-r0",
                "1.0-r2",
                "1.0-r10",
                "1.0~0a1b",
                "1.0_cvs",
                "1.0_svn",
                "1.0_git1",
                "1.0_hg",
                "1.0_p",
                "1.0_p1",
                "1.0_p10",
                "1.0a",
                "1.0b-r1",
                "1.0.01",
                "1.0.02",
                "1.0.1",
                "1.0.2",
                "1.0.10",
                "1.1",
                "2",
                "10",
            ],
        );
        same(Ecosystem::Apk, &["1.0", "01.0"]);
        same(Ecosystem::Apk, &["1.0_odd", "1.0-x", "1.0 "]);
    }

    fn any_version() -> impl Strategy<Value = String> {
        "([0-2]?:)?[0-2ab]{1,2}([.+~_-](alpha|rc|p|r?[0-2]{1,2}|[a-c]|)){0,3}"
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn swapping_turns_the_answer(a in any_version(), b in any_version()) {
            for ecosystem in [Ecosystem::Apk, Ecosystem::Deb] {
                let order = compare(ecosystem, a.as_bytes(), b.as_bytes());
                prop_assert_eq!(compare(ecosystem, b.as_bytes(), a.as_bytes()), order.reverse());
                prop_assert!(compare(ecosystem, a.as_bytes(), a.as_bytes()).is_eq());
            }
        }

        #[test]
        fn dpkg_and_apk_orders_are_total(a in any_version(), b in any_version(), c in any_version()) {
            for ecosystem in [Ecosystem::Apk, Ecosystem::Deb] {
                let order = |a: &str, b: &str| compare(ecosystem, a.as_bytes(), b.as_bytes());
                if order(&a, &b).is_le() && order(&b, &c).is_le() {
                    prop_assert!(order(&a, &c).is_le(), "{} {} {}", a, b, c);
                }
            }
        }

        #[test]
        fn any_bytes_compare(a: Vec<u8>, b: Vec<u8>) {
            for ecosystem in [Ecosystem::Apk, Ecosystem::Deb, Ecosystem::Pacman, Ecosystem::Rpm] {
                prop_assert!(compare(ecosystem, &a, &a).is_eq());
                prop_assert_eq!(compare(ecosystem, &a, &b), compare(ecosystem, &a, &b));
            }
        }
    }
}
