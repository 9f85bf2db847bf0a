//! Reading what the program writes, as a stranger would.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::Ran;

/// A report in JSON.
#[derive(Debug)]
pub struct Report(pub Value);

/// One drift of a report.
#[derive(Clone, Debug)]
pub struct Drift {
    /// Fingerprint.
    pub id: String,
    /// Section.
    pub section: String,
    /// Key, as it is spelled.
    pub key: String,
    /// `added`, `removed`, `modified` or `unseen`.
    pub change: String,
    /// Expected and actual value by name.
    pub fields: BTreeMap<String, (Option<Value>, Option<Value>)>,
    /// `critical` to `info`.
    pub severity: String,
    /// Ids of the drifts that tell the same event.
    pub related: Vec<String>,
}

/// A drift that a test wants.
#[derive(Clone, Debug)]
pub struct Want {
    /// Section.
    pub section: &'static str,
    /// Key.
    pub key: &'static str,
    /// Kind of change.
    pub change: &'static str,
    /// Name, expected, actual; null where there is none. All of them for `modified`, some of them for others.
    pub fields: Vec<(&'static str, Value, Value)>,
    /// Severities that make sense.
    pub severity: &'static [&'static str],
}

impl Report {
    /// Of a run with `--format json`, whose exit code must be that of the verdict.
    #[must_use]
    pub fn of(ran: &Ran) -> Self {
        let json: Value = serde_json::from_slice(&ran.stdout)
            .unwrap_or_else(|why| panic!("no report ({why}), exit code {}: {}", ran.code, ran.stderr));
        let code = match json["verdict"].as_str() {
            Some("clean") => 0,
            Some("drift") => 1,
            Some("incomplete") => 2,
            Some("drift-and-incomplete") => 3,
            other => panic!("no such verdict: {other:?}"),
        };
        assert_eq!(
            ran.code, code,
            "the exit code is that of the verdict {}",
            json["verdict"]
        );
        Self(json)
    }

    /// The drifts in their order.
    #[must_use]
    pub fn drifts(&self) -> Vec<Drift> {
        self.0["drifts"]
            .as_array()
            .expect("drifts")
            .iter()
            .map(Drift::of)
            .collect()
    }

    /// The coverage of a section.
    #[must_use]
    pub fn coverage(&self, section: &str) -> &Value {
        let all = self.0["coverage"].as_array().expect("coverage");
        all.iter()
            .find(|coverage| coverage["section"] == section)
            .unwrap_or_else(|| panic!("no coverage of {section}: {all:?}"))
    }

    /// A number of a section's coverage.
    #[must_use]
    pub fn count(&self, section: &str, name: &str) -> u64 {
        self.coverage(section)[name].as_u64().expect("a number")
    }

    /// What was not seen of a section: key and reason.
    #[must_use]
    pub fn unseen(&self, section: &str) -> Vec<(String, String)> {
        let all = self.coverage(section)["unseen"].as_array().expect("unseen");
        all.iter()
            .map(|unseen| (text(&unseen["key"]), text(&unseen["why"])))
            .collect()
    }

    /// Fails unless nothing drifted and everything was looked at.
    pub fn assert_clean(&self) {
        assert_eq!(
            (self.0["verdict"].as_str(), self.drifts().len()),
            (Some("clean"), 0),
            "{:#}",
            self.0
        );
    }

    /// Fails unless the drifts are exactly these, in any order.
    pub fn assert_drifts(&self, case: &str, wanted: &[Want]) {
        let mut left = self.drifts();
        for want in wanted {
            let at = left.iter().position(|drift| want.is_met_by(drift));
            let at = at.unwrap_or_else(|| panic!("{case}: no drift is\n{want:#?}\namong\n{left:#?}"));
            left.remove(at);
        }
        assert!(left.is_empty(), "{case}: more than the change itself: {left:#?}");
    }
}

impl Drift {
    fn of(json: &Value) -> Self {
        let fields = json["fields"].as_array().expect("fields").iter().map(|field| {
            let value = |name| field.get(name).cloned();
            (text(&field["name"]), (value("expected"), value("actual")))
        });
        let related = json.get("related").and_then(Value::as_array);
        Self {
            id: text(&json["id"]),
            section: text(&json["section"]),
            key: text(&json["key"]),
            change: text(&json["change"]),
            fields: fields.collect(),
            severity: text(&json["severity"]),
            related: related
                .map(|ids| ids.iter().map(text).collect())
                .unwrap_or_default(),
        }
    }
}

impl Want {
    fn is_met_by(&self, drift: &Drift) -> bool {
        let side = |value: &Value| Some(value.clone()).filter(|value| !value.is_null());
        let wanted = self
            .fields
            .iter()
            .map(|(name, was, is)| (*name, (side(was), side(is))));
        let has_all = wanted
            .clone()
            .all(|(name, values)| drift.fields.get(name) == Some(&values));
        let one_sided = match self.change {
            "added" => drift
                .fields
                .values()
                .all(|(was, is)| was.is_none() && is.is_some()),
            "removed" => drift
                .fields
                .values()
                .all(|(was, is)| was.is_some() && is.is_none()),
            _ => drift.fields.len() == self.fields.len(),
        };
        (self.section, self.key, self.change) == (&drift.section[..], &drift.key[..], &drift.change[..])
            && self.severity.contains(&&drift.severity[..])
            && has_all
            && one_sided
    }
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .unwrap_or_else(|| panic!("not a text: {value}"))
        .to_owned()
}

/// Section and key, as bytes, of what `baseline show` prints.
#[must_use]
pub fn entries(shown: &[u8]) -> Vec<(String, Vec<u8>, Value)> {
    let lines = std::str::from_utf8(shown).expect("UTF-8").lines();
    lines
        .filter(|line| line.starts_with('['))
        .map(|line| {
            let entry: Value = serde_json::from_str(line).expect("JSON");
            (text(&entry[0]), unspell(&text(&entry[1])), entry[2].clone())
        })
        .collect()
}

/// The bytes behind `\xHH` spelling; written anew from the format's description.
#[must_use]
pub fn unspell(spelled: &str) -> Vec<u8> {
    let mut parts = spelled.split('\\');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let hex = part.get(1..3).filter(|_| part.starts_with('x'));
        let hex = hex.unwrap_or_else(|| panic!("a backslash that escapes nothing: {spelled:?}"));
        bytes.push(u8::from_str_radix(hex, 16).expect("hex digits"));
        bytes.extend(&part.as_bytes()[3..]);
    }
    bytes
}

/// What THE order sorts by: section, then the components of the key.
#[must_use]
pub fn sort_key(section: &str, key: &[u8]) -> (String, Vec<Vec<u8>>) {
    let components = key.split(|byte| *byte == b'/').map(<[u8]>::to_vec).collect();
    // `/` is the root itself, not a directory with a nameless child.
    let components = if key == b"/" { vec![Vec::new()] } else { components };
    (section.to_owned(), components)
}
