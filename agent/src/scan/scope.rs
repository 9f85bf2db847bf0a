//! What a scan leaves out on purpose, and why.

use std::collections::HashSet;

use baseline_format::header::{self, Exclusion, ExclusionReach, Stated};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// Directories whose ordinary content comes and goes and means nothing.
const SCRATCH: [&str; 2] = ["/tmp", "/var/tmp"];
/// A directory that the makers of ext2, ext3 and ext4 put into every file system, for their own repair program.
const FOUND: &str = "/lost+found";

/// Rules that leave paths out.
#[derive(Debug, Default)]
pub struct Scope {
    rules: Vec<Rule>,
    /// Matchers of the rules that are more than one directory's content.
    globs: GlobSet,
    /// For each matcher, its rule.
    glob_rules: Vec<usize>,
    exact: HashSet<Vec<u8>>,
    include: Option<Include>,
    include_globs: Vec<String>,
}

/// One rule that leaves something out.
#[derive(Clone, Debug)]
pub struct Rule {
    /// How the report names it.
    pub name: String,
    /// Why it exists.
    pub why: String,
    /// The glob.
    glob: String,
    reach: ExclusionReach,
    /// The directory whose whole content the rule means, if it is of the form `/directory/**`: checked once a
    /// directory instead of once a file.
    directory: Option<Vec<u8>>,
    /// Whether the rule is part of what a baseline covers, rather than of one audit.
    recorded: bool,
}

#[derive(Debug)]
struct Include {
    globs: GlobSet,
    /// What every path that a glob can match begins with.
    prefixes: Vec<Vec<u8>>,
}

/// What is to be done with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Look at it.
    Take,
    /// Look only at setid files, files with capabilities and device nodes. The rule's index.
    Ordinary(usize),
    /// Leave it out. The rule's index.
    Skip(usize),
    /// Leave it out, because no `--include` names it; what is below it may be named all the same.
    NotIncluded,
}

impl Scope {
    /// The built-in rules: scratch directories, and what is the file system's own.
    #[must_use]
    pub fn built_in() -> Vec<Exclusion> {
        SCRATCH
            .iter()
            .map(|directory| Exclusion {
                glob: format!("{directory}/**"),
                what: ExclusionReach::Ordinary,
                why: "scratch: only setid files, capabilities and device nodes are looked at".to_owned(),
            })
            .chain([Exclusion {
                glob: FOUND.to_owned(),
                what: ExclusionReach::Empty,
                why: "ext file systems come with it, images need not: it is told when anything is in it"
                    .to_owned(),
            }])
            .collect()
    }

    /// Builds the rules from what a baseline leaves out (or will leave out), and what the command line adds.
    pub fn new(
        recorded: &header::Scope,
        exclude: &[String],
        include: &[String],
        exact: &[Vec<u8>],
    ) -> Result<Self, BadGlob> {
        let mut scope = Self {
            exact: exact.iter().cloned().collect(),
            ..Self::default()
        };
        for exclusion in &recorded.exclude {
            let name = match exclusion.what {
                ExclusionReach::All => format!("left out of the baseline: {}", exclusion.glob),
                ExclusionReach::Ordinary => format!("ordinary content of {}", exclusion.glob),
                ExclusionReach::Empty => format!("{} when it is empty", exclusion.glob),
            };
            scope.rule(name, &exclusion.why, &exclusion.glob, exclusion.what, true);
        }
        for glob in exclude {
            scope.rule(
                format!("--exclude {glob}"),
                "asked for",
                glob,
                ExclusionReach::All,
                false,
            );
        }
        let mut globs = GlobSetBuilder::new();
        for (at, rule) in scope
            .rules
            .iter()
            .enumerate()
            .filter(|(_, rule)| rule.directory.is_none() && rule.reach != ExclusionReach::Empty)
        {
            globs.add(glob(&rule.glob)?);
            scope.glob_rules.push(at);
        }
        scope.globs = build(&globs)?;
        scope.include_globs = recorded.include.iter().chain(include).cloned().collect();
        if !scope.include_globs.is_empty() {
            let mut globs = GlobSetBuilder::new();
            for text in &scope.include_globs {
                globs.add(glob(text)?);
            }
            let prefixes = scope
                .include_globs
                .iter()
                .map(|text| literal_prefix(text))
                .collect();
            scope.include = Some(Include {
                globs: build(&globs)?,
                prefixes,
            });
        }
        Ok(scope)
    }

