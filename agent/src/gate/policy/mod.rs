//! Policies: which rules an image is held against, what explains its paths, and what is waived.
//!
//! A policy is a TOML file that people write; `docs/image-gate.md` describes it. `golden-image` is built in and is
//! written in the same language (`golden-image.toml`). A file that cannot be understood in every word is refused.

mod raw;
mod settle;

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};

use baseline_format::OsText;
use baseline_format::image_check::PolicyUsed;
use sha2::{Digest as _, Sha256};

use super::rule::Rule;
use crate::host;
use crate::sys::Kind;
use raw::{RawPolicy, RawWaive};

/// The policy that is used when none is named.
pub const GOLDEN_IMAGE: &str = "golden-image";
const BUILT_IN: &str = include_str!("golden-image.toml");

/// Longest policy. Bytes.
const LIMIT: u64 = 4 << 20;

/// All policies of one check, as one.
#[derive(Debug, Default)]
pub(super) struct Policy {
    pub(super) used: Vec<PolicyUsed>,
    pub(super) rules: Vec<Rule>,
    pub(super) explained: Vec<Explained>,
    pub(super) waivers: Vec<Waiver>,
}

/// Paths that are there although no package declares them.
#[derive(Debug)]
pub(super) struct Explained {
    /// Globs, as written.
    pub(super) paths: Vec<String>,
    /// Empty: any.
    pub(super) kinds: Vec<Kind>,
    /// Where a symbolic link must lead; `None`: it need not be one.
    pub(super) links_to: Option<globset::GlobSet>,
}

/// Findings that are accepted.
#[derive(Debug)]
pub(super) struct Waiver {
    /// Index in [`Policy::rules`].
    pub(super) rule: usize,
    /// The keys; `None`: all.
    pub(super) path: Option<(String, globset::GlobMatcher)>,
    pub(super) reason: String,
    /// The policy that says so.
    pub(super) policy: String,
}

/// Reads the policies that are named: files of this machine, or [`GOLDEN_IMAGE`]; without any, that one.
pub(super) fn load(names: &[Vec<u8>]) -> Result<Policy, PolicyError> {
    let mut loading = Loading::default();
    if names.is_empty() {
        loading.built_in(GOLDEN_IMAGE)?;
    }
    for name in names {
        if name == GOLDEN_IMAGE.as_bytes() {
            loading.built_in(GOLDEN_IMAGE)?;
        } else {
            let path = OsText::new(name);
            let text = read(name).map_err(|why| PolicyError::new(path.as_str(), why.to_string()))?;
            loading.add(&text, Some(&path))?;
        }
    }
    loading.finish()
}

