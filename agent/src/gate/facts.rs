//! Rules on entries of any section: what must not be there, what must have a value, which packages are installed.

use baseline_format::{Entry, OsText, UNSEEN, Value};

use super::results::Results;
use super::rule::{Missing, PACKAGES, PackagePattern, Rule, Test, Wish};
use crate::packages;

/// What is remembered of rules while sections go by.
#[derive(Debug)]
pub(super) struct Facts<'a> {
    rules: &'a [Rule],
    /// One element a rule: whether an entry that it is about was met.
    met: Vec<bool>,
    /// One element a rule: what becomes of each of its required packages.
    required: Vec<Vec<Required>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Required {
    Missing,
    /// In this version, which will not do.
    Wrong(String),
    There,
}

impl<'a> Facts<'a> {
    pub(super) fn new(rules: &'a [Rule]) -> Self {
        let required = rules.iter().map(|rule| match &rule.test {
            Test::Packages { required, .. } => vec![Required::Missing; required.len()],
            _ => Vec::new(),
        });
        Self {
            rules,
            met: vec![false; rules.len()],
            required: required.collect(),
        }
    }

    /// Whether any rule is about a section's entries.
    pub(super) fn concern(&self, section: &str) -> bool {
        self.rules.iter().any(|rule| match &rule.test {
            Test::Forbid { section: of, .. } | Test::Setting { section: of, .. } => of == section,
            Test::Packages { .. } => section == PACKAGES,
            _ => false,
        })
    }

    /// Holds an entry against the rules.
    pub(super) fn entry(&mut self, entry: &Entry, results: &mut Results<'_>) {
        for (at, rule) in self.rules.iter().enumerate() {
            let (Some(met), Some(required)) = (self.met.get_mut(at), self.required.get_mut(at)) else {
                continue;
            };
            let found = match &rule.test {
                Test::Forbid {
                    section,
                    keys,
                    unless,
                    attributes,
                } if *section == entry.section => {
                    let key = entry.key.to_bytes();
                    if !keys.contain(&key) || unless.contain(&key) {
                        continue;
                    }
                    forbidden(entry, attributes)
                }
                Test::Setting {
                    section,
                    keys,
                    attribute,
                    wanted,
                    missing,
                } if *section == entry.section && keys.contain(&entry.key.to_bytes()) => {
                    *met = true;
                    unlike(entry, attribute, wanted, *missing)
                }
                Test::Packages {
                    required: patterns,
                    forbidden,
                } if entry.section == PACKAGES => match Package::of(entry) {
                    Some(package) => {
                        for (pattern, state) in patterns.iter().zip(required.iter_mut()) {
                            package.meet(pattern, state);
                        }
                        forbidden.iter().find_map(|pattern| package.breaks(pattern))
                    }
                    None => None,
                },
                _ => None,
            };
            if let Some(what) = found {
                results.found(at, &entry.section, &entry.key, what);
            }
        }
    }

    /// Tells what was asked for and never met. Where part of a section was not seen, nothing is said to be missing.
    pub(super) fn finish(self, results: &mut Results<'_>) {
        for ((at, rule), (met, required)) in self
            .rules
            .iter()
            .enumerate()
            .zip(self.met.iter().zip(&self.required))
        {
            match &rule.test {
                Test::Setting {
                    section,
                    keys,
                    missing: Missing::Fail,
                    ..
                } if !met && !results.is_blind(section) => {
                    let key = OsText::from(keys.texts.join(", "));
                    results.found(at, section, &key, "is not there".to_owned());
                }
                Test::Packages {
                    required: patterns, ..
                } if !results.is_blind(PACKAGES) => {
                    for (pattern, state) in patterns.iter().zip(required) {
                        let what = match state {
                            Required::There => continue,
                            Required::Missing => "is not installed".to_owned(),
                            Required::Wrong(version) => format!("is installed in version {version}"),
                        };
                        results.found(at, PACKAGES, &OsText::from(&pattern.text[..]), what);
                    }
                }
                _ => {}
            }
        }
    }
}

/// Whether an entry has all of the attributes that forbid it, and in which words.
fn forbidden(entry: &Entry, attributes: &[(String, Vec<Value>)]) -> Option<String> {
    if is_blind_spot(entry) {
        return None;
    }
    let mut words = Vec::new();
    for (name, any) in attributes {
        let value = entry.get(name)?;
        let wanted = any.iter().find(|wanted| is_or_has(value, wanted))?;
        words.push(match value {
            Value::List(_) => format!("{name} has {wanted}"),
            _ => format!("{name} is {wanted}"),
        });
    }
    Some(if words.is_empty() {
        "is there".to_owned()
    } else {
        words.join(", ")
    })
}

/// Whether an entry only says that something could not be read.
fn is_blind_spot(entry: &Entry) -> bool {
    entry.get(UNSEEN).is_some() && entry.attributes().count() == 1
}

