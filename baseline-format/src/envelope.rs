//! Signatures that travel with a baseline: DSSE envelopes, one JSON object a line.
//!
//! They stand behind the baseline's frame in a skippable frame of their own, or in a file beside it. This module
//! knows their shape, their bounds and what a signature is made over. It verifies none: it has no keys, and an
//! envelope that it takes says nothing yet. Base64 is left as it stands for whoever verifies.
//!
//! Source: DSSE v1.0.2, `protocol.md` and `envelope.md`; RFC 8878, section 3.1.2 (skippable frames).

use std::fmt;

use serde::{Deserialize, Serialize};

/// Type of a payload that is an in-toto Statement.
pub const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";

/// Longest text of all envelopes of a baseline, attached or in a file beside it. Bytes.
pub const LIMIT: usize = 1 << 20;

/// Most envelopes in one text, and most signatures in all of them together. Bounds the work of verifying.
pub const MOST: usize = 64;

/// How the skippable frame of the envelopes begins: the magic number `0x184D2A5D`, little endian.
pub(crate) const FRAME: [u8; 4] = [0x5d, 0x2a, 0x4d, 0x18];

/// A DSSE envelope. Members that are not listed here are ignored when it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// The signed bytes in base64 (RFC 4648, section 4 or 5).
    pub payload: String,
    /// What the signed bytes are, e.g. [`PAYLOAD_TYPE`].
    #[serde(rename = "payloadType")]
    pub payload_type: String,
    /// At least one signature.
    pub signatures: Vec<Signature>,
}

impl Envelope {
    /// The envelope's line in the spelling that this crate writes, without its line end.
    fn to_line(&self) -> Result<String, BadEnvelopes> {
        serde_json::to_string(self).map_err(|why| BadEnvelopes::NotJson { line: 1, why })
    }
}

/// One signature of an envelope.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signature {
    /// Which key made it. Nothing protects it: a hint where to look, never a proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keyid: Option<String>,
    /// The signature in base64 (RFC 4648, section 4 or 5), made over [`pae`].
    pub sig: String,
}

/// The bytes that a signature is made over, DSSE's pre-authentication encoding: `DSSEv1`, the length of the type,
/// the type, the length of the payload, the payload, with spaces between; lengths in bytes, decimal.
#[must_use]
pub fn pae(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!("DSSEv1 {} {payload_type} {} ", payload_type.len(), payload.len()).into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// The envelopes of one text, each with the line that it was read from, so that what somebody else wrote stays as
/// it is when a signature is added.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelopes {
    lines: Vec<String>,
    envelopes: Vec<Envelope>,
}

impl Envelopes {
    /// Reads envelopes, one a line. A line feed at the very end may be missing.
    pub fn parse(text: &[u8]) -> Result<Self, BadEnvelopes> {
        if text.len() > LIMIT {
            return Err(BadEnvelopes::TooLong);
        }
        let text = std::str::from_utf8(text).map_err(|_| BadEnvelopes::NotUtf8)?;
        let mut found = Self::default();
        for (at, line) in text.strip_suffix('\n').unwrap_or(text).split('\n').enumerate() {
            if at == MOST {
                return Err(BadEnvelopes::TooMany);
            }
            let number = at + 1;
            // An array of the members' values is not another way to write an object.
            if !line.trim_ascii_start().starts_with('{') {
                return Err(BadEnvelopes::NotObject { line: number });
            }
            let envelope: Envelope =
                serde_json::from_str(line).map_err(|why| BadEnvelopes::NotJson { line: number, why })?;
            if envelope.signatures.is_empty() {
                return Err(BadEnvelopes::Unsigned { line: number });
            }
            found.lines.push(line.to_owned());
            found.envelopes.push(envelope);
        }
        found.check()?;
        Ok(found)
    }

    /// The envelopes, in their order.
    #[must_use]
    pub fn all(&self) -> &[Envelope] {
        &self.envelopes
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.envelopes.is_empty()
    }

    /// Adds a signature: to the envelope that has the same payload, if that one is written as this crate writes
    /// them; else in a further envelope. One that is there already is not added again.
    pub fn add(
        &mut self,
        payload_type: &str,
        payload: &str,
        signature: Signature,
    ) -> Result<(), BadEnvelopes> {
        let same = |known: &Envelope| known.payload == payload && known.payload_type == payload_type;
        if self
            .envelopes
            .iter()
            .any(|known| same(known) && known.signatures.contains(&signature))
        {
            return Ok(());
        }
        let mut changed = self.clone();
        let own = changed
            .envelopes
            .iter_mut()
            .zip(&mut changed.lines)
            .find(|(known, line)| same(known) && known.to_line().is_ok_and(|own| own == **line));
        if let Some((known, line)) = own {
            known.signatures.push(signature);
            *line = known.to_line()?;
        } else {
            let envelope = Envelope {
                payload: payload.to_owned(),
                payload_type: payload_type.to_owned(),
                signatures: vec![signature],
            };
            changed.lines.push(envelope.to_line()?);
            changed.envelopes.push(envelope);
        }
        changed.check()?;
        *self = changed;
        Ok(())
    }