fn read(path: &[u8]) -> io::Result<String> {
    let mut text = String::new();
    File::open(host::as_path(path))?
        .take(LIMIT + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > LIMIT {
        return Err(io::Error::other(format!("longer than {LIMIT} bytes")));
    }
    Ok(text)
}

#[derive(Default)]
struct Loading {
    policy: Policy,
    /// Waivers may be about rules of policies that come later.
    waivers: Vec<(RawWaive, String)>,
}

impl Loading {
    fn built_in(&mut self, name: &str) -> Result<(), PolicyError> {
        let known = |used: &PolicyUsed| used.path.is_none() && used.name == name;
        if self.policy.used.iter().any(known) {
            return Ok(());
        }
        self.add(BUILT_IN, None)
    }

    /// Adds a policy. `path`: the file it was read from; `None` for the built-in one.
    fn add(&mut self, text: &str, path: Option<&OsText>) -> Result<(), PolicyError> {
        let place = path.map_or(GOLDEN_IMAGE, OsText::as_str);
        let failed = |why: String| PolicyError::new(place, why);
        let raw: RawPolicy = toml::from_str(text).map_err(|why| failed(explain(text, &why)))?;
        match raw.extends.as_deref() {
            None => {}
            Some(GOLDEN_IMAGE) => self.built_in(GOLDEN_IMAGE)?,
            Some(other) => {
                return Err(failed(format!(
                    "extends: there is no built-in policy `{other}`, only `{GOLDEN_IMAGE}`; several files are used \
                     together by several --policy"
                )));
            }
        }
        let name = raw.name.unwrap_or_else(|| file_name(place).to_owned());
        self.policy.used.push(PolicyUsed {
            name: name.clone(),
            path: path.cloned(),
            digest: digest(text.as_bytes()),
            rules: raw.rule.len() as u64,
        });
        for rule in raw.rule {
            let id = rule.id.clone();
            if let Some(known) = self.policy.rules.iter().find(|known| known.id == id) {
                return Err(failed(format!(
                    "rule `{}`: there is a rule of this id already; take another id, or waive that one with a reason",
                    known.id
                )));
            }
            let rule = settle::rule(rule).map_err(|why| failed(format!("rule `{id}`: {why}")))?;
            self.policy.rules.push(rule);
        }
        for explain in raw.explain {
            let explained = settle::explained(&explain).map_err(|why| failed(format!("explain: {why}")))?;
            self.policy.explained.push(explained);
        }
        self.waivers
            .extend(raw.waive.into_iter().map(|waive| (waive, name.clone())));
        Ok(())
    }

    fn finish(mut self) -> Result<Policy, PolicyError> {
        for (waive, policy) in std::mem::take(&mut self.waivers) {
            let waiver = settle::waiver(&waive, &policy, &self.policy.rules)
                .map_err(|why| PolicyError::new(&policy, format!("waive `{}`: {why}", waive.rule)))?;
            self.policy.waivers.push(waiver);
        }
        if self.policy.rules.is_empty() {
            let names: Vec<&str> = self.policy.used.iter().map(|used| used.name.as_str()).collect();
            return Err(PolicyError::new(
                &names.join(", "),
                "no rule: every image would pass".to_owned(),
            ));
        }
        Ok(self.policy)
    }
}

fn file_name(path: &str) -> &str {
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".toml").unwrap_or(name)
}

/// A digest with its label.
pub(super) fn digest(bytes: &[u8]) -> String {
    let mut hex = b"sha256:".to_vec();
    baseline_format::push_hex(&Sha256::digest(bytes), &mut hex);
    hex.into_iter().map(char::from).collect()
}

/// What the TOML parser says, with the line and, for a misspelled word, the one that may be meant.
fn explain(text: &str, why: &toml::de::Error) -> String {
    let message = why.message().trim_end().replace('\n', "; ");
    let line = why.span().map_or(String::new(), |span| {
        let before = text.get(..span.start).unwrap_or(text);
        format!("line {}: ", before.matches('\n').count() + 1)
    });
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let hint = match quoted.split_first() {
        Some((unknown, known)) if message.starts_with("unknown") => meant(unknown, known.iter().copied()),
        _ => String::new(),
    };
    format!("{line}{message}{hint}")
}

/// `; did you mean ...?`, if one of the known words is close.
pub(in crate::gate) fn meant<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> String {
    /// Jaro-Winkler similarity of words that are taken for each other's misspelling.
    const CLOSE: f64 = 0.8;
    let scored = known.map(|known| (strsim::jaro_winkler(word, known), known));
    let best = scored.max_by(|(one, _), (other, _)| one.total_cmp(other));
    match best {
        Some((score, known)) if score >= CLOSE => format!("; did you mean `{known}`?"),
        _ => String::new(),
    }
}

/// Why a policy cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The file, or the policy's name.
    pub policy: String,
    /// What is wrong with it, as a lower-case fragment.
    pub why: String,
}

impl PolicyError {
    fn new(policy: &str, why: String) -> Self {
        Self {
            policy: policy.to_owned(),
            why,
        }
    }
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "policy {}: {}", self.policy, self.why)
    }
}

impl std::error::Error for PolicyError {}

