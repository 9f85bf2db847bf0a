//! What is known before anything is merged: that every input is sound, and what the merged baseline will be of.

use std::collections::BTreeMap;

use baseline_format::OsText;
use baseline_format::header::{self, End, FORMAT_VERSION, Header, Image, SectionInfo, Stated};
use serde_json::Value as Json;

use super::{Failure, Input, MOST, Settings, open};
use crate::inspect::scopes::{Outlook, is_same, is_same_set, rule_text};
use crate::inspect::{MERGED, OVERLAY, PROVENANCE, PROVENANCE_REVISION};

/// How the inputs go together.
pub(super) struct Plan {
    pub(super) headers: Vec<Header>,
    pub(super) ends: Vec<End>,
    pub(super) labels: Vec<OsText>,
    /// The merged baseline's header.
    pub(super) header: Header,
    /// What each input leaves out.
    pub(super) outlooks: Vec<Outlook>,
    /// What the merged baseline leaves out.
    pub(super) outlook: Outlook,
    pub(super) remarks: Vec<String>,
}

impl Plan {
    pub(super) fn of(inputs: &[Input<'_>], settings: &Settings) -> Result<Self, Failure> {
        if inputs.is_empty() || inputs.len() > MOST {
            return Err(Failure::Inputs(inputs.len()));
        }
        let (mut headers, mut ends) = (Vec::new(), Vec::new());
        for (at, input) in inputs.iter().enumerate() {
            let reader = open(input)?;
            let header = reader.header().clone();
            if at == 0 && header.image.source_kind == OVERLAY {
                return Err(Failure::NoBase(input.place.clone()));
            }
            if let Some(member) = unknown_member(reader.header_line(), &header) {
                return Err(Failure::Member {
                    path: input.place.clone(),
                    member,
                });
            }
            headers.push(header);
            ends.push(reader.verify().map_err(|why| Failure::Baseline {
                path: input.place.clone(),
                why,
            })?);
        }
        let is_other = |header: &Header| header.scope.attributes != headers[0].scope.attributes;
        if let Some(at) = headers.iter().position(is_other) {
            let place = |at: usize| {
                inputs
                    .get(at)
                    .map_or(OsText::default(), |input| input.place.clone())
            };
            return Err(match headers[at].scope.attributes {
                Stated::Declared => Failure::Declared(place(at), place(0)),
                Stated::All => Failure::Declared(place(0), place(at)),
            });
        }
        let scope = scope_of_all(&headers);
        let outlook = |scope: &header::Scope| Outlook::new(scope).map_err(Failure::Glob);
        let labels = labels(&headers);
        Ok(Self {
            remarks: remarks(&headers, &labels, &scope),
            header: Header {
                format: FORMAT_VERSION,
                image: image(&headers, settings),
                sections: sections(inputs, &headers)?,
                scope: scope.clone(),
            },
            outlooks: headers
                .iter()
                .map(|header| outlook(&header.scope))
                .collect::<Result<_, _>>()?,
            outlook: outlook(&scope)?,
            headers,
            ends,
            labels,
        })
    }
}

/// All sections of all inputs, and the provenance.
fn sections(inputs: &[Input<'_>], headers: &[Header]) -> Result<Vec<SectionInfo>, Failure> {
    let mut known: BTreeMap<&str, (usize, u32)> = BTreeMap::new();
    for (at, header) in headers.iter().enumerate() {
        for section in header
            .sections
            .iter()
            .filter(|section| section.name != PROVENANCE)
        {
            let (first, revision) = *known.entry(&section.name).or_insert((at, section.revision));
            if revision != section.revision {
                let place = |at: usize| {
                    inputs
                        .get(at)
                        .map_or(OsText::default(), |input| input.place.clone())
                };
                return Err(Failure::Revision {
                    section: section.name.clone(),
                    one: (place(first), revision),
                    other: (place(at), section.revision),
                });
            }
        }
    }
    known.insert(PROVENANCE, (0, PROVENANCE_REVISION));
    Ok(known
        .into_iter()
        .map(|(name, (_, revision))| SectionInfo {
            name: name.to_owned(),
            revision,
        })
        .collect())
}

/// The image is named by the last input that has a name. It is no published image, so it has no digest.
fn image(headers: &[Header], settings: &Settings) -> Image {
    let named = headers.iter().rev().find(|header| header.image.name.is_some());
    let image = named
        .or(headers.last())
        .map(|header| header.image.clone())
        .unwrap_or_default();
    Image {
        name: settings.name.clone().or(image.name),
        version: settings.version.clone().or(image.version),
        purpose: settings.purpose.clone().or(image.purpose),
        digest: None,
        source_kind: MERGED.to_owned(),
        ..image
    }
}

/// What the merged baseline leaves out: all that any input excludes; and if every input was narrowed to something,
/// all that no input was narrowed to. What is left was looked at as a whole by at least one of them.
fn scope_of_all(headers: &[Header]) -> header::Scope {
    let mut scope = header::Scope {
        attributes: headers
            .first()
            .map_or(Stated::All, |header| header.scope.attributes),
        ..header::Scope::default()
    };
    for rule in headers.iter().flat_map(|header| &header.scope.exclude) {
        if !scope.exclude.iter().any(|known| is_same(known, rule)) {
            scope.exclude.push(rule.clone());
        }
    }
    if headers.iter().all(|header| !header.scope.include.is_empty()) {
        for glob in headers.iter().flat_map(|header| &header.scope.include) {
            if !scope.include.contains(glob) {
                scope.include.push(glob.clone());
            }
        }
    }
    scope
}

fn remarks(headers: &[Header], labels: &[OsText], scope: &header::Scope) -> Vec<String> {
    let mut remarks = Vec::new();
    for rule in &scope.exclude {
        let has = |header: &Header| header.scope.exclude.iter().any(|own| is_same(own, rule));
        let Some(at) = headers.iter().position(has) else {
            continue;
        };
        if !headers.iter().all(has) {
            let label = labels.get(at).map_or("", OsText::as_str);
            remarks.push(format!(
                "the merged baseline leaves out {}, because {label} does",
                OsText::from(rule_text(rule))
            ));
        }
    }
    let first = headers.first().map(|header| &header.scope.include);
    let differ = |header: &Header| first.is_some_and(|first| !is_same_set(first, &header.scope.include));
    if headers.iter().any(differ) {
        remarks.push(if scope.include.is_empty() {
            "an input was narrowed by --include; the merged baseline is not: it covers what the others do"
                .to_owned()
        } else {
            format!(
                "the merged baseline covers {}",
                OsText::from(scope.include.join(", "))
            )
        });
    }
    remarks
}

/// How inputs are called: by name and version of their images, each differently.
fn labels(headers: &[Header]) -> Vec<OsText> {
    let mut labels: Vec<OsText> = Vec::new();
    for (at, header) in headers.iter().enumerate() {
        let words: Vec<&str> = [&header.image.name, &header.image.version]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        let mut label = if words.is_empty() {
            format!("input {}", at + 1)
        } else {
            words.join(" ")
        };
        while labels.contains(&OsText::from(label.as_str())) {
            label = format!("{label} ({})", at + 1);
        }
        labels.push(OsText::from(label));
    }
    labels
}

/// A member of a header that [`Header`] does not have: it may say something about the entries that would be lost.
fn unknown_member(line: &str, header: &Header) -> Option<String> {
    match (serde_json::from_str(line), serde_json::to_value(header)) {
        (Ok(read), Ok(known)) => unknown(&read, &known).map(|member| OsText::from(member).to_string()),
        _ => Some("?".to_owned()),
    }
}

/// The path of the first member that was read and is not known.
fn unknown(read: &Json, known: &Json) -> Option<String> {
    match (read, known) {
        (Json::Object(read), Json::Object(known)) => {
            read.iter().find_map(|(name, value)| match known.get(name) {
                Some(known) => unknown(value, known).map(|below| format!("{name}.{below}")),
                None => Some(name.clone()),
            })
        }
        (Json::Array(read), Json::Array(known)) => read
            .iter()
            .zip(known)
            .find_map(|(read, known)| unknown(read, known)),
        _ => None,
    }
}
