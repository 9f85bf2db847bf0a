//! Typed attribute values.

use std::fmt;

use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::OsText;

/// The value of one attribute.
///
/// In JSON a value is its own label: `true`, `42`, `"text"`, `["a","b"]`. `null`, objects and other arrays were
/// written by a newer release; they are kept as they stand and compared as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(untagged)] // The JSON type is the tag.
#[non_exhaustive]
pub enum Value {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number; its unit is part of the attribute's definition.
    Integer(i64),
    /// A text in the one spelling of bytes. Digests are texts with their algorithm in front: `sha256:9f86...`.
    Text(OsText),
    /// Texts whose order is part of the value; a set is written sorted.
    List(Vec<OsText>),
    /// A JSON value of a type that this release does not know.
    #[schemars(schema_with = "other")]
    Other(serde_json::Value),
}

/// What is left of JSON: an array or object of anything, and `null`.
fn other(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"type": ["null", "object", "array"]})
}

impl Value {
    /// A text value of raw bytes.
    #[must_use]
    pub fn bytes(bytes: &[u8]) -> Self {
        Self::Text(OsText::new(bytes))
    }

    /// A list of texts in the order given.
    pub fn list<T: Into<OsText>>(items: impl IntoIterator<Item = T>) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }

    /// A list that stands for a set: sorted, each item once.
    pub fn set<T: Into<OsText>>(items: impl IntoIterator<Item = T>) -> Self {
        let mut items: Vec<OsText> = items.into_iter().map(Into::into).collect();
        items.sort_unstable();
        items.dedup();
        Self::List(items)
    }

    /// Classifies a parsed JSON value.
    pub(crate) fn from_json(json: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Bool(flag) => Self::Bool(flag),
            Json::Number(number) => match number.as_i64() {
                Some(integer) => Self::Integer(integer),
                None => Self::Other(Json::Number(number)),
            },
            Json::String(text) => match OsText::parse(&text) {
                Some(text) => Self::Text(text),
                None => Self::Other(Json::String(text)),
            },
            Json::Array(items) => {
                let texts = items
                    .iter()
                    .map(|item| item.as_str().and_then(OsText::parse))
                    .collect::<Option<Vec<_>>>();
                texts.map_or(Self::Other(Json::Array(items)), Self::List)
            }
            other => Self::Other(other),
        }
    }

    /// Appends the canonical JSON.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Bool(flag) => out.extend_from_slice(if *flag { b"true" } else { b"false" }),
            Self::Integer(integer) => push_integer(*integer, out),
            Self::Text(text) => push_json_text(text.as_str(), out),
            Self::List(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    push_json_text(item.as_str(), out);
                }
                out.push(b']');
            }
            Self::Other(json) => push_json(json, out),
        }
    }
}

/// Appends any JSON in the one spelling: names sorted, texts escaped like all others.
fn push_json(json: &serde_json::Value, out: &mut Vec<u8>) {
    use serde_json::Value as Json;
    match json {
        Json::String(text) => push_json_text(text, out),
        Json::Array(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_json(item, out);
            }
            out.push(b']');
        }
        Json::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            out.push(b'{');
            for (index, (name, value)) in members.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_json_text(name, out);
                out.push(b':');
                push_json(value, out);
            }
            out.push(b'}');
        }
        simple => out.extend_from_slice(simple.to_string().as_bytes()),
    }
}

/// Appends a JSON string. A canonical text has no control characters, so only two characters need care.
pub(crate) fn push_json_text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    if text.bytes().any(|byte| matches!(byte, b'"' | b'\\')) {
        for byte in text.bytes() {
            if matches!(byte, b'"' | b'\\') {
                out.push(b'\\');
            }
            out.push(byte);
        }
    } else {
        out.extend_from_slice(text.as_bytes());
    }
    out.push(b'"');
}

/// Appends a decimal integer without going through the formatting machinery: it runs several times an entry.
pub(crate) fn push_integer(integer: i64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = integer.unsigned_abs();
    loop {
        at -= 1;
        let digit = (rest % 10) as u8;
        digits[at] = b'0' + digit;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if integer < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// For people: a list as its items with commas, a text as it is.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Integer(integer) => write!(f, "{integer}"),
            Self::Text(text) if text.as_str().is_empty() => f.write_str("(empty)"),
            Self::Text(text) => write!(f, "{text}"),
            Self::List(items) if items.is_empty() => f.write_str("(none)"),
            Self::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let separator = if index > 0 { ", " } else { "" };
                    write!(f, "{separator}{item}")?;
                }
                Ok(())
            }
            Self::Other(json) => write!(f, "{json}"),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Self::from_json(serde_json::Value::deserialize(deserializer)?) {
            Self::Other(serde_json::Value::String(_)) => {
                Err(D::Error::custom("text is not in its one spelling"))
            }
            value => Ok(value),
        }
    }
}

impl From<bool> for Value {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<u32> for Value {
    fn from(integer: u32) -> Self {
        Self::Integer(integer.into())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<OsText> for Value {
    fn from(text: OsText) -> Self {
        Self::Text(text)
    }
}
