//! From what a policy's author wrote to rules that can be applied: every word is checked here, and never again.

use baseline_format::image_check::RuleSeverity;
use baseline_format::{OsText, Value};
use globset::{GlobBuilder, GlobMatcher, GlobSet, GlobSetBuilder};
use regex::bytes::{Regex, RegexBuilder};

use super::raw::{
    RawAltered, RawConfig, RawContent, RawDifference, RawEmpty, RawExplain, RawForbid, RawMissing, RawMode,
    RawPackages, RawPresent, RawRule, RawSetting, RawSeverity, RawWaive,
};
use super::{Explained, Waiver, meant};
use crate::gate::rule::{
    Bits, Comparison, Config, Difference, Globs, Keys, Missing, PackagePattern, Rule, Select, Test, Wanted,
    Wish,
};
use crate::scan::{FILES, scope};
use crate::sys::Kind;

/// Longest content that is looked at unless a rule says otherwise. Bytes.
const LARGEST: u64 = 1 << 20;
/// Every path.
const EVERYTHING: &str = "/**";

/// A rule, or why it cannot be one.
pub(super) fn rule(raw: RawRule) -> Result<Rule, String> {
    let is_sound = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if raw.id.is_empty() || !raw.id.bytes().all(is_sound) {
        return Err("an id has lower-case letters, digits and hyphens".to_owned());
    }
    let reason = sentence(&raw.reason)?;
    let fix = raw.fix.as_deref().map(sentence).transpose()?;
    let tests = [
        (
            "absent",
            raw.absent.map(|raw| {
                Ok(Test::Absent {
                    select: select(&raw.paths, &raw.unless, &raw.types)?,
                    unpackaged: raw.unpackaged,
                })
            }),
        ),
        ("altered", raw.altered.map(altered)),
        ("content", raw.content.as_ref().map(content)),
        ("empty", raw.empty.map(empty)),
        ("forbid", raw.forbid.map(forbid)),
        ("mode", raw.mode.map(mode)),
        ("packages", raw.packages.map(packages)),
        ("present", raw.present.map(present)),
        (
            "rights",
            raw.rights.map(|raw| {
                Ok(Test::Rights {
                    known: paths(&raw.known)?,
                })
            }),
        ),
        ("setting", raw.setting.map(setting)),
        (
            "unexplained",
            raw.unexplained.map(|raw| {
                Ok(Test::Unexplained {
                    unless: paths(&raw.unless)?,
                })
            }),
        ),
        (
            "unowned",
            raw.unowned.map(|raw| {
                Ok(Test::Unowned {
                    unless: paths(&raw.unless)?,
                })
            }),
        ),
    ];
    let names: Vec<&str> = tests.iter().map(|(name, _)| *name).collect();
    let mut asked = tests.into_iter().filter_map(|(name, test)| Some((name, test?)));
    let test = match (asked.next(), asked.next()) {
        (None, _) => return Err(format!("it asks nothing: give it one of {}", names.join(", "))),
        (Some((one, _)), Some((other, _))) => {
            return Err(format!(
                "it asks two things ({one} and {other}): make two rules of it"
            ));
        }
        (Some((_, test)), None) => test?,
    };
    Ok(Rule {
        id: raw.id,
        severity: match raw.severity {
            RawSeverity::Fail => RuleSeverity::Fail,
            RawSeverity::Warn => RuleSeverity::Warn,
        },
        reason,
        fix,
        test,
    })
}

/// Paths that are explained.
pub(super) fn explained(raw: &RawExplain) -> Result<Explained, String> {
    sentence(&raw.reason)?;
    if raw.paths.is_empty() {
        return Err("paths is empty: nothing would be explained".to_owned());
    }
    let mut globs = Vec::new();
    for path in &raw.paths {
        scope::glob(path).map_err(|why| why.to_string())?;
        // What is explained below a directory explains the directory.
        if let Some(directory) = path.strip_suffix("/**").filter(|directory| !directory.is_empty()) {
            globs.push(directory.to_owned());
        }
        globs.push(path.clone());
    }
    Ok(Explained {
        paths: globs,
        kinds: kinds(&raw.types)?,
        links_to: if raw.links_to.is_empty() {
            None
        } else {
            Some(texts(&raw.links_to)?)
        },
    })
}