    /// What to do with `path`. Rules of the form `/directory/**` are not asked here but in [`Scope::below`].
    #[must_use]
    pub fn judge(&self, path: &[u8]) -> Judgement {
        if !self.exact.is_empty() && self.exact.contains(path) {
            return Judgement::NotIncluded;
        }
        if !self.glob_rules.is_empty() {
            let path = as_path(path);
            // A rule that leaves all out wins over one that leaves the ordinary out.
            let matched = self.globs.matches(path).into_iter().map(|at| self.glob_rules[at]);
            if let Some(rule) = matched.min_by_key(|&at| self.rules[at].reach == ExclusionReach::Ordinary) {
                return self.verdict(rule);
            }
        }
        match &self.include {
            Some(include) if !include.globs.is_match(as_path(path)) => Judgement::NotIncluded,
            _ => Judgement::Take,
        }
    }

    /// What to do with the content of the directory `path`, as far as rules of the form `/directory/**` say.
    #[must_use]
    pub fn below(&self, path: &[u8]) -> Judgement {
        let rules = self.rules.iter().enumerate();
        let mut matching = rules
            .filter(|(_, rule)| rule.directory.as_deref() == Some(path))
            .map(|(at, _)| at);
        match matching
            .clone()
            .find(|&at| self.rules[at].reach == ExclusionReach::All)
            .or_else(|| matching.next())
        {
            Some(rule) => self.verdict(rule),
            None => Judgement::Take,
        }
    }

    /// The rule that leaves out the directory `path` because it is empty.
    #[must_use]
    pub fn empty(&self, path: &[u8]) -> Option<usize> {
        self.rules
            .iter()
            .position(|rule| rule.reach == ExclusionReach::Empty && rule.glob.as_bytes() == path)
    }

    /// Whether something below the directory `path` may be included.
    #[must_use]
    pub fn may_include_below(&self, path: &[u8]) -> bool {
        let Some(include) = &self.include else { return true };
        include.prefixes.iter().any(|prefix| {
            let (short, long) = if path.len() < prefix.len() {
                (path, &prefix[..])
            } else {
                (&prefix[..], path)
            };
            long.starts_with(short)
        })
    }

    /// The rule that leaves out `path`, whose ancestors may be what a rule names; for entries of a baseline.
    #[must_use]
    pub fn leaves_out(&self, path: &[u8]) -> Option<Judgement> {
        let mut ends: Vec<usize> = (1..path.len()).filter(|&at| path[at] == b'/').collect();
        ends.push(path.len());
        let mut ordinary = None;
        for (depth, &end) in ends.iter().enumerate() {
            let own = end == path.len();
            let above = if depth == 0 {
                &b"/"[..]
            } else {
                &path[..ends[depth - 1]]
            };
            for judgement in [self.below(above), self.judge(&path[..end])] {
                match judgement {
                    Judgement::Skip(_) => return Some(judgement),
                    Judgement::NotIncluded if own => return Some(judgement),
                    Judgement::Ordinary(_) => ordinary = Some(judgement),
                    _ => {}
                }
            }
        }
        ordinary
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Whether `--include` narrows the scan.
    #[must_use]
    pub const fn is_narrowed(&self) -> bool {
        self.include.is_some()
    }

    /// The scope as a baseline's header records it.
    #[must_use]
    pub fn to_header(&self) -> header::Scope {
        let exclude = self.rules.iter().map(|rule| Exclusion {
            glob: rule.glob.clone(),
            what: rule.reach,
            why: if rule.recorded {
                rule.why.clone()
            } else {
                "left out when the baseline was recorded".to_owned()
            },
        });
        header::Scope {
            include: self.include_globs.clone(),
            exclude: exclude.collect(),
            attributes: Stated::All,
        }
    }

    fn rule(&mut self, name: String, why: &str, glob: &str, reach: ExclusionReach, recorded: bool) {
        let literal = glob
            .strip_suffix("/**")
            .filter(|directory| !directory.contains(['*', '?', '[', '{', '\\']));
        self.rules.push(Rule {
            name,
            why: why.to_owned(),
            glob: glob.to_owned(),
            reach,
            directory: literal.map(|directory| {
                if directory.is_empty() {
                    b"/".to_vec()
                } else {
                    directory.into()
                }
            }),
            recorded,
        });
    }

    fn verdict(&self, rule: usize) -> Judgement {
        match self.rules[rule].reach {
            ExclusionReach::All => Judgement::Skip(rule),
            ExclusionReach::Ordinary => Judgement::Ordinary(rule),
            // Only whoever has listed the directory knows: see `empty`.
            ExclusionReach::Empty => Judgement::Take,
        }
    }
}

/// A glob that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadGlob {
    /// The glob.
    pub glob: String,
    /// Why, as a lower-case fragment.
    pub why: String,
}

