//! Rules on the image's files: one pass over them all, as the scan gives them.

use baseline_format::{Line, MOUNT, OsText, ReadError};
use regex::bytes::Regex;

use super::facts::Facts;
use super::file::{Content, File, first_line, wrong_mode};
use super::index::GlobIndex;
use super::packaged::{Altered, Comparison, Owner, Owners};
use super::policy::Policy;
use super::results::Results;
use super::rule::{FILES, Globs, Rule, Select, Test, Wanted};
use crate::audit::MOUNT_POINTS;
use crate::scan::scope::BadGlob;
use crate::scan::{Observer, Stop};
use crate::sys::Kind;
use crate::tree::{Tree, TreeError};

/// Words that a file may hold instead of nothing are short. Bytes.
const WORDS: u64 = 4096;

/// The pass over the files.
pub(super) struct Files<'a> {
    policy: &'a Policy,
    tree: &'a dyn Tree,
    /// Whether this is the root of the running system.
    live: bool,
    owners: Owners<'a>,
    /// The comparison with what packages declare, if it can be done in this pass.
    comparison: Option<Comparison<'a>>,
    /// Rules by the paths that they select.
    selected: GlobIndex,
    /// Rules that every path is held against.
    everywhere: Vec<usize>,
    /// Elements of the policy's list of explained paths by those paths.
    explained: GlobIndex,
    /// By rule and path that must be there: whether it is.
    present: Vec<Vec<bool>>,
    pub(super) facts: Facts<'a>,
    /// Whether a rule is about entries of `files` as such.
    generic: bool,
    pub(super) results: Results<'a>,
    /// What broke the comparison with the packages.
    pub(super) broken: Option<ReadError>,
}

impl<'a> Files<'a> {
    pub(super) fn new(
        policy: &'a Policy,
        tree: &'a dyn Tree,
        live: bool,
        owners: Owners<'a>,
        comparison: Option<Comparison<'a>>,
        facts: Facts<'a>,
        results: Results<'a>,
    ) -> Result<Self, BadGlob> {
        let rules = || policy.rules.iter().enumerate();
        let selected = rules().filter_map(|(at, rule)| match select_of(rule) {
            Some(Select {
                paths: Globs::Some(globs),
                ..
            }) => Some((at, globs)),
            _ => None,
        });
        let selected = selected.flat_map(|(at, globs)| globs.iter().map(move |glob| (at, &glob[..])));
        let everywhere = rules().filter(|(_, rule)| match &rule.test {
            Test::Rights { .. } | Test::Unexplained { .. } | Test::Unowned { .. } => true,
            _ => select_of(rule).is_some_and(|select| matches!(select.paths, Globs::All)),
        });
        let explained = policy.explained.iter().enumerate();
        let explained =
            explained.flat_map(|(at, explained)| explained.paths.iter().map(move |glob| (at, &glob[..])));
        let present = rules().map(|(_, rule)| match &rule.test {
            Test::Present { paths, .. } => vec![false; paths.len()],
            _ => Vec::new(),
        });
        Ok(Self {
            selected: GlobIndex::new(selected)?,
            everywhere: everywhere.map(|(at, _)| at).collect(),
            explained: GlobIndex::new(explained)?,
            present: present.collect(),
            generic: facts.concern(FILES),
            policy,
            tree,
            live,
            owners,
            comparison,
            facts,
            results,
            broken: None,
        })
    }