    /// The text: each envelope's line with its line end.
    #[must_use]
    pub fn to_text(&self) -> String {
        self.lines.iter().flat_map(|line| [line, "\n"]).collect()
    }

    /// The skippable frame that holds the text, to be put behind a baseline's frame; nothing if there is no
    /// envelope.
    #[must_use]
    pub fn to_frame(&self) -> Vec<u8> {
        if self.is_empty() {
            return Vec::new();
        }
        let text = self.to_text();
        // Every way to make one checks the length.
        let length = u32::try_from(text.len()).unwrap_or(u32::MAX);
        [&FRAME[..], &length.to_le_bytes(), text.as_bytes()].concat()
    }

    /// Refuses what [`Envelopes::parse`] would not take back.
    fn check(&self) -> Result<(), BadEnvelopes> {
        let signatures: usize = self
            .envelopes
            .iter()
            .map(|envelope| envelope.signatures.len())
            .sum();
        if self.envelopes.len() > MOST || signatures > MOST {
            return Err(BadEnvelopes::TooMany);
        }
        let length: usize = self.lines.iter().map(|line| line.len() + 1).sum();
        if length > LIMIT {
            return Err(BadEnvelopes::TooLong);
        }
        Ok(())
    }
}

/// Why a text is not taken as envelopes.
#[derive(Debug)]
#[non_exhaustive]
pub enum BadEnvelopes {
    /// A line is not a JSON object with an envelope's members.
    NotJson {
        /// The line, from 1.
        line: usize,
        /// Why.
        why: serde_json::Error,
    },
    /// A line is not a JSON object.
    NotObject {
        /// The line, from 1.
        line: usize,
    },
    /// It is not text.
    NotUtf8,
    /// It is longer than [`LIMIT`].
    TooLong,
    /// It has more than [`MOST`] envelopes or signatures.
    TooMany,
    /// An envelope has no signature.
    Unsigned {
        /// The line, from 1.
        line: usize,
    },
}

impl fmt::Display for BadEnvelopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotJson { line, why } => write!(f, "envelope {line}: {}", one_line(why)),
            Self::NotObject { line } => write!(f, "envelope {line}: it is not a JSON object"),
            Self::NotUtf8 => f.write_str("the envelopes are not UTF-8"),
            Self::TooLong => write!(f, "the envelopes are longer than {LIMIT} bytes"),
            Self::TooMany => write!(f, "more than {MOST} envelopes or signatures"),
            Self::Unsigned { line } => write!(f, "envelope {line}: it has no signature"),
        }
    }
}

impl std::error::Error for BadEnvelopes {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NotJson { why, .. } => Some(why),
            _ => None,
        }
    }
}

