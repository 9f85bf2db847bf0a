//! Writes the `packages` of a baseline as a software bill of materials: `CycloneDX` 1.6, JSON.
//!
//! Source: the schema `bom-1.6.schema.json` of `CycloneDX`. Each installed package is a component. What the section
//! has besides, and what of it could not be read, is no component and is told: to the caller, as properties of the
//! document, and as an `incomplete` composition where a database could not be read to its end.
//!
//! The same baseline and settings give the same bytes: the serial number is made of them, and no clock is read.
//! Nothing is written before the whole baseline has been read and found sound.

mod document;
mod purl;

use std::io::{BufRead, Write};
use std::time::SystemTime;

use baseline_format::header::{End, Header};
use baseline_format::{ALL, BELOW, BaselineReader, Line, OsText, Reference as _, UNSEEN, Value};

use self::document::{Bom, Component, Composition, Hash, Metadata, Property, Supplier, Tools};
use crate::exchange::{Failure, Loss, Losses};

/// What the document says beyond the baseline.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The distribution, which the packages' URLs name. Without it only rpm's packages have one.
    pub distribution: Option<Distribution>,
    /// When the document was made; left out if `None`.
    pub timestamp: Option<SystemTime>,
}

/// A distribution as os-release(5) names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distribution {
    /// `ID`, e.g. `debian`.
    pub id: String,
    /// `VERSION_ID`, e.g. `12`.
    pub version: Option<String>,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exported {
    /// Components: installed packages, each version once.
    pub components: u64,
    /// What of the section is no component, and why.
    pub losses: Vec<Loss>,
    /// Whether every package database was read to its end.
    pub complete: bool,
}

/// Writes the document, which ends with a line feed.
pub fn write<R: BufRead>(
    mut baseline: BaselineReader<R>,
    settings: &Settings,
    out: &mut impl Write,
) -> Result<Exported, Failure> {
    let header = baseline.header().clone();
    match header.sections.iter().find(|section| section.name == SECTION) {
        Some(section) if section.revision == REVISION => {}
        Some(section) => {
            return Err(Failure::refused(format!(
                "the section `{SECTION}` is of revision {}, this release knows {REVISION}: use a newer driftcheck",
                section.revision
            )));
        }
        None => {
            return Err(Failure::refused(format!(
                "the baseline has no section `{SECTION}`: record it with that section"
            )));
        }
    }
    let mut inventory = Inventory {
        settings,
        components: Vec::new(),
        losses: Losses::default(),
        complete: true,
    };
    while let Some(line) = baseline.current() {
        if line.section() == SECTION {
            inventory.entry(&line)?;
        }
        baseline.advance()?;
    }
    let end = baseline.end();
    let end = end.ok_or_else(|| Failure::refused("the baseline has no trailer"))?;
    let exported = Exported {
        components: inventory.components.len() as u64,
        losses: inventory.losses.into_list(),
        complete: inventory.complete,
    };
    let bom = bom(&header, end, settings, &exported, inventory.components)?;
    serde_json::to_writer(&mut *out, &bom).map_err(|why| Failure::output(why.into()))?;
    out.write_all(b"\n").map_err(Failure::output)?;
    out.flush().map_err(Failure::output)?;
    Ok(exported)
}

const SECTION: &str = "packages";
/// The revision of the section that is understood.
const REVISION: u32 = 1;
/// Components of one document, which is built in memory.
const MOST_COMPONENTS: usize = 1_000_000;
/// The reference of the image in the document; packages' references have a slash.
const IMAGE: &str = "image";

/// The package managers: how the section's keys begin, what stands between name and architecture, and whose package
/// URLs they have.
const MANAGERS: [Manager; 4] = [
    Manager {
        prefix: "apk",
        separator: None,
        purl: "apk",
    },
    Manager {
        prefix: "deb",
        separator: Some(':'),
        purl: "deb",
    },
    Manager {
        prefix: "pacman",
        separator: None,
        purl: "alpm",
    },
    Manager {
        prefix: "rpm",
        separator: Some('.'),
        purl: "rpm",
    },
];