    fn file(&mut self, line: &Line<'_>) -> Result<(), ReadError> {
        self.results.seen(FILES, line.as_str().as_bytes());
        let file = File::of(line);
        for note in line.unseen() {
            self.results.unseen(FILES, &file.key, &note);
        }
        if let Some(comparison) = &mut self.comparison {
            comparison.tell_undeclared(line, &mut self.results);
            for one in comparison.observe(line)? {
                tell_altered(self.policy, &one, &mut self.results);
            }
        }
        if let Some(kind) = line.get(MOUNT) {
            self.mount(&file.key, &kind.decode().to_string());
            return Ok(());
        }
        if self.generic {
            self.facts.entry(&line.to_entry(), &mut self.results);
        }
        let mut rules = self.selected.owners_of(&file.path);
        rules.extend(&self.everywhere);
        let mut content = Content {
            tree: self.tree,
            path: &file.path,
            read: None,
        };
        let policy = self.policy;
        for at in rules {
            if let Some(rule) = policy.rules.get(at) {
                self.judge(at, rule, &file, &mut content);
            }
        }
        for (rule, seen) in policy.rules.iter().zip(&mut self.present) {
            if let Test::Present { paths, kinds } = &rule.test
                && file.is_one_of(kinds)
            {
                for (wanted, seen) in paths.iter().zip(seen) {
                    let matches =
                        |glob: &globset::GlobMatcher| glob.is_match(crate::host::as_path(&file.path));
                    *seen = *seen || wanted.glob.as_ref().is_some_and(matches);
                }
            }
        }
        Ok(())
    }

    fn judge(&mut self, at: usize, rule: &Rule, file: &File<'_>, content: &mut Content<'_>) {
        if let Some(select) = select_of(rule)
            && (!file.is_one_of(&select.kinds) || file.is_among(&select.unless))
        {
            return;
        }
        let unpackaged_only = matches!(
            rule.test,
            Test::Absent { unpackaged: true, .. }
                | Test::Content { unpackaged: true, .. }
                | Test::Empty { unpackaged: true, .. }
        );
        if unpackaged_only && matches!(self.owners.of(&file.path), Owner::Declared(_)) {
            return;
        }
        let what = match &rule.test {
            Test::Absent { .. } => Some(format!("is there ({})", file.words())),
            Test::Empty { or, .. } => self.not_empty(file, or, content),
            Test::Mode {
                bits,
                except,
                user,
                group,
                ..
            } => wrong_mode(file, *bits, *except, user.as_deref(), group.as_deref()),
            Test::Content { lines, largest, .. } => self.holds(file, lines, *largest, content),
            Test::Rights { known } => self.rights(file, known),
            Test::Unexplained { unless } if !file.is_among(unless) => self.unexplained(file),
            Test::Unowned { unless } if !file.is_among(unless) => self.unowned(file),
            _ => None,
        };
        if let Some(what) = what {
            self.results.found(at, FILES, &file.key, what);
        }
    }

    /// Another file system is mounted there: what an image has below it cannot be seen.
    fn mount(&mut self, key: &OsText, kind: &str) {
        let usual = MOUNT_POINTS
            .iter()
            .any(|point| key.as_str() == *point || baseline_format::order::is_below(key.as_str(), point));
        if self.live && usual {
            let why =
                "another file system, or the kernel's own view; only the root's file system is looked at";
            self.results.skip(&format!("mount {key} ({kind})"), why);
        } else {
            let why = format!(
                "below: another file system ({kind}) is mounted there; unmount it, it is not the image's"
            );
            self.results.unseen(FILES, key, &OsText::from(why));
        }
    }

    fn not_empty(&mut self, file: &File<'_>, or: &[Vec<u8>], content: &mut Content<'_>) -> Option<String> {
        if file.size == 0 {
            return None;
        }
        let what = Some(format!("holds {} bytes", file.size));
        if or.is_empty() || file.size > WORDS {
            return what;
        }
        match content.up_to(WORDS) {
            Ok(bytes) if or.iter().any(|word| bytes.trim_ascii() == &word[..]) => None,
            Ok(_) => what,
            Err(why) => self.unread(file, &why),
        }
    }

    fn holds(
        &mut self,
        file: &File<'_>,
        lines: &Regex,
        largest: u64,
        content: &mut Content<'_>,
    ) -> Option<String> {
        if file.size == 0 {
            return None;
        }
        if file.size > largest {
            let rule = format!("content of files longer than {largest} bytes");
            self.results.skip(&rule, "what is looked for is in short files");
            return None;
        }
        match content.up_to(largest) {
            Ok(bytes) => first_line(lines, bytes).map(|line| format!("line {line} is such")),
            Err(why) => self.unread(file, &why),
        }
    }