/// What is waived of a rule.
pub(super) fn waiver(raw: &RawWaive, policy: &str, rules: &[Rule]) -> Result<Waiver, String> {
    let rule = rules.iter().position(|rule| rule.id == raw.rule).ok_or_else(|| {
        let hint = meant(&raw.rule, rules.iter().map(|rule| &rule.id[..]));
        format!("there is no such rule{hint}")
    })?;
    let path = raw
        .path
        .as_ref()
        .map(|path| Ok::<_, String>((path.clone(), key_glob(path)?)))
        .transpose()?;
    Ok(Waiver {
        rule,
        path,
        reason: sentence(&raw.reason)?,
        policy: policy.to_owned(),
    })
}

/// A reason or an advice on one line.
fn sentence(text: &str) -> Result<String, String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.is_empty() {
        return Err("the reason is empty".to_owned());
    }
    Ok(OsText::from(text).to_string())
}

fn altered(raw: RawAltered) -> Result<Test, String> {
    if raw.what.is_empty() {
        return Err("what is empty: nothing would be looked at".to_owned());
    }
    let what = raw.what.into_iter().map(|what| match what {
        RawDifference::Attributes => Difference::Attributes,
        RawDifference::Content => Difference::Content,
        RawDifference::Missing => Difference::Missing,
    });
    Ok(Test::Altered {
        what: what.collect(),
        config: match raw.config {
            RawConfig::Only => Config::Only,
            RawConfig::Without => Config::Without,
        },
        unless: paths(&raw.unless)?,
    })
}

fn content(raw: &RawContent) -> Result<Test, String> {
    if raw.lines.is_empty() {
        return Err("lines is empty: nothing would be looked for".to_owned());
    }
    for line in &raw.lines {
        expression(line)?;
    }
    let any: Vec<String> = raw.lines.iter().map(|line| format!("(?:{line})")).collect();
    Ok(Test::Content {
        select: select(&raw.paths, &raw.unless, &["file".to_owned()])?,
        lines: expression(&any.join("|"))?,
        unpackaged: raw.unpackaged,
        largest: raw.largest.unwrap_or(LARGEST),
    })
}

fn empty(raw: RawEmpty) -> Result<Test, String> {
    Ok(Test::Empty {
        select: select(&raw.paths, &raw.unless, &["file".to_owned()])?,
        or: raw.or.into_iter().map(String::into_bytes).collect(),
        unpackaged: raw.unpackaged,
    })
}

fn forbid(raw: RawForbid) -> Result<Test, String> {
    let attributes = raw.attributes.into_iter().map(|(name, wanted)| {
        let any = match &wanted {
            toml::Value::Array(values) => values.iter().map(simple).collect::<Result<Vec<_>, _>>(),
            one => simple(one).map(|value| vec![value]),
        };
        match any {
            Ok(any) => Ok((name, any)),
            Err(why) => Err(format!("where {name}: {why}")),
        }
    });
    let attributes = attributes.collect::<Result<Vec<_>, _>>()?;
    let all = vec!["**".to_owned()];
    Ok(Test::Forbid {
        section: section(&raw.section)?,
        keys: keys(&raw.section, if raw.keys.is_empty() { all } else { raw.keys })?,
        unless: keys(&raw.section, raw.unless)?,
        attributes,
    })
}

fn mode(raw: RawMode) -> Result<Test, String> {
    let bits = match (raw.at_most, raw.exactly) {
        (Some(_), Some(_)) => return Err("mode has both at-most and exactly: keep one".to_owned()),
        (Some(most), None) => Bits::AtMost(octal(&most)?),
        (None, Some(exactly)) => Bits::Exactly(octal(&exactly)?),
        (None, None) if raw.user.is_none() && raw.group.is_none() => {
            return Err("mode asks nothing: give at-most, exactly, user or group".to_owned());
        }
        (None, None) => Bits::Any,
    };
    let types = if raw.types.is_empty() {
        vec!["file".to_owned(), "directory".to_owned()]
    } else {
        raw.types
    };
    Ok(Test::Mode {
        select: select(&raw.paths, &raw.unless, &types)?,
        bits,
        except: raw.except.as_deref().map_or(Ok(0), octal)?,
        user: raw.user,
        group: raw.group,
    })
}