struct Manager {
    prefix: &'static str,
    separator: Option<char>,
    purl: &'static str,
}

/// The section as it is read.
struct Inventory<'a> {
    settings: &'a Settings,
    components: Vec<Component>,
    losses: Losses,
    complete: bool,
}

impl Inventory<'_> {
    fn entry(&mut self, line: &Line<'_>) -> Result<(), Failure> {
        let entry = line.to_entry();
        let key = line.key();
        let (prefix, rest) = key.split_once('/').unwrap_or((&key, ""));
        let notes = match entry.get(UNSEEN) {
            Some(Value::List(notes)) => notes.as_slice(),
            _ => &[],
        };
        let Some(manager) = MANAGERS.iter().find(|manager| manager.prefix == prefix) else {
            self.losses.add(match prefix {
                "alternative" => "an alternative",
                "deb-diversion" => "a diversion",
                "deb-statoverride" => "an override of owner and mode",
                _ => "a kind of entry that this release does not know",
            });
            return Ok(());
        };
        let hides = |note: &OsText| matches!(note.as_str().split(": ").next(), Some(ALL | BELOW));
        if rest.is_empty() || notes.iter().any(hides) {
            self.complete &= !notes.iter().any(hides);
            self.losses.add(match rest {
                "" => format!("the package database `{prefix}` could not be read wholly"),
                _ => "a package whose record in the database is damaged".to_owned(),
            });
            return Ok(());
        }
        if manager.prefix == "rpm" && rest.starts_with("gpg-pubkey-") {
            self.losses.add("a key that rpm trusts, which is no software");
            return Ok(());
        }
        if let Some(Value::Text(status)) = entry.get("status")
            && is_removed(status.as_str())
        {
            self.losses
                .add("a package that is removed: only its configuration is left");
            return Ok(());
        }
        let package = Package::new(manager, &key, rest, &entry);
        let versions = package.versions();
        if versions.is_empty() {
            self.complete = false;
            self.losses.add("a package without a version");
            return Ok(());
        }
        for version in &versions {
            if self.components.len() == MOST_COMPONENTS {
                return Err(Failure::refused(format!("more than {MOST_COMPONENTS} packages")));
            }
            let component = package.component(version, versions.len() > 1, self.settings);
            if component.purl.is_none() {
                self.losses.add(if self.settings.distribution.is_none() {
                    "a package without a package URL, because the distribution is not known"
                } else {
                    "a package without a package URL, because its name or version is not UTF-8"
                });
            }
            self.components.push(component);
        }
        Ok(())
    }
}

/// Whether dpkg's state is one in which none of the package's programs is there.
fn is_removed(status: &str) -> bool {
    matches!(status.rsplit(' ').next(), Some("config-files" | "not-installed"))
}

/// One package of the section.
struct Package<'a> {
    manager: &'static Manager,
    key: &'a str,
    name: OsText,
    entry: &'a baseline_format::Entry,
}

impl<'a> Package<'a> {
    fn new(manager: &'static Manager, key: &'a str, rest: &str, entry: &'a baseline_format::Entry) -> Self {
        // The key has the architecture's name in the same spelling behind the package's.
        let architecture = match entry.get("architecture") {
            Some(Value::Text(text)) => text.as_str(),
            _ => "",
        };
        let name = manager
            .separator
            .and_then(|separator| rest.strip_suffix(architecture)?.strip_suffix(separator))
            .filter(|_| !architecture.is_empty())
            .unwrap_or(rest);
        Self {
            manager,
            key,
            name: OsText::parse(name).unwrap_or_else(|| OsText::from(name)),
            entry,
        }
    }

    /// The installed versions, each once: rpm may have several, and even one of them twice.
    fn versions(&self) -> Vec<OsText> {
        match self.entry.get("version") {
            Some(Value::Text(version)) if !version.as_str().is_empty() => vec![version.clone()],
            Some(Value::List(versions)) => {
                let mut versions = versions.clone();
                versions.dedup();
                versions
            }
            _ => Vec::new(),
        }
    }

