//! Whose signatures count, for which images: what the operator put into the trust directory.
//!
//! Nothing else makes a key trusted: neither a baseline nor a file beside it is ever asked for one. A directory that
//! cannot be understood in full is refused, because what was left out might have been the stricter half.

use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::config::{self, Config};
use super::guarded::Guarded;
use super::issued::Issued;
use super::key::PublicKey;
use super::pem;
use crate::source::file_system::Fault;

/// Where operators put their keys.
pub const DIRECTORY: &str = "/etc/driftcheck/trust.d";

/// Keys, what each may sign, and how many must have signed.
#[derive(Clone, Debug, Default)]
pub struct Anchors {
    directory: PathBuf,
    grants: Vec<Grant>,
    thresholds: Vec<(Images, usize)>,
}

/// What one key may sign.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    /// What reports call the key.
    pub(super) name: String,
    pub(super) key: PublicKey,
    /// The key's [`PublicKey::id`].
    pub(super) id: String,
    images: Images,
    not_before: Option<Issued>,
    not_after: Option<Issued>,
}

impl Grant {
    /// Whether it is about images of this name.
    pub(super) fn is_for(&self, image: &str) -> bool {
        self.images.contain(image)
    }

    /// Whether the key could issue statements then.
    pub(super) fn held_at(&self, issued: Issued) -> bool {
        self.not_before.is_none_or(|first| first <= issued)
            && self.not_after.is_none_or(|last| issued <= last)
    }
}

/// What a directory that is not there means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// There are no anchors: nobody set any up.
    NoAnchors,
    /// It was named, so somebody expected one.
    Refused,
}

impl Anchors {
    /// Reads a trust directory: each `.pem` file is a key that may sign every image, each `.toml` file says what
    /// its keys may sign, `.pub` files are keys that `.toml` files name. Anything else is refused, but for names
    /// that begin with a dot.
    pub fn read(path: &Path, missing: Missing) -> Result<Self, Fault> {
        let Some(guarded) = Guarded::open(path)? else {
            return match missing {
                Missing::NoAnchors => Ok(Self::default()),
                Missing::Refused => Err(Fault::new(format!("{}: not found", path.display()))),
            };
        };
        let mut anchors = Self {
            directory: guarded.path().to_path_buf(),
            ..Self::default()
        };
        for name in guarded.names()? {
            let fault = |why: Fault| Fault::new(format!("{}/{name}: {why}", guarded.path().display()));
            match name.rsplit_once('.') {
                Some((stem, "pem")) => {
                    let text = read(&guarded, &name, pem::LIMIT)?;
                    let key = PublicKey::from_pem(&text).map_err(fault)?;
                    anchors.grants.push(Grant {
                        name: stem.to_owned(),
                        id: key.id(),
                        key,
                        images: Images::All,
                        not_before: None,
                        not_after: None,
                    });
                }
                Some((_, "toml")) => {
                    let text = read(&guarded, &name, CONFIG_LIMIT)?;
                    let key_file = |file: &str| read(&guarded, file, pem::LIMIT);
                    let config = config::parse(&text).map_err(fault)?;
                    anchors.add(&config, &key_file).map_err(fault)?;
                }
                Some((_, "pub")) => {}
                _ => {
                    let why = "it ends in neither .toml, .pem nor .pub; move it away";
                    return Err(fault(Fault::new(why)));
                }
            }
        }
        anchors
            .check()
            .map_err(|why| Fault::new(format!("{}: {why}", anchors.directory.display())))?;
        Ok(anchors)
    }

    /// Reads the text of one `.toml` file that stands alone: its keys must be PEM texts.
    pub fn parse(text: &[u8]) -> Result<Self, Fault> {
        let mut anchors = Self::default();
        let no_file = |_: &str| Err(Fault::new("there is no directory to find a file in"));
        anchors.add(&config::parse(text)?, &no_file)?;
        anchors.check()?;
        Ok(anchors)
    }