fn packages(raw: RawPackages) -> Result<Test, String> {
    if raw.required.is_empty() && raw.forbidden.is_empty() {
        return Err("packages asks nothing: give required or forbidden".to_owned());
    }
    let all = |texts: Vec<String>| texts.into_iter().map(package).collect::<Result<Vec<_>, _>>();
    Ok(Test::Packages {
        required: all(raw.required)?,
        forbidden: all(raw.forbidden)?,
    })
}

fn package(text: String) -> Result<PackagePattern, String> {
    let at = text.find(['<', '>', '=', '!']).unwrap_or(text.len());
    let (name, constraint) = text.split_at(at);
    let name = name.trim();
    if name.is_empty() {
        return Err(format!("`{text}`: no name of a package"));
    }
    let version = if constraint.is_empty() {
        None
    } else {
        let known = Comparison::ALL
            .into_iter()
            .find_map(|(sign, comparison)| Some((sign, comparison, constraint.strip_prefix(sign)?.trim())));
        match known {
            Some((sign, _, "")) => return Err(format!("`{text}`: no version after {sign}")),
            Some((_, comparison, version)) => Some((comparison, version.as_bytes().to_vec())),
            None => {
                return Err(format!(
                    "`{text}`: write `NAME >= VERSION`, with one of >=, <=, !=, =, <, >"
                ));
            }
        }
    };
    let glob = GlobBuilder::new(name).literal_separator(true).build();
    let glob = glob.map_err(|why| format!("`{text}`: {}", why.kind()))?;
    Ok(PackagePattern {
        name: glob.compile_matcher(),
        with_ecosystem: name.contains('/'),
        version,
        text,
    })
}

fn present(raw: RawPresent) -> Result<Test, String> {
    if raw.paths.is_empty() {
        return Err("paths is empty: nothing would be looked for".to_owned());
    }
    let wanted = raw.paths.into_iter().map(|text| {
        let glob = scope::glob(&text).map_err(|why| why.to_string())?;
        let is_literal = !text.contains(['*', '?', '[', '{', '\\']);
        Ok(Wanted {
            glob: (!is_literal).then(|| glob.compile_matcher()),
            text,
        })
    });
    Ok(Test::Present {
        paths: wanted.collect::<Result<Vec<_>, String>>()?,
        kinds: kinds(&raw.types)?,
    })
}

fn setting(raw: RawSetting) -> Result<Test, String> {
    let range =
        (raw.at_least.is_some() || raw.at_most.is_some()).then_some(Wish::Range(raw.at_least, raw.at_most));
    let wishes = [
        raw.equals.map(|value| value_of(&value).map(Wish::Equals)),
        raw.one_of.map(|values| {
            let values = values.iter().map(value_of).collect::<Result<Vec<_>, _>>();
            values.map(Wish::OneOf)
        }),
        raw.matches
            .map(|text| expression(&text).map(|built| Wish::Matches(text, built))),
        range.map(Ok),
    ];
    let mut wishes = wishes.into_iter().flatten();
    let wanted = match (wishes.next(), wishes.next()) {
        (None, _) => {
            return Err("setting asks nothing: give equals, one-of, matches, at-least or at-most".to_owned());
        }
        (Some(_), Some(_)) => return Err("setting asks two things: make two rules of it".to_owned()),
        (Some(wish), None) => wish?,
    };
    Ok(Test::Setting {
        section: section(&raw.section)?,
        keys: keys(&raw.section, vec![raw.key])?,
        attribute: raw.attribute,
        wanted,
        missing: match raw.missing {
            RawMissing::Fail => Missing::Fail,
            RawMissing::Pass => Missing::Pass,
        },
    })
}

/// Any section may be named: one that this release does not read makes the check incomplete, not the policy wrong.
fn section(name: &str) -> Result<String, String> {
    let is_sound = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    if name.is_empty() || !name.bytes().all(is_sound) {
        return Err(format!("`{name}` is no name of a section"));
    }
    Ok(name.to_owned())
}

fn select(globs: &[String], unless: &[String], types: &[String]) -> Result<Select, String> {
    if globs.is_empty() {
        return Err("paths is empty: nothing would be looked at".to_owned());
    }
    paths(globs)?;
    Ok(Select {
        paths: if globs.iter().any(|glob| glob == EVERYTHING) {
            Globs::All
        } else {
            Globs::Some(globs.to_vec())
        },
        unless: paths(unless)?,
        kinds: kinds(types)?,
    })
}