    fn component(&self, version: &OsText, is_one_of_several: bool, settings: &Settings) -> Component {
        let architecture = self.text("architecture");
        let key = self.key;
        Component {
            kind: "library",
            reference: Some(if is_one_of_several {
                format!("{key}@{version}")
            } else {
                key.to_owned()
            }),
            supplier: self.text("vendor").map(|name| Supplier { name }),
            name: self.name.to_string(),
            version: Some(version.to_string()),
            hashes: Vec::new(),
            purl: purl::of(
                self.manager.purl,
                &self.name.to_bytes(),
                &version.to_bytes(),
                architecture.as_deref(),
                settings.distribution.as_ref(),
            ),
            properties: self.properties(),
        }
    }

    /// All other attributes, a list as one property for each item.
    fn properties(&self) -> Vec<Property> {
        let mut properties = Vec::new();
        for (name, value) in self.entry.attributes() {
            if matches!(name, "vendor" | "version") && !matches!((name, value), ("vendor", Value::List(_))) {
                continue;
            }
            match value {
                Value::List(items) => {
                    properties.extend(items.iter().map(|item| Property::new(name, item.as_str())));
                }
                value => properties.push(Property::new(name, &value.to_string())),
            }
        }
        properties
    }

    fn text(&self, name: &str) -> Option<String> {
        match self.entry.get(name) {
            Some(Value::Text(text)) if !text.as_str().is_empty() => Some(text.to_string()),
            _ => None,
        }
    }
}

fn bom(
    header: &Header,
    end: &End,
    settings: &Settings,
    exported: &Exported,
    components: Vec<Component>,
) -> Result<Bom, Failure> {
    let image = &header.image;
    let sha256 = image
        .digest
        .as_deref()
        .and_then(|digest| digest.strip_prefix("sha256:"));
    let sha256 =
        sha256.filter(|digits| digits.len() == 64 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    let mut properties = vec![
        Property::new("baseline-digest", &end.digest),
        Property::new("source-kind", &image.source_kind),
    ];
    if let (Some(digest), None) = (&image.digest, sha256) {
        properties.push(Property::new("image-digest", digest));
    }
    properties.extend(
        exported
            .losses
            .iter()
            .map(|loss| Property::new("not-a-component", &loss.to_string())),
    );
    let timestamp = settings.timestamp.map(timestamp).transpose()?;
    let is_container = image.source_kind.starts_with("oci") || image.source_kind.starts_with("docker");
    let subject = Component {
        kind: if is_container {
            "container"
        } else {
            "operating-system"
        },
        reference: Some(IMAGE.to_owned()),
        supplier: None,
        name: image.name.clone().unwrap_or_else(|| "unnamed image".to_owned()),
        version: image.version.clone(),
        hashes: sha256
            .map(|digits| Hash {
                algorithm: "SHA-256",
                content: digits.to_owned(),
            })
            .into_iter()
            .collect(),
        purl: None,
        properties: Vec::new(),
    };
    Ok(Bom {
        format: "CycloneDX",
        spec_version: "1.6",
        serial_number: document::serial_number(&end.digest, settings, timestamp.as_deref()),
        version: 1,
        metadata: Metadata {
            timestamp,
            tools: Tools {
                components: vec![Component::tool("driftcheck", env!("CARGO_PKG_VERSION"))],
            },
            component: subject,
            properties,
        },
        components,
        // Package managers know nothing of software that came without them, so that the list is never called whole.
        compositions: vec![Composition {
            aggregate: if exported.complete {
                "unknown"
            } else {
                "incomplete"
            },
            assemblies: vec![IMAGE.to_owned()],
        }],
    })
}

/// RFC 3339, UTC, whole seconds.
fn timestamp(time: SystemTime) -> Result<String, Failure> {
    use std::fmt::Write as _;
    let mut text = String::new();
    // The formatter fails, and `to_string` would panic, for years beyond 9999.
    write!(text, "{}", humantime::format_rfc3339_seconds(time)).map_err(|_| {
        Failure::refused("the document's time cannot be written: it is before 1970 or after 9999")
    })?;
    Ok(text)
}

#[cfg(test)]
mod tests;