impl std::fmt::Display for BadGlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the glob `{}` cannot be used: {}", self.glob, self.why)
    }
}

impl std::error::Error for BadGlob {}

/// A glob over paths: `*` within a component, `**` across.
pub(crate) fn glob(text: &str) -> Result<globset::Glob, BadGlob> {
    if !text.starts_with('/') && !text.starts_with("**") {
        let why = format!("it does not start with `/`; write `/{text}` or `**/{text}`");
        return Err(BadGlob {
            glob: text.to_owned(),
            why,
        });
    }
    let built = GlobBuilder::new(text)
        .literal_separator(true)
        .backslash_escape(true)
        .build();
    built.map_err(|why| BadGlob {
        glob: text.to_owned(),
        why: why.kind().to_string(),
    })
}

fn build(globs: &GlobSetBuilder) -> Result<GlobSet, BadGlob> {
    globs.build().map_err(|why| BadGlob {
        glob: why.glob().unwrap_or("all together").to_owned(),
        why: why.kind().to_string(),
    })
}

/// The part of a glob before its first special character.
fn literal_prefix(glob: &str) -> Vec<u8> {
    let end = glob.find(['*', '?', '[', '{', '\\']).unwrap_or(glob.len());
    glob.as_bytes()[..end].to_vec()
}

fn as_path(bytes: &[u8]) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt as _;
    std::path::Path::new(std::ffi::OsStr::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(exclude: &[&str], include: &[&str]) -> Scope {
        let recorded = header::Scope {
            include: Vec::new(),
            exclude: Scope::built_in(),
            ..header::Scope::default()
        };
        let owned = |globs: &[&str]| globs.iter().map(|&glob| glob.to_owned()).collect::<Vec<_>>();
        Scope::new(&recorded, &owned(exclude), &owned(include), &[]).unwrap()
    }

    #[test]
    fn rules_reach_what_is_below() {
        let scope = scope(&["/srv/**", "/var/log", "**/*.pyc"], &[]);
        for (path, out) in [
            ("/srv", false),
            ("/srv/a", true),
            ("/srv/a/b", true),
            ("/var/log", true),
            ("/var/log/x", true),
            ("/var/logs", false),
            ("/usr/lib/a.pyc", true),
            ("/etc/passwd", false),
        ] {
            assert_eq!(
                matches!(scope.leaves_out(path.as_bytes()), Some(Judgement::Skip(_))),
                out,
                "{path}"
            );
        }
        assert!(matches!(
            scope.leaves_out(b"/tmp/x"),
            Some(Judgement::Ordinary(_))
        ));
        assert!(matches!(
            scope.leaves_out(b"/var/tmp/x/y"),
            Some(Judgement::Ordinary(_))
        ));
        assert_eq!(scope.leaves_out(b"/tmp"), None);
        assert!(matches!(scope.below(b"/srv"), Judgement::Skip(_)));
    }

    #[test]
    fn include_narrows_and_prunes() {
        let scope = scope(&[], &["/etc/**", "/usr/*/sudo"]);
        assert_eq!(scope.judge(b"/etc/passwd"), Judgement::Take);
        assert_eq!(scope.judge(b"/usr/bin/sudo"), Judgement::Take);
        assert_eq!(scope.judge(b"/usr/bin/su"), Judgement::NotIncluded);
        assert!(scope.may_include_below(b"/") && scope.may_include_below(b"/usr/bin"));
        assert!(!scope.may_include_below(b"/var"));
        assert_eq!(scope.leaves_out(b"/var/x"), Some(Judgement::NotIncluded));
        assert_eq!(scope.leaves_out(b"/etc/ssh/x"), None);
    }

    #[test]
    fn bad_globs_are_named() {
        let header = header::Scope::default();
        for glob in ["etc/*", "/a[", "/a{b"] {
            let error = Scope::new(&header, &[glob.to_owned()], &[], &[]).unwrap_err();
            assert_eq!(error.glob, glob);
        }
    }
}