    fn unread(&mut self, file: &File<'_>, why: &TreeError) -> Option<String> {
        let why = OsText::from(format!("content: {why}"));
        self.results.unseen(FILES, &file.key, &why);
        None
    }

    /// Why a program must not have the rights that it has.
    fn rights(&self, file: &File<'_>, known: &globset::GlobSet) -> Option<String> {
        let setid = if file.kind == Some(Kind::File) {
            file.mode.unwrap_or(0) & 0o6000
        } else {
            0
        };
        if setid == 0 && file.capabilities.is_none() {
            return None;
        }
        let mut words = Vec::new();
        if setid & 0o4000 != 0 {
            words.push(format!("runs as {}", file.owner()));
        }
        if setid & 0o2000 != 0 {
            words.push(format!("runs as group {}", file.owning_group()));
        }
        if let Some(capabilities) = &file.capabilities {
            words.push(format!("has {capabilities}"));
        }
        let words = words.join(" and ");
        match self.owners.of(&file.path) {
            Owner::Declared(declared) => {
                // A package manager that records modes answers for them, and the comparison has looked at them.
                let setid_is_declared = setid == 0 || declared.file.mode.is_some();
                let capabilities_are_declared =
                    file.capabilities.is_none() || declared.file.capabilities.is_some();
                let answered = setid_is_declared && capabilities_are_declared;
                let why = "its package does not say that it may, and it is none that is known to";
                (!answered && !file.is_among(known)).then(|| format!("{words}; {why}"))
            }
            _ => Some(format!("{words}; no package installed it")),
        }
    }

    fn unexplained(&mut self, file: &File<'_>) -> Option<String> {
        if file.path.as_ref() == b"/" || !matches!(self.owners.of(&file.path), Owner::Nobody) {
            return None;
        }
        let candidates = self.explained.owners_of(&file.path);
        let explains = |at: &usize| {
            self.policy.explained.get(*at).is_some_and(|explained| {
                let leads = |targets: &globset::GlobSet| {
                    file.link
                        .as_ref()
                        .is_some_and(|link| targets.is_match(crate::host::as_path(&link.to_bytes())))
                };
                file.is_one_of(&explained.kinds) && explained.links_to.as_ref().is_none_or(leads)
            })
        };
        if candidates.iter().any(explains) {
            self.results.skip(
                "paths that a policy explains",
                "no package declares them, and they are meant to be there",
            );
            return None;
        }
        Some(format!("no package and no policy explains it ({})", file.words()))
    }

    fn unowned(&self, file: &File<'_>) -> Option<String> {
        // Without the account files every owner would be nobody; that they could not be read is told.
        if self.results.is_blind("users") || self.results.is_blind("groups") {
            return None;
        }
        let user = (file.user.is_none() && file.uid != Some(0))
            .then_some(file.uid)
            .flatten();
        let group = (file.group.is_none() && file.gid != Some(0))
            .then_some(file.gid)
            .flatten();
        match (user, group) {
            (Some(uid), Some(gid)) => Some(format!("neither user {uid} nor group {gid} has an account")),
            (Some(uid), None) => Some(format!("user {uid} has no account")),
            (None, Some(gid)) => Some(format!("group {gid} has no entry")),
            (None, None) => None,
        }
    }

    /// Ends the pass: what is missing is told.
    pub(super) fn finish(self) -> Result<Results<'a>, ReadError> {
        let Self {
            policy,
            tree,
            comparison,
            present,
            facts,
            mut results,
            ..
        } = self;
        for ((at, rule), seen) in policy.rules.iter().enumerate().zip(present) {
            if let Test::Present { paths, kinds } = &rule.test {
                for (wanted, _) in paths.iter().zip(seen).filter(|(_, seen)| !seen) {
                    missing(at, wanted, kinds, tree, &mut results);
                }
            }
        }
        facts.finish(&mut results);
        for one in comparison.map_or(Ok(Vec::new()), Comparison::finish)? {
            tell_altered(policy, &one, &mut results);
        }
        Ok(results)
    }
}

