//! What the signatures on a baseline are worth.

use std::collections::BTreeMap;
use std::time::SystemTime;

use baseline_format::Sealed;
use baseline_format::envelope::{Envelope, Envelopes, PAYLOAD_TYPE, Signature, pae};
use baseline_format::statement::Statement;
use data_encoding::{BASE64, BASE64URL};

use super::anchors::{Anchors, Grant};
use super::doubt::{Doubt, names};
use super::issued::Issued;

/// How far a baseline can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Enough keys signed it that the operator trusts with it.
    Trusted(Trusted),
    /// Nobody signed it.
    Unsigned,
    /// It is signed, and the signatures are not enough. Why, at least one reason.
    Untrusted(Vec<Doubt>),
}

/// Who signed, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    /// Names of the distinct keys that signed, sorted.
    pub by: Vec<String>,
    /// Keys that must have signed.
    pub needed: usize,
    /// The latest time at or after which enough of the keys issued their statements: one key alone cannot make a
    /// baseline look newer where two are needed.
    pub issued: Issued,
    /// Further signatures, and why they count for nothing.
    pub aside: Vec<Doubt>,
}

impl Trust {
    /// What a report says of it.
    #[must_use]
    pub fn sentences(&self) -> Vec<String> {
        match self {
            Self::Trusted(trusted) => {
                let by = names(&trusted.by);
                let needed = match trusted.needed {
                    1 => String::new(),
                    needed => format!(" ({needed} needed)"),
                };
                let signed = format!("signed by {by}{needed}, issued {}", trusted.issued);
                let aside = trusted
                    .aside
                    .iter()
                    .map(|doubt| format!("a further signature was not counted: {doubt}"));
                [signed].into_iter().chain(aside).collect()
            }
            Self::Unsigned => vec![
                "the baseline is not signed: whoever can write the file can choose what counts as clean"
                    .to_owned(),
            ],
            Self::Untrusted(why) => why
                .iter()
                .map(|doubt| format!("the baseline is not trusted: {doubt}"))
                .collect(),
        }
    }
}

/// Judges the signatures that are attached to a baseline and those in a file beside it. No key is taken from
/// either.
///
/// Signatures of different times count together: each signer vouches for the same baseline. A key counts once,
/// however often it signed and under however many names.
#[must_use]
pub fn judge(baseline: &Sealed, beside: &Envelopes, anchors: &Anchors, now: SystemTime) -> Trust {
    let envelopes: Vec<&Envelope> = baseline.envelopes.all().iter().chain(beside.all()).collect();
    if envelopes.is_empty() {
        return Trust::Unsigned;
    }
    if anchors.is_empty() {
        return Trust::Untrusted(vec![Doubt::NoAnchors]);
    }
    let Some(image) = baseline
        .header
        .image
        .name
        .as_deref()
        .filter(|name| !name.is_empty())
    else {
        return Trust::Untrusted(vec![Doubt::NoName]);
    };
    let mut judging = Judging {
        baseline,
        image,
        anchors,
        now,
        vouchers: BTreeMap::new(),
        doubts: Vec::new(),
    };
    for envelope in envelopes {
        if let Err(doubt) = judging.envelope(envelope) {
            judging.doubts.push(doubt);
        }
    }
    judging.end()
}

struct Judging<'a> {
    baseline: &'a Sealed,
    image: &'a str,
    anchors: &'a Anchors,
    now: SystemTime,
    /// By the key's id: its name, and when it last vouched for the baseline.
    vouchers: BTreeMap<&'a str, (&'a str, Issued)>,
    doubts: Vec<Doubt>,
}