/// Whether a value is the wanted one, or a list that has it.
fn is_or_has(value: &Value, wanted: &Value) -> bool {
    match (value, wanted) {
        (Value::List(items), Value::Text(text)) => items.contains(text),
        _ => value == wanted,
    }
}

/// Why an entry's attribute is not as wished; `None` if it is, or could not be seen.
fn unlike(entry: &Entry, attribute: &str, wanted: &Wish, missing: Missing) -> Option<String> {
    let Some(value) = entry.get(attribute) else {
        let told = missing == Missing::Fail && entry.get(UNSEEN).is_none();
        return told.then(|| format!("has no {attribute}, must {}", wanted.words()));
    };
    let each = |test: &dyn Fn(&Value) -> bool| match value {
        Value::List(items) => items.iter().all(|item| test(&Value::Text(item.clone()))),
        one => test(one),
    };
    let holds = match wanted {
        Wish::Equals(wanted) => value == wanted,
        Wish::OneOf(any) => {
            any.contains(value) || (matches!(value, Value::List(_)) && each(&|item| any.contains(item)))
        }
        Wish::Matches(_, expression) => each(&|item| match item {
            Value::Text(text) => expression.is_match(&text.to_bytes()),
            other => expression.is_match(other.to_string().as_bytes()),
        }),
        Wish::Range(least, most) => {
            let number = match value {
                Value::Integer(number) => Some(*number),
                // Settings that are numbers stand as texts where their section does not know that.
                Value::Text(text) => text.as_str().parse().ok(),
                _ => None,
            };
            number.is_some_and(|number| {
                least.is_none_or(|least| number >= least) && most.is_none_or(|most| number <= most)
            })
        }
    };
    (!holds).then(|| format!("{attribute} is {value}, must {}", wanted.words()))
}

impl Wish {
    /// After "must".
    fn words(&self) -> String {
        match self {
            Self::Equals(value) => format!("be {value}"),
            Self::Matches(text, _) => format!("match {text}"),
            Self::OneOf(any) => {
                let any: Vec<String> = any.iter().map(ToString::to_string).collect();
                format!("be one of {}", any.join(", "))
            }
            Self::Range(Some(least), Some(most)) => format!("be from {least} to {most}"),
            Self::Range(Some(least), None) => format!("be at least {least}"),
            Self::Range(None, Some(most)) => format!("be at most {most}"),
            Self::Range(None, None) => "be there".to_owned(),
        }
    }
}

/// An installed package.
struct Package<'a> {
    key: &'a str,
    ecosystem: String,
    name: String,
    versions: Vec<OsText>,
}

impl<'a> Package<'a> {
    /// `None` for what is no package, or not installed any more.
    fn of(entry: &'a Entry) -> Option<Self> {
        let key = entry.key.as_str();
        let (ecosystem, full) = key.split_once('/')?;
        if !packages::Ecosystem::ALL
            .iter()
            .any(|known| known.name() == ecosystem)
        {
            return None;
        }
        let text = |name: &str| entry.get(name).map(ToString::to_string);
        if matches!(text("status").as_deref(), Some("config-files" | "not-installed")) {
            return None;
        }
        let architecture = text("architecture").unwrap_or_default();
        let name = match ecosystem {
            "deb" => full.split(':').next().unwrap_or(full),
            "rpm" => full.strip_suffix(&format!(".{architecture}")).unwrap_or(full),
            _ => full,
        };
        let versions = match entry.get("version")? {
            Value::List(versions) => versions.clone(),
            one => vec![OsText::from(one.to_string())],
        };
        Some(Self {
            key,
            ecosystem: ecosystem.to_owned(),
            name: name.to_owned(),
            versions,
        })
    }

    fn is_named(&self, pattern: &PackagePattern) -> bool {
        if pattern.with_ecosystem {
            pattern.name.is_match(format!("{}/{}", self.ecosystem, self.name))
        } else {
            pattern.name.is_match(&self.name)
        }
    }

    /// The first version for which the pattern holds.
    fn version_for(&self, pattern: &PackagePattern) -> Option<&OsText> {
        let Some((comparison, wanted)) = &pattern.version else {
            return self.versions.first();
        };
        self.versions.iter().find(|version| {
            packages::order(self.key, &version.to_bytes(), wanted)
                .is_some_and(|order| comparison.holds(order))
        })
    }

    fn meet(&self, pattern: &PackagePattern, state: &mut Required) {
        if !self.is_named(pattern) || *state == Required::There {
            return;
        }
        *state = match self.version_for(pattern) {
            Some(_) => Required::There,
            None => Required::Wrong(
                self.versions
                    .iter()
                    .map(OsText::as_str)
                    .collect::<Vec<_>>()
                    .join(", "),
            ),
        };
    }

    /// What is wrong if the pattern is forbidden.
    fn breaks(&self, pattern: &PackagePattern) -> Option<String> {
        let version = self.version_for(pattern).filter(|_| self.is_named(pattern))?;
        Some(format!(
            "is installed in version {version}, and {} is forbidden",
            pattern.text
        ))
    }
}