impl Observer for Files<'_> {
    fn entry(&mut self, line: &Line<'_>) -> Result<(), Stop> {
        self.file(line).map_err(|why| {
            self.broken = Some(why);
            Stop
        })
    }
}

/// A second pass over the files, by the digests that packages declare, where those are not the ones that are recorded.
pub(super) struct Comparing<'a> {
    policy: &'a Policy,
    comparison: Comparison<'a>,
    results: Results<'a>,
    /// Whether the first pass has told already that something could not be seen.
    was_blind: bool,
    /// What broke the comparison.
    pub(super) broken: Option<ReadError>,
}

impl<'a> Comparing<'a> {
    pub(super) fn new(policy: &'a Policy, comparison: Comparison<'a>, results: Results<'a>) -> Self {
        Self {
            policy,
            comparison,
            was_blind: results.is_blind(FILES),
            results,
            broken: None,
        }
    }

    /// Ends the pass: what is missing is told.
    pub(super) fn finish(mut self) -> Result<Results<'a>, ReadError> {
        for one in self.comparison.finish()? {
            tell_altered(self.policy, &one, &mut self.results);
        }
        Ok(self.results)
    }
}

impl Observer for Comparing<'_> {
    fn entry(&mut self, line: &Line<'_>) -> Result<(), Stop> {
        if !self.was_blind {
            let key = OsText::parse(&line.key()).unwrap_or_default();
            for note in line.unseen() {
                self.results.unseen(FILES, &key, &note);
            }
        }
        self.comparison.tell_undeclared(line, &mut self.results);
        match self.comparison.observe(line) {
            Ok(altered) => {
                for one in &altered {
                    tell_altered(self.policy, one, &mut self.results);
                }
                Ok(())
            }
            Err(why) => {
                self.broken = Some(why);
                Err(Stop)
            }
        }
    }
}

/// Holds a packaged path that is not as it was shipped against the rules on such.
fn tell_altered(policy: &Policy, altered: &Altered, results: &mut Results<'_>) {
    let key = &altered.change.key;
    for (at, rule) in policy.rules.iter().enumerate() {
        if let Test::Altered { what, config, unless } = &rule.test
            && what.contains(&altered.difference)
            && *config == altered.config
            && !unless.is_match(crate::host::as_path(&key.to_bytes()))
        {
            results.found(at, FILES, key, altered.what.clone());
        }
    }
}

/// Tells that a path is not there. One without a wildcard is looked for as programs do: links are followed.
fn missing(at: usize, wanted: &Wanted, kinds: &[Kind], tree: &dyn Tree, results: &mut Results<'_>) {
    let key = OsText::from(&wanted.text[..]);
    if wanted.glob.is_some() {
        // What could not be seen may match.
        if !results.is_blind(FILES) {
            results.found(at, FILES, &key, "nothing matches".to_owned());
        }
        return;
    }
    match tree.stat(wanted.text.as_bytes()) {
        Ok(stat) => {
            let kind = Kind::of_mode(stat.mode);
            if !kinds.is_empty() && !kinds.contains(&kind) {
                results.found(at, FILES, &key, format!("is a {}", kind.name()));
            }
        }
        Err(TreeError::NotFound) => results.found(at, FILES, &key, "is not there".to_owned()),
        Err(why) => results.unseen(FILES, &key, &OsText::from(format!("all: {why}"))),
    }
}

fn select_of(rule: &Rule) -> Option<&Select> {
    match &rule.test {
        Test::Absent { select, .. }
        | Test::Content { select, .. }
        | Test::Empty { select, .. }
        | Test::Mode { select, .. } => Some(select),
        _ => None,
    }
}