impl<'a> Judging<'a> {
    fn envelope(&mut self, envelope: &Envelope) -> Result<(), Doubt> {
        if envelope.payload_type != PAYLOAD_TYPE {
            return Err(Doubt::PayloadType(envelope.payload_type.clone()));
        }
        let payload = decode(&envelope.payload).ok_or(Doubt::NotBase64)?;
        let signed = pae(&envelope.payload_type, &payload);
        let mut signers = Vec::new();
        for signature in &envelope.signatures {
            match self.signer(signature, &signed) {
                Ok(id) => signers.push(id),
                Err(doubt) => self.doubts.push(doubt),
            }
        }
        if signers.is_empty() {
            // What nobody trusted signed is not even looked at.
            return Ok(());
        }
        let statement = Statement::parse(&payload).map_err(|why| Doubt::Statement(why.to_string()))?;
        if let Some(member) = statement.differs(&self.baseline.header, &self.baseline.end) {
            let digest = statement.predicate.digest;
            return Err(Doubt::Differs { member, digest });
        }
        let issued = Issued::parse(&statement.predicate.issued)
            .map_err(|_| Doubt::NoIssue(statement.predicate.issued.clone()))?;
        if issued.is_ahead_of(self.now) {
            return Err(Doubt::Future(issued));
        }
        for id in signers {
            match self.granted(id, issued) {
                Ok(name) => {
                    let voucher = self.vouchers.entry(id).or_insert((name, issued));
                    voucher.1 = voucher.1.max(issued);
                }
                Err(doubt) => self.doubts.push(doubt),
            }
        }
        Ok(())
    }

    /// The id of the trusted key that made a signature.
    fn signer(&self, signature: &Signature, signed: &[u8]) -> Result<&'a str, Doubt> {
        // The key's id only says where to look; without one, which may be spelled as an empty one, every key is
        // tried.
        let id = signature.keyid.as_ref().filter(|id| !id.is_empty());
        let named = |grant: &&Grant| id.is_none_or(|id| *id == grant.id);
        let mut candidates = self.anchors.grants().iter().filter(named).peekable();
        let Some(first) = candidates.peek().map(|grant| grant.name.clone()) else {
            return Err(Doubt::UnknownKey(id.cloned()));
        };
        let bytes = decode(&signature.sig).unwrap_or_default();
        let doubt = match id {
            Some(_) => Doubt::BadSignature { key: first },
            None => Doubt::UnknownKey(None),
        };
        candidates
            .find(|grant| grant.key.verifies(signed, &bytes))
            .map(|grant| grant.id.as_str())
            .ok_or(doubt)
    }

    /// The name under which a key may issue a statement on the image then.
    fn granted(&self, id: &str, issued: Issued) -> Result<&'a str, Doubt> {
        let grants = self.anchors.grants().iter().filter(|grant| grant.id == id);
        let mut doubt = Doubt::UnknownKey(Some(id.to_owned()));
        for grant in grants {
            let key = grant.name.clone();
            if !grant.is_for(self.image) {
                let image = self.image.to_owned();
                doubt = Doubt::NotForImage { key, image };
            } else if grant.held_at(issued) {
                return Ok(&grant.name);
            } else {
                doubt = Doubt::OutsideWindow { key, issued };
            }
        }
        Err(doubt)
    }

    fn end(mut self) -> Trust {
        self.doubts.sort_unstable();
        self.doubts.dedup();
        let needed = self.anchors.needed(self.image);
        let mut by: Vec<String> = self
            .vouchers
            .values()
            .map(|(name, _)| (*name).to_owned())
            .collect();
        by.sort_unstable();
        let mut times: Vec<Issued> = self.vouchers.values().map(|(_, issued)| *issued).collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        if let Some(issued) = times.get(needed.saturating_sub(1)) {
            return Trust::Trusted(Trusted {
                by,
                needed,
                issued: *issued,
                aside: self.doubts,
            });
        }
        if !by.is_empty() || self.doubts.is_empty() {
            self.doubts.push(Doubt::Few { by, needed });
        }
        Trust::Untrusted(self.doubts)
    }
}

/// Base64 of either alphabet, as DSSE allows.
fn decode(text: &str) -> Option<Vec<u8>> {
    let url = text.bytes().any(|byte| matches!(byte, b'-' | b'_'));
    let encoding = if url { BASE64URL } else { BASE64 };
    encoding.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests;