/// The policy that a text says, for tests of what rules do.
#[cfg(test)]
pub(super) fn of(text: &str) -> Result<Policy, PolicyError> {
    let mut loading = Loading::default();
    loading.add(text, Some(&"policy.toml".into()))?;
    loading.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn refused(text: &str) -> String {
        of(text).unwrap_err().to_string()
    }

    const RULE: &str = "[[rule]]\nid = 'a'\nreason = 'r'\nabsent = { paths = ['/a'] }\n";

    #[test]
    fn the_built_in_policy_is_sound() {
        let policy = load(&[]).unwrap();
        assert_eq!(policy.used.len(), 1);
        assert_eq!(policy.used[0].rules, policy.rules.len() as u64);
        assert!(policy.waivers.is_empty());
        for rule in &policy.rules {
            assert!(rule.fix.is_some(), "{} has no way out", rule.id);
            assert!(
                rule.reason.len() > 20 && !rule.reason.ends_with('.'),
                "{}",
                rule.id
            );
            assert!(
                rule.id
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'-' || byte.is_ascii_digit())
            );
        }
        // Named twice, it is used once.
        let twice = load(&[GOLDEN_IMAGE.into(), GOLDEN_IMAGE.into()]).unwrap();
        assert_eq!(twice.rules.len(), policy.rules.len());
    }

    #[test]
    fn every_rule_of_the_built_in_policy_is_documented() {
        let docs = include_str!("../../../../docs/image-gate.md");
        let documented: BTreeSet<&str> = docs
            .lines()
            .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
            .collect();
        for rule in load(&[]).unwrap().rules {
            assert!(
                documented.contains(&rule.id[..]),
                "{} is not in docs/image-gate.md",
                rule.id
            );
        }
    }

    #[test]
    fn mistakes_are_named() {
        for (text, why) in [
            (
                "[[rul]]\n",
                "policy policy.toml: line 1: unknown field `rul`, expected one of `name`, `extends`, `rule`, `explain`, `waive`; did you mean `rule`?",
            ),
            (
                "[[rule]]\nid = 'a'\nreason = 'r'\nabsent = { path = ['/a'] }\n",
                "policy policy.toml: line 4: unknown field `path`, expected one of `paths`, `unless`, `types`, `unpackaged`; did you mean `paths`?",
            ),
            ("", "policy policy: no rule: every image would pass"),
            (
                "[[rule]]\nid = 'a'\nreason = 'r'\n",
                "policy policy.toml: rule `a`: it asks nothing: give it one of absent, altered, content, empty, forbid, mode, packages, present, rights, setting, unexplained, unowned",
            ),
            (
                "[[rule]]\nid = 'a'\nreason = 'r'\nunowned = {}\nrights = {}\n",
                "policy policy.toml: rule `a`: it asks two things (rights and unowned): make two rules of it",
            ),
            (
                "[[rule]]\nid = 'A b'\nreason = 'r'\nunowned = {}\n",
                "policy policy.toml: rule `A b`: an id has lower-case letters, digits and hyphens",
            ),
            (
                "[[rule]]\nid = 'a'\nreason = ' '\nunowned = {}\n",
                "policy policy.toml: rule `a`: the reason is empty",
            ),
            (
                "[[rule]]\nid = 'a'\nreason = 'r'\nabsent = { paths = ['etc/a'] }\n",
                "policy policy.toml: rule `a`: the glob `etc/a` cannot be used: it does not start with `/`; write `/etc/a` or `**/etc/a`",
            ),
            (
                "[[rule]]\nid = 'a'\nreason = 'r'\nabsent = { paths = [] }\n",
                "policy policy.toml: rule `a`: paths is empty: nothing would be looked at",
            ),
            (
                "[[rule]]\nid = 'a'\nreason = 'r'\nabsent = { paths = ['/a'], types = ['files'] }\n",
                "policy policy.toml: rule `a`: there is no type `files`; did you mean `file`?",
            ),
            (
                "[[rule]]\nid = 'a'\nreason = 'r'\ncontent = { paths = ['/a'], lines = ['('] }\n",
                "policy policy.toml: rule `a`: the expression `(` cannot be used: unclosed group",
            ),
            (
                "[[rule]]\nid = 'a'\nreason = 'r'\nmode = { paths = ['/a'], at-most = '0999' }\n",
                "policy policy.toml: rule `a`: `0999` is no mode: write up to four octal digits, like 0644",
            ),
            (
                "[[rule]]\nid = 'a'\nreason = 'r'\nmode = { paths = ['/a'] }\n",
                "policy policy.toml: rule `a`: mode asks nothing: give at-most, exactly, user or group",
            ),
            (
                "[[rule]]\nid = 'a'\nreason = 'r'\nsetting = { section = 'users', key = '*', attribute = 'uid' }\n",
                "policy policy.toml: rule `a`: setting asks nothing: give equals, one-of, matches, at-least or at-most",
            ),
            (
                "[[rule]]\nid = 'a'\nreason = 'r'\npackages = { required = ['bash >='] }\n",
                "policy policy.toml: rule `a`: `bash >=`: no version after >=",
            ),
            (
                "[[rule]]\nid = 'a'\nreason = 'r'\npackages = {}\n",
                "policy policy.toml: rule `a`: packages asks nothing: give required or forbidden",
            ),
            (
                &format!("{RULE}{RULE}"),
                "policy policy.toml: rule `a`: there is a rule of this id already; take another id, or waive that one with a reason",
            ),
            (
                &format!("{RULE}[[waive]]\nrule = 'b'\nreason = 'r'\n"),
                "policy policy: waive `b`: there is no such rule",
            ),
            (
                &format!("extends = 'golden-image'\n{RULE}[[waive]]\nrule = 'ssh-host-key'\nreason = 'r'\n"),
                "policy policy: waive `ssh-host-key`: there is no such rule; did you mean `ssh-host-keys`?",
            ),
            (
                &format!("{RULE}[[waive]]\nrule = 'a'\nreason = ''\n"),
                "policy policy: waive `a`: the reason is empty",
            ),
            (
                "extends = 'golden'\n",
                "policy policy.toml: extends: there is no built-in policy `golden`, only `golden-image`; several files are used together by several --policy",
            ),
        ] {
            assert_eq!(refused(text), why);
        }
    }

    #[test]
    fn a_policy_adds_to_what_it_extends() {
        let text = format!(
            "name = 'web'\nextends = 'golden-image'\n{RULE}[[waive]]\nrule = 'ssh-host-keys'\npath = '/etc/ssh/**'\nreason = 'test image'\n"
        );
        let policy = of(&text).unwrap();
        assert_eq!(
            policy.used.iter().map(|used| &used.name[..]).collect::<Vec<_>>(),
            ["golden-image", "web"]
        );
        assert_eq!(policy.rules.last().unwrap().id, "a");
        assert_eq!(policy.rules[policy.waivers[0].rule].id, "ssh-host-keys");
    }

    proptest! {
        #[test]
        fn any_text_is_a_policy_or_refused(text: String, words in "(\\[\\[rule\\]\\]|\\[\\[waive\\]\\]|id|reason|=|'a'|\"|\\{|\\}|absent|paths|\\[|\\]|'/\\*\\*'|,|mode|exactly|'0644'|\n| ){0,60}") {
            for text in [&text, &words, &format!("{RULE}{words}")] {
                if let Ok(policy) = of(text) {
                    prop_assert!(!policy.rules.is_empty());
                }
            }
        }

        #[test]
        fn any_words_in_the_right_places_are_a_rule_or_refused(paths in prop::collection::vec("[/a-z*?{}\\[\\]\\\\,!^-]{0,8}", 0..4), mode in "[0-9a]{0,6}", package in "[a-z*<>=! 0-9:.-]{0,12}", line in "[a-z()\\[\\]*+?|\\\\^$.{}]{0,10}") {
            let list = format!("{paths:?}");
            for test in [
                format!("absent = {{ paths = {list} }}"),
                format!("mode = {{ paths = {list}, exactly = '{mode}' }}"),
                format!("packages = {{ required = ['{package}'], forbidden = ['{package}'] }}"),
                format!("content = {{ paths = ['/**'], lines = ['{line}'] }}"),
            ] {
                if let Ok(policy) = of(&format!("[[rule]]\nid = 'a'\nreason = 'r'\n{test}\n")) {
                    prop_assert_eq!(policy.rules.len(), 1);
                }
            }
        }
    }
}
