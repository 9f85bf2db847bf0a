//! What a signature on a baseline says: an in-toto Statement whose predicate is ours.
//!
//! The statement repeats what identifies the baseline, so that it can be read, searched and archived without the
//! file. It is never taken at its word: [`Statement::differs`] compares all of it with the baseline at hand.
//!
//! Source: in-toto Attestation Framework, `spec/v1/statement.md` and `spec/v1/digest_set.md`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::header::{End, Header, Image};

/// `_type` of the statement.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";

/// What kind of predicate ours is. The version grows when a member changes its meaning.
pub const PREDICATE_TYPE: &str = "https://driftcheck.dev/attestation/baseline/v1";

/// An in-toto Statement about a baseline. Members that are not listed here are ignored when it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    /// The image; if it has no digest of its own, the baseline.
    pub subject: Vec<Subject>,
    #[serde(rename = "predicateType")]
    predicate_type: String,
    /// What is said of it.
    pub predicate: Predicate,
}

/// What a statement is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    /// `NAME:VERSION` of the image, or `NAME` if it has no version.
    #[serde(default)]
    pub name: String,
    /// Hexadecimal digits by algorithm, e.g. `sha256`.
    pub digest: BTreeMap<String, String>,
}

/// What a statement says of its subject: that this baseline was recorded from it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Predicate {
    /// Version of the baseline's format.
    pub format: u32,
    /// The baseline's digest over everything.
    pub digest: String,
    /// Entries in all sections.
    pub entries: u64,
    /// One element a section, in the order of the header.
    pub sections: Vec<Section>,
    /// The image, as the header has it.
    pub image: Image,
    /// When the signer issued the statement, `YYYY-MM-DDTHH:MM:SSZ`.
    pub issued: String,
}

/// What a statement says of one section.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Section {
    /// Its name.
    pub name: String,
    /// Revision of its attributes.
    pub revision: u32,
    /// Its number of entries.
    pub entries: u64,
    /// Digest over its entries.
    pub digest: String,
}

impl Statement {
    /// The statement about a baseline, given its header and its trailer.
    pub fn new(header: &Header, end: &End, issued: String) -> Result<Self, NoStatement> {
        let sections = header.sections.iter().zip(&end.sections);
        Ok(Self {
            kind: STATEMENT_TYPE.to_owned(),
            subject: vec![subject(&header.image, end)?],
            predicate_type: PREDICATE_TYPE.to_owned(),
            predicate: Predicate {
                format: header.format,
                digest: end.digest.clone(),
                entries: end.entries,
                sections: sections
                    .map(|(section, sum)| Section {
                        name: section.name.clone(),
                        revision: section.revision,
                        entries: sum.entries,
                        digest: sum.digest.clone(),
                    })
                    .collect(),
                image: header.image.clone(),
                issued,
            },
        })
    }

    /// Reads a payload.
    pub fn parse(payload: &[u8]) -> Result<Self, BadStatement> {
        // Somebody else's statement is named as such, not as a broken one of ours.
        let kinds: Kinds = serde_json::from_slice(payload).map_err(BadStatement::NotJson)?;
        if kinds.kind != STATEMENT_TYPE || kinds.predicate_type != PREDICATE_TYPE {
            return Err(BadStatement::Foreign);
        }
        serde_json::from_slice(payload).map_err(BadStatement::NotJson)
    }

    /// The payload: the statement as JSON.
    pub fn to_payload(&self) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(self)
    }

    /// What in the statement is not true of this baseline; `None` if all is.
    #[must_use]
    pub fn differs(&self, header: &Header, end: &End) -> Option<&'static str> {
        let Ok(own) = Self::new(header, end, self.predicate.issued.clone()) else {
            return Some("subject");
        };
        let (said, is) = (&self.predicate, &own.predicate);
        // The digest covers all the rest: a statement that has it right and the rest wrong was made to mislead.
        [
            ("digest", said.digest != is.digest),
            ("image", said.image != is.image),
            ("format", said.format != is.format),
            ("entries", said.entries != is.entries),
            ("sections", said.sections != is.sections),
            (
                "subject",
                !own.subject.iter().all(|subject| self.subject.contains(subject)),
            ),
        ]
        .into_iter()
        .find_map(|(member, differs)| differs.then_some(member))
    }
}

fn subject(image: &Image, end: &End) -> Result<Subject, NoStatement> {
    let name = match (&image.name, &image.version) {
        (Some(name), Some(version)) if !name.is_empty() => format!("{name}:{version}"),
        (Some(name), None) if !name.is_empty() => name.clone(),
        _ => return Err(NoStatement::NoName),
    };
    let digest = image.digest.as_ref().unwrap_or(&end.digest);
    let (algorithm, digits) = digest
        .split_once(':')
        .filter(|(algorithm, digits)| is_digest(algorithm, digits))
        .ok_or_else(|| NoStatement::Digest(digest.clone()))?;
    Ok(Subject {
        name,
        digest: BTreeMap::from([(algorithm.to_owned(), digits.to_owned())]),
    })
}

/// Whether these can be an element of in-toto's digest set.
fn is_digest(algorithm: &str, digits: &str) -> bool {
    let length = match algorithm {
        "sha256" => 64,
        "sha384" => 96,
        "sha512" => 128,
        _ => return false,
    };
    digits.len() == length
        && digits
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The part of a statement that is read before its predicate.
#[derive(Deserialize)]
struct Kinds {
    #[serde(rename = "_type")]
    kind: String,
    #[serde(rename = "predicateType")]
    predicate_type: String,
}

/// Why there can be no statement about a baseline.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoStatement {
    /// The image's digest is not of a form that a statement can hold.
    Digest(String),
    /// The image has no name: nobody could say which keys may sign it, or whether it is older than another one.
    NoName,
}

impl fmt::Display for NoStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digest(found) => write!(
                f,
                "the image's digest `{}` is not `sha256:` and 64 lower-case hexadecimal digits",
                found.escape_debug()
            ),
            Self::NoName => f.write_str("the baseline does not name its image: record it again with --name"),
        }
    }
}

impl std::error::Error for NoStatement {}

/// Why a payload is not taken as a statement about a baseline.
#[derive(Debug)]
#[non_exhaustive]
pub enum BadStatement {
    /// It is a statement of another kind.
    Foreign,
    /// It cannot be understood.
    NotJson(serde_json::Error),
}

impl fmt::Display for BadStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("it is a statement of another kind"),
            Self::NotJson(why) => write!(f, "it cannot be understood: {why}"),
        }
    }
}

impl std::error::Error for BadStatement {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotJson(why) => Some(why),
            Self::Foreign => None,
        }
    }
}