    /// Whether nobody set any up.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.grants.is_empty() && self.thresholds.is_empty()
    }

    /// Where they were read from; empty if from nowhere.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// How many distinct keys must have signed an image of this name: the largest number that is set for it.
    #[must_use]
    pub fn needed(&self, image: &str) -> usize {
        let set = self.thresholds.iter().filter(|(images, _)| images.contain(image));
        set.map(|(_, keys)| *keys).max().unwrap_or(1)
    }

    pub(super) fn grants(&self) -> &[Grant] {
        &self.grants
    }

    fn add(
        &mut self,
        config: &Config,
        key_file: &dyn Fn(&str) -> Result<Vec<u8>, Fault>,
    ) -> Result<(), Fault> {
        for (at, key) in config.key.iter().enumerate() {
            let grant = grant(key, key_file).map_err(|why| {
                Fault::new(format!(
                    "[[key]] {} (`{}`): {why}",
                    at + 1,
                    key.name.escape_debug()
                ))
            })?;
            self.grants.push(grant);
        }
        for (at, threshold) in config.threshold.iter().enumerate() {
            let fault = |why: String| Fault::new(format!("[[threshold]] {}: {why}", at + 1));
            if threshold.keys == 0 {
                return Err(fault("0 keys would trust what nobody signed".to_owned()));
            }
            let images = Images::new(&threshold.images).map_err(|why| fault(why.0))?;
            self.thresholds.push((images, threshold.keys));
        }
        Ok(())
    }

    /// Refuses what makes sense in each file and none in all of them.
    fn check(&self) -> Result<(), Fault> {
        if self.grants.len() > MOST_KEYS {
            return Err(Fault::new(format!("more than {MOST_KEYS} keys")));
        }
        for (at, grant) in self.grants.iter().enumerate() {
            let mut others = self.grants.iter().skip(at + 1);
            if others.any(|other| other.name == grant.name && other.id != grant.id) {
                return Err(Fault::new(format!("two keys are called `{}`", grant.name)));
            }
        }
        let mut ids: Vec<&str> = self.grants.iter().map(|grant| grant.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        match self.thresholds.iter().find(|(_, keys)| *keys > ids.len()) {
            Some((_, keys)) => Err(Fault::new(format!(
                "a threshold of {keys} keys, but there are only {}: nothing could reach it",
                ids.len()
            ))),
            None => Ok(()),
        }
    }
}

fn read(guarded: &Guarded, name: &str, limit: usize) -> Result<Vec<u8>, Fault> {
    let absent = || Fault::new(format!("{}/{name}: not found", guarded.path().display()));
    guarded.read(name, limit)?.ok_or_else(absent)
}

fn grant(key: &config::Key, key_file: &dyn Fn(&str) -> Result<Vec<u8>, Fault>) -> Result<Grant, Fault> {
    let is_name = !key.name.is_empty() && key.name.len() <= 64 && !key.name.chars().any(char::is_control);
    if !is_name {
        return Err(Fault::new("name: 1 to 64 bytes without control characters"));
    }
    let given = key.public.as_str();
    let text = match given.rsplit_once('.') {
        _ if given.contains("-----BEGIN") => given.as_bytes().to_vec(),
        Some((_, "pub")) => key_file(given)?,
        Some((_, "pem")) => {
            return Err(Fault::new(format!(
                "public-key: a .pem file may sign every image by itself; rename `{}` to end in .pub",
                given.escape_debug()
            )));
        }
        _ => return Err(Fault::new("public-key: neither PEM nor the name of a .pub file")),
    };
    let public = PublicKey::from_pem(&text).map_err(|why| Fault::new(format!("public-key: {why}")))?;
    let (not_before, not_after) = (key.not_before()?, key.not_after()?);
    if let (Some(first), Some(last)) = (not_before, not_after)
        && first > last
    {
        return Err(Fault::new("not-before is after not-after"));
    }
    Ok(Grant {
        name: key.name.clone(),
        id: public.id(),
        key: public,
        images: Images::new(&key.images)?,
        not_before,
        not_after,
    })
}

/// Which images, by name.
#[derive(Clone, Debug)]
enum Images {
    All,
    Matching(GlobSet),
}

impl Images {
    fn new(patterns: &[String]) -> Result<Self, Fault> {
        if patterns.is_empty() {
            return Err(Fault::new("images: name at least one, or [\"**\"] for all"));
        }
        let mut globs = GlobSetBuilder::new();
        for pattern in patterns {
            let glob = GlobBuilder::new(pattern).literal_separator(true).build();
            globs.add(glob.map_err(|why| Fault::new(format!("images: {why}")))?);
        }
        let globs = globs
            .build()
            .map_err(|why| Fault::new(format!("images: {why}")))?;
        Ok(Self::Matching(globs))
    }

    fn contain(&self, image: &str) -> bool {
        match self {
            Self::All => true,
            Self::Matching(globs) => globs.is_match(image),
        }
    }
}

/// Longest `.toml` file. Bytes.
const CONFIG_LIMIT: usize = 1 << 20;