/// One matcher for globs over paths.
fn paths(texts: &[String]) -> Result<GlobSet, String> {
    let globs = texts
        .iter()
        .map(|text| scope::glob(text).map_err(|why| why.to_string()));
    set(globs)
}

/// One matcher for globs over texts that are no paths below the root: link targets.
fn texts(texts: &[String]) -> Result<GlobSet, String> {
    let built = |text: &String| GlobBuilder::new(text).literal_separator(true).build();
    set(texts
        .iter()
        .map(|text| built(text).map_err(|why| format!("the glob `{text}` cannot be used: {}", why.kind()))))
}

/// The keys of a section. Those of `files` are paths, the others are not: their slashes part nothing.
fn keys(section: &str, texts: Vec<String>) -> Result<Keys, String> {
    let globs = if section == FILES {
        paths(&texts)?
    } else {
        set(texts.iter().map(|text| {
            let built = GlobBuilder::new(text).literal_separator(false).build();
            built.map_err(|why| format!("the glob `{text}` cannot be used: {}", why.kind()))
        }))?
    };
    Ok(Keys::new(texts, globs))
}

/// A glob over the keys of any section.
fn key_glob(text: &str) -> Result<GlobMatcher, String> {
    let is_path = text.starts_with('/');
    let built = GlobBuilder::new(text).literal_separator(is_path).build();
    let glob = built.map_err(|why| format!("the glob `{text}` cannot be used: {}", why.kind()))?;
    Ok(glob.compile_matcher())
}

fn set(globs: impl Iterator<Item = Result<globset::Glob, String>>) -> Result<GlobSet, String> {
    let mut builder = GlobSetBuilder::new();
    for glob in globs {
        builder.add(glob?);
    }
    builder
        .build()
        .map_err(|why| format!("the globs cannot be used: {}", why.kind()))
}

fn kinds(names: &[String]) -> Result<Vec<Kind>, String> {
    let known = [
        Kind::BlockDevice,
        Kind::CharDevice,
        Kind::Directory,
        Kind::Fifo,
        Kind::File,
        Kind::Link,
        Kind::Socket,
    ];
    let kind = |name: &String| {
        known.into_iter().find(|kind| kind.name() == name).ok_or_else(|| {
            let hint = meant(name, known.iter().map(|kind| kind.name()));
            format!("there is no type `{name}`{hint}")
        })
    };
    names.iter().map(kind).collect()
}

/// An expression over one line. It takes time in proportion to the line, whatever it is.
fn expression(text: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(text).multi_line(true).unicode(false).build();
    built.map_err(|why| {
        let why = why.to_string();
        // The library draws where the fault is; its last line says what it is.
        let last = why
            .lines()
            .last()
            .unwrap_or_default()
            .trim_start_matches("error: ")
            .to_owned();
        format!("the expression `{text}` cannot be used: {last}")
    })
}

fn octal(text: &str) -> Result<u32, String> {
    let digits = text.len() <= 4 && !text.is_empty() && text.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = if digits {
        u32::from_str_radix(text, 8).ok()
    } else {
        None
    };
    mode.ok_or_else(|| format!("`{text}` is no mode: write up to four octal digits, like 0644"))
}

/// A value of an attribute: a text, a number, a truth, or a list of texts.
fn value_of(value: &toml::Value) -> Result<Value, String> {
    match value {
        toml::Value::Array(items) => {
            let texts = items.iter().map(|item| item.as_str().map(OsText::from));
            let texts: Option<Vec<OsText>> = texts.collect();
            texts
                .map(Value::List)
                .ok_or_else(|| "a list may only have texts".to_owned())
        }
        other => simple(other),
    }
}

fn simple(value: &toml::Value) -> Result<Value, String> {
    match value {
        toml::Value::String(text) => Ok(Value::from(text.as_str())),
        toml::Value::Integer(number) => Ok(Value::Integer(*number)),
        toml::Value::Boolean(truth) => Ok(Value::Bool(*truth)),
        _ => Err("a value is a text, a whole number, true or false".to_owned()),
    }
}