/// What serde says, without the place: an envelope is one line, and a column in base64 helps nobody.
fn one_line(why: &serde_json::Error) -> String {
    let text = why.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn signature(sig: &str) -> Signature {
        Signature {
            keyid: Some("aa".into()),
            sig: sig.into(),
        }
    }

    /// The example of DSSE's `protocol.md`.
    #[test]
    fn pae_is_that_of_the_specification() {
        let bytes = pae("http://example.com/HelloWorld", b"hello world");
        assert_eq!(bytes, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
        assert_eq!(pae("\u{fc}", b""), "DSSEv1 2 \u{fc} 0 ".as_bytes());
    }

    #[test]
    fn signatures_of_one_payload_share_an_envelope() {
        let mut envelopes = Envelopes::default();
        envelopes.add(PAYLOAD_TYPE, "e30=", signature("YQ==")).unwrap();
        envelopes.add(PAYLOAD_TYPE, "e30=", signature("Yg==")).unwrap();
        envelopes.add(PAYLOAD_TYPE, "e30=", signature("YQ==")).unwrap();
        envelopes.add(PAYLOAD_TYPE, "e30x", signature("YQ==")).unwrap();
        envelopes.add("other", "e30=", signature("YQ==")).unwrap();
        let counts: Vec<usize> = envelopes.all().iter().map(|e| e.signatures.len()).collect();
        assert_eq!(counts, [2, 1, 1]);
        assert_eq!(
            Envelopes::parse(envelopes.to_text().as_bytes()).unwrap(),
            envelopes
        );
    }

    #[test]
    fn what_somebody_else_wrote_stays_as_it_is() {
        let foreign = r#"{ "payload":"e30=","payloadType":"application/vnd.in-toto+json","later":1,"signatures":[{"sig":"YQ==","cert":"x"}]}"#;
        let mut envelopes = Envelopes::parse(foreign.as_bytes()).unwrap();
        envelopes.add(PAYLOAD_TYPE, "e30=", signature("Yg==")).unwrap();
        let text = envelopes.to_text();
        assert_eq!(text.lines().next(), Some(foreign));
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn what_is_no_envelope_is_named() {
        let good = r#"{"payload":"","payloadType":"","signatures":[{"sig":""}]}"#;
        for (text, told) in [
            ("", "envelope 1: it is not a JSON object"),
            ("\n", "envelope 1: it is not a JSON object"),
            (r#"["","",[{"sig":""}]]"#, "envelope 1: it is not a JSON object"),
            ("{", "envelope 1: EOF while parsing an object"),
            ("{}", "envelope 1: missing field `payload`"),
            (
                r#"{"payload":"","payload":"","payloadType":"","signatures":[]}"#,
                "envelope 1: duplicate field `payload`",
            ),
            (
                r#"{"payload":"","payloadType":"","signatures":[]}"#,
                "envelope 1: it has no signature",
            ),
            (
                &format!("{good}\n\n{good}"),
                "envelope 2: it is not a JSON object",
            ),
            (&format!("{good}{good}"), "envelope 1: trailing characters"),
            (
                &format!("{good}\n").repeat(65),
                "more than 64 envelopes or signatures",
            ),
            (
                &good.replace("{\"sig\":\"\"}", &["{\"sig\":\"\"}"; 65].join(",")),
                "more than 64 envelopes or signatures",
            ),
            (
                &good.replacen("\"\"", &format!("\"{}\"", "x".repeat(LIMIT)), 1),
                "the envelopes are longer than 1048576 bytes",
            ),
        ] {
            let why = Envelopes::parse(text.as_bytes()).unwrap_err();
            assert_eq!(why.to_string(), told);
        }
        assert!(matches!(Envelopes::parse(b"\xff"), Err(BadEnvelopes::NotUtf8)));
    }

    #[test]
    fn what_cannot_be_read_back_is_not_added() {
        let mut envelopes = Envelopes::default();
        let long = "x".repeat(LIMIT);
        assert!(matches!(
            envelopes.add(PAYLOAD_TYPE, &long, signature("")),
            Err(BadEnvelopes::TooLong)
        ));
        assert!(envelopes.is_empty() && envelopes.to_frame().is_empty());
        for at in 0..MOST {
            envelopes
                .add(PAYLOAD_TYPE, "", signature(&at.to_string()))
                .unwrap();
        }
        assert!(matches!(
            envelopes.add(PAYLOAD_TYPE, "", signature("x")),
            Err(BadEnvelopes::TooMany)
        ));
        assert_eq!(envelopes.all()[0].signatures.len(), MOST);
    }

    fn envelope() -> impl Strategy<Value = (String, String, Option<String>, String)> {
        let keyid = prop::option::of(any::<String>());
        (any::<String>(), any::<String>(), keyid, any::<String>())
    }

    proptest! {
        #[test]
        fn written_is_read(parts in prop::collection::vec(envelope(), 1..8)) {
            let mut envelopes = Envelopes::default();
            for (payload, payload_type, keyid, sig) in parts {
                envelopes.add(&payload_type, &payload, Signature { keyid, sig }).unwrap();
            }
            let text = envelopes.to_text();
            prop_assert_eq!(&Envelopes::parse(text.as_bytes()).unwrap(), &envelopes);
            let frame = envelopes.to_frame();
            prop_assert_eq!(&frame[8..], text.as_bytes());
            prop_assert_eq!(u32::from_le_bytes(frame[4..8].try_into().unwrap()) as usize, text.len());
        }

        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            prop_assert!(Envelopes::parse(&bytes).is_err());
        }

        #[test]
        fn pae_tells_type_and_payload_apart(a: String, x: Vec<u8>, b: String, y: Vec<u8>) {
            prop_assert_eq!(pae(&a, &x) == pae(&b, &y), a == b && x == y);
        }
    }
}