/// Most keys in all files, the same one in two places counted twice.
const MOST_KEYS: usize = 256;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::trust::testing::{grant as key_text, key, scratch};

    fn pem(seed: u8) -> String {
        key(seed).public().unwrap().to_pem()
    }

    fn told(text: &str) -> String {
        Anchors::parse(text.as_bytes()).unwrap_err().0
    }

    #[test]
    fn a_directory_is_read() {
        let directory = scratch("anchors-directory");
        fs::write(directory.join("everything.pem"), pem(1)).unwrap();
        fs::write(directory.join("release.pub"), pem(2)).unwrap();
        fs::write(directory.join(".web.toml.swp"), "rubbish").unwrap();
        let named = "[[key]]\nname = \"release\"\npublic-key = \"release.pub\"\nimages = [\"web\"]\n";
        fs::write(directory.join("web.toml"), named).unwrap();
        fs::write(
            directory.join("db.toml"),
            key_text("dba", 3, "'db-*'", "") + "[[threshold]]\nimages = ['db-*']\nkeys = 2\n",
        )
        .unwrap();
        let anchors = Anchors::read(&directory, Missing::Refused).unwrap();
        let may = |image: &str| -> Vec<&str> {
            let grants = anchors.grants.iter().filter(|grant| grant.is_for(image));
            grants.map(|grant| grant.name.as_str()).collect()
        };
        assert_eq!(may("web"), ["everything", "release"]);
        assert_eq!(may("db-1"), ["dba", "everything"]);
        assert_eq!(may("db-1/x"), ["everything"], "a star ends at a slash");
        assert_eq!((anchors.needed("db-1"), anchors.needed("web")), (2, 1));
    }

    #[test]
    fn what_is_not_there_is_nothing_or_a_mistake() {
        let directory = scratch("anchors-missing");
        assert!(Anchors::read(&directory, Missing::Refused).unwrap().is_empty());
        let absent = directory.join("absent");
        assert!(Anchors::read(&absent, Missing::NoAnchors).unwrap().is_empty());
        let why = Anchors::read(&absent, Missing::Refused).unwrap_err().0;
        assert!(why.ends_with("absent: not found"), "{why}");
    }

    /// What is left out might have been the stricter half.
    #[test]
    fn a_directory_that_is_not_understood_in_full_is_refused() {
        for (name, content, why) in [
            (
                "web.tml",
                String::new(),
                "web.tml: it ends in neither .toml, .pem nor .pub; move it away",
            ),
            (
                "README",
                String::new(),
                "README: it ends in neither .toml, .pem nor .pub; move it away",
            ),
            (
                "a.pem",
                "rubbish".into(),
                "a.pem: it is not PEM: it does not begin with -----BEGIN PUBLIC KEY-----",
            ),
            (
                "a.toml",
                String::new(),
                "a.toml: it has neither a [[key]] nor a [[threshold]]",
            ),
            (
                "a.toml",
                "[[key]]\nname='k'\npublic-key='b.pub'\nimages=['x']".into(),
                "b.pub: not found",
            ),
            (
                "a.toml",
                "[[key]]\nname='k'\npublic-key='good.pem'\nimages=['x']".into(),
                "a.toml: [[key]] 1 (`k`): public-key: a .pem file may sign every image by itself; rename `good.pem` to end in .pub",
            ),
            (
                "a.toml",
                "[[key]]\nname='k'\npublic-key='../x.pub'\nimages=['x']".into(),
                "../x.pub: it is not a name of a file in this directory",
            ),
            (
                "good2.toml",
                key_text("good", 2, "'x'", ""),
                "two keys are called `good`",
            ),
            (
                "few.toml",
                "[[threshold]]\nimages=['**']\nkeys=2".into(),
                "a threshold of 2 keys, but there are only 1: nothing could reach it",
            ),
        ] {
            let directory = scratch("anchors-refused");
            fs::write(directory.join("good.pem"), pem(1)).unwrap();
            fs::write(directory.join(name), content).unwrap();
            let told = Anchors::read(&directory, Missing::Refused).unwrap_err().0;
            assert!(told.ends_with(why), "{told}");
        }
    }

    #[test]
    fn mistakes_in_keys_are_named() {
        assert_eq!(
            told(&key_text("", 1, "'x'", "")),
            "[[key]] 1 (``): name: 1 to 64 bytes without control characters"
        );
        assert_eq!(
            told(&key_text("k", 1, "", "")),
            "[[key]] 1 (`k`): images: name at least one, or [\"**\"] for all"
        );
        assert!(
            told(&key_text("k", 1, "'[a'", ""))
                .starts_with("[[key]] 1 (`k`): images: error parsing glob '[a'")
        );
        let window = "not-before = 2026-02-01T00:00:00Z\nnot-after = 2026-01-01T00:00:00Z";
        assert_eq!(
            told(&key_text("k", 1, "'x'", window)),
            "[[key]] 1 (`k`): not-before is after not-after"
        );
        let threshold = "[[threshold]]\nimages = ['x']\nkeys = 0";
        assert_eq!(
            told(threshold),
            "[[threshold]] 1: 0 keys would trust what nobody signed"
        );
        let twice = key_text("a", 1, "'x'", "")
            + &key_text("b", 1, "'y'", "")
            + "[[threshold]]\nimages = ['x']\nkeys = 2";
        assert_eq!(
            told(&twice),
            "a threshold of 2 keys, but there are only 1: nothing could reach it"
        );
        let neither = "[[key]]\nname='k'\npublic-key='MCow'\nimages=['x']";
        assert_eq!(
            told(neither),
            "[[key]] 1 (`k`): public-key: neither PEM nor the name of a .pub file"
        );
    }

    #[test]
    fn the_strictest_threshold_counts() {
        let text = key_text("a", 1, "'x'", "")
            + &key_text("b", 2, "'x'", "")
            + "[[threshold]]\nimages = ['x']\nkeys = 1\n[[threshold]]\nimages = ['*']\nkeys = 2\n[[threshold]]\nimages = ['x']\nkeys = 1";
        assert_eq!(Anchors::parse(text.as_bytes()).unwrap().needed("x"), 2);
    }
}
