//! Why a signature counts for nothing.

use std::fmt;

use baseline_format::OsText;

use super::issued::Issued;

/// Why a signature, or all of them together, do not make a baseline trusted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Doubt {
    /// The signature does not verify with the key that it names.
    BadSignature {
        /// The key's name.
        key: String,
    },
    /// The statement is not true of this baseline.
    Differs {
        /// The member of the statement that is wrong; `digest` if it is about another baseline.
        member: &'static str,
        /// The baseline that the statement is about.
        digest: String,
    },
    /// Fewer keys signed than must have.
    Few {
        /// Names of the keys that signed.
        by: Vec<String>,
        /// Keys that must have signed.
        needed: usize,
    },
    /// It was issued in the future, which one of two clocks must be wrong about.
    Future(Issued),
    /// It does not say when it was issued.
    NoIssue(String),
    /// There are no trust anchors to judge it by.
    NoAnchors,
    /// The baseline does not name its image, so that no key can be for it.
    NoName,
    /// The payload is not base64.
    NotBase64,
    /// The key may not sign images of this name.
    NotForImage {
        /// The key's name.
        key: String,
        /// The image's name.
        image: String,
    },
    /// It was issued before or after the key may sign.
    OutsideWindow {
        /// The key's name.
        key: String,
        /// When it was issued.
        issued: Issued,
    },
    /// The payload is something other than a statement.
    PayloadType(String),
    /// The statement is not one about a baseline.
    Statement(String),
    /// The operator trusts no key of this name.
    UnknownKey(Option<String>),
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadSignature { key } => write!(
                f,
                "the signature of `{key}` does not verify: it, or what it signs, was changed"
            ),
            Self::Differs {
                member: "digest",
                digest,
            } => write!(f, "it signs another baseline, {}", shown(digest)),
            Self::Differs { member, .. } => {
                write!(
                    f,
                    "what it says of the baseline's {member} is not true of this one"
                )
            }
            Self::Few { by, needed } => match by.as_slice() {
                [] => write!(f, "no trusted key signed; needed: {needed}"),
                by => write!(
                    f,
                    "only {} of {needed} needed keys signed: {}",
                    by.len(),
                    names(by)
                ),
            },
            Self::Future(issued) => {
                write!(
                    f,
                    "it was issued in the future, {issued}: is this clock right, or the signer's?"
                )
            }
            Self::NoIssue(found) => write!(f, "its time of issue `{}` is none", shown(found)),
            Self::NoAnchors => f.write_str("there are no trusted keys here to verify it with"),
            Self::NoName => f.write_str("the baseline does not name its image, so that no key can be for it"),
            Self::NotBase64 => f.write_str("its payload is not base64"),
            Self::NotForImage { key, image } => {
                write!(f, "`{key}` may not sign images called `{}`", shown(image))
            }
            Self::OutsideWindow { key, issued } => {
                write!(f, "`{key}` may not sign what is issued at {issued}")
            }
            Self::PayloadType(found) => write!(f, "its payload is `{}`, not a statement", shown(found)),
            Self::Statement(why) => write!(f, "its statement is not about a baseline: {why}"),
            Self::UnknownKey(Some(id)) => write!(f, "its key `{}` is not trusted here", shown(id)),
            Self::UnknownKey(None) => f.write_str("no key that is trusted here made it"),
        }
    }
}

/// Names in a sentence.
pub(super) fn names(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    match quoted.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        _ => quoted.concat(),
    }
}

/// A text that somebody else chose, without control characters and not longer than a sentence bears.
pub(super) fn shown(text: &str) -> String {
    let end = text.char_indices().nth(SHOWN).map_or(text.len(), |(at, _)| at);
    let (begin, rest) = text.split_at(end);
    let spelled = OsText::new(begin.as_bytes());
    format!("{spelled}{}", if rest.is_empty() { "" } else { "..." })
}

/// Characters of a foreign text that are shown; a digest with its label has 71.
const SHOWN: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_shown_without_harm() {
        assert_eq!(shown("a\u{1b}[2J\n"), "a\\x1b[2J\\x0a");
        assert_eq!(shown(&"\u{fc}".repeat(81)), format!("{}...", "\u{fc}".repeat(80)));
        let all = ["a", "b", "c"].map(str::to_owned);
        assert_eq!(
            [names(&all[..1]), names(&all[..2]), names(&all)],
            ["`a`", "`a` and `b`", "`a`, `b` and `c`"]
        );
    }
}
