//! The packages: what came, went, and moved from which version to which.

use std::collections::{BTreeMap, HashMap};
use std::io;

use baseline_format::Value;
use baseline_format::report::{ChangeKind, FieldChange};

use super::kept::{Budget, Kept};
use super::{BELOW, HEADING, LISTED, TextStyle, limit, more, title, write_by_kind, write_labelled};
use crate::diff::{Difference, Step};
use crate::text::fields::{Detail, details};
use crate::text::page::{Ink, Page};
use crate::words::{number, quoted, shorten, width};

/// Attributes that are told beside the versions: the package's origin, and what the administrator did to it.
const BESIDE: [&str; 3] = ["held", "status", "vendor"];

#[derive(Debug, Default)]
pub(super) struct Packages {
    steps: BTreeMap<Step, Kept>,
    /// Diversions, overrides, alternatives, trusted keys.
    settings: Kept,
}

impl Packages {
    pub(super) fn take(&mut self, difference: Difference, budget: &mut Budget) {
        match difference.step {
            Some(step) => self.steps.entry(step).or_default().take(difference, budget),
            None => self.settings.take(difference, budget),
        }
    }

    pub(super) fn write(&self, style: &TextStyle<'_>, page: &mut Page<'_>) -> io::Result<()> {
        let total = self.steps.values().map(Kept::total).sum();
        if total > 0 {
            title("PACKAGES", total, Ink::Strong, page)?;
        }
        let names = Names::of(&self.steps);
        for (&step, kept) in &self.steps {
            let total = kept.total();
            let ink = if step == Step::Downgraded {
                Ink::Warn
            } else {
                Ink::Plain
            };
            page.line(&[
                (Ink::Plain, HEADING),
                (ink, &format!("{step} ({})", number(total))),
            ])?;
            let items: Vec<&Difference> = kept.items().take(limit(style).max(LISTED)).collect();
            let room = page.width().saturating_sub(width(BELOW));
            let labels: Vec<String> = items
                .iter()
                .map(|item| shorten(&names.label(item.key.as_str()), room).into_owned())
                .collect();
            let told = items.iter().map(|item| (ChangeKind::Modified, told(step, item)));
            write_labelled(&labels, told, page)?;
            more(total - items.len() as u64, "", style, page)?;
        }
        if self.settings.total() > 0 {
            title("PACKAGE SETTINGS", self.settings.total(), Ink::Strong, page)?;
            write_by_kind(&self.settings, limit(style), style, page)?;
        }
        Ok(())
    }
}

/// What there is to say of a package.
fn told(step: Step, item: &Difference) -> Vec<Detail> {
    let version = item.fields.iter().find(|field| field.name == "version");
    let of = |value: &Option<Value>| {
        value
            .as_ref()
            .map(|value| shorten(&value_text(value), 60).into_owned())
    };
    let versions = version.and_then(|version| match (of(&version.expected), of(&version.actual)) {
        (Some(old), Some(new)) => Some(format!("{old} -> {new}")),
        (one, other) => one.or(other),
    });
    let pick = |wanted: &dyn Fn(&FieldChange) -> bool| -> Vec<FieldChange> {
        item.fields
            .iter()
            .filter(|field| wanted(field))
            .cloned()
            .collect()
    };
    let rest = match step {
        Step::Added | Step::Removed => pick(&|field| matches!(field.name.as_str(), "status" | "held")),
        Step::Downgraded | Step::Upgraded => pick(&|field| BESIDE.contains(&field.name.as_str())),
        Step::Rebuilt => pick(&|field| !matches!(field.name.as_str(), "version" | "content")),
        Step::Changed => pick(&|field| field.name != "version"),
    };
    let mut told: Vec<Detail> = versions.map(Detail::Remark).into_iter().collect();
    if item.fields.iter().any(|field| field.name == "content") {
        told.push(Detail::Remark("same version, other content".to_owned()));
    }
    told.extend(details(item.change, &rest));
    told
}

fn value_text(value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text.as_str()).into_owned(),
        other => other.to_string(),
    }
}

/// How packages are called: by their name, and by more where that could be two packages.
struct Names<'a> {
    /// Keys of one ecosystem and name.
    twins: HashMap<(&'a str, &'a str), usize>,
    ecosystems: usize,
}

impl<'a> Names<'a> {
    fn of(steps: &'a BTreeMap<Step, Kept>) -> Self {
        let mut twins = HashMap::new();
        let mut ecosystems = Vec::new();
        for item in steps.values().flat_map(Kept::items) {
            let (ecosystem, name, _) = parts(item.key.as_str());
            *twins.entry((ecosystem, name)).or_default() += 1;
            if !ecosystems.contains(&ecosystem) && ecosystems.len() < 2 {
                ecosystems.push(ecosystem);
            }
        }
        Self {
            twins,
            ecosystems: ecosystems.len(),
        }
    }

    fn label(&self, key: &str) -> String {
        let (ecosystem, name, whole) = parts(key);
        let is_twin = self.twins.get(&(ecosystem, name)).is_some_and(|many| *many > 1);
        quoted(match (self.ecosystems, is_twin) {
            (2.., _) => key,
            (_, true) => whole,
            (_, false) => name,
        })
        .into_owned()
    }
}

/// Ecosystem, name, and name with architecture.
fn parts(key: &str) -> (&str, &str, &str) {
    let (ecosystem, whole) = key.split_once('/').unwrap_or(("", key));
    let name = match ecosystem {
        "deb" => whole.rsplit_once(':').map_or(whole, |(name, _)| name),
        "rpm" => whole.rsplit_once('.').map_or(whole, |(name, _)| name),
        _ => whole,
    };
    (ecosystem, name, whole)
}
