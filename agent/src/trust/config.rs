//! What an operator writes into a `.toml` file of the trust directory.
//!
//! A key that is not known is refused: a misspelled `not-after` must not become a key without an end.

use serde::Deserialize;
use toml::value::Datetime;

use super::issued::Issued;
use crate::source::file_system::Fault;

/// One file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Config {
    /// Keys and what they may sign.
    #[serde(default)]
    pub(super) key: Vec<Key>,
    /// How many keys must have signed.
    #[serde(default)]
    pub(super) threshold: Vec<Threshold>,
}

/// A key and what it may sign.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Key {
    /// What reports call it.
    pub(super) name: String,
    /// PEM, or the name of a `.pub` file in the same directory.
    #[serde(rename = "public-key")]
    pub(super) public: String,
    /// Globs on the names of images: `*` within a component, `**` across `/`.
    pub(super) images: Vec<String>,
    not_before: Option<Datetime>,
    not_after: Option<Datetime>,
}

impl Key {
    /// First time of issue.
    pub(super) fn not_before(&self) -> Result<Option<Issued>, Fault> {
        time(self.not_before.as_ref(), "not-before")
    }

    /// Last time of issue.
    pub(super) fn not_after(&self) -> Result<Option<Issued>, Fault> {
        time(self.not_after.as_ref(), "not-after")
    }
}

/// How many distinct keys must have signed.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Threshold {
    /// Globs on the names of images.
    pub(super) images: Vec<String>,
    /// The number of keys.
    pub(super) keys: usize,
}

/// Reads one file.
pub(super) fn parse(text: &[u8]) -> Result<Config, Fault> {
    let text = std::str::from_utf8(text).map_err(|_| Fault::new("it is not UTF-8"))?;
    let failed = |why: toml::de::Error| {
        let before = why.span().and_then(|span| text.get(..span.start));
        let line = before.map_or(0, |before| before.matches('\n').count()) + 1;
        Fault::new(format!("line {line}: {}", why.message().replace('\n', "; ")))
    };
    let table: toml::Table = toml::from_str(text).map_err(failed)?;
    check_names(&table)?;
    let config: Config = toml::from_str(text).map_err(failed)?;
    if config.key.is_empty() && config.threshold.is_empty() {
        return Err(Fault::new("it has neither a [[key]] nor a [[threshold]]"));
    }
    Ok(config)
}

fn time(given: Option<&Datetime>, name: &str) -> Result<Option<Issued>, Fault> {
    given
        .map(|time| Issued::parse(&time.to_string()).map_err(|why| Fault::new(format!("{name}: {why}"))))
        .transpose()
}

/// Refuses names that nothing reads, with the one that was probably meant.
fn check_names(table: &toml::Table) -> Result<(), Fault> {
    for (section, content) in table {
        let Some((_, known)) = NAMES.iter().find(|(known, _)| known == section) else {
            return Err(unknown(section, "", NAMES.iter().map(|(known, _)| *known)));
        };
        for (at, element) in content.as_array().into_iter().flatten().enumerate() {
            let names = element.as_table().into_iter().flatten();
            for (name, _) in names {
                if !known.contains(&name.as_str()) {
                    let place = format!("[[{section}]] {}: ", at + 1);
                    return Err(unknown(name, &place, known.iter().copied()));
                }
            }
        }
    }
    Ok(())
}

fn unknown(name: &str, place: &str, known: impl Iterator<Item = &'static str> + Clone) -> Fault {
    let nearest = known
        .clone()
        .map(|known| (strsim::damerau_levenshtein(name, known), known))
        .min()
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4);
    let hint = match nearest {
        Some((_, known)) => format!("did you mean `{known}`?"),
        None => format!("it knows {}", known.collect::<Vec<_>>().join(", ")),
    };
    Fault::new(format!("{place}unknown name `{}`; {hint}", name.escape_debug()))
}

/// Every table with the names in it.
const NAMES: [(&str, &[&str]); 2] = [
    (
        "key",
        &["name", "public-key", "images", "not-before", "not-after"],
    ),
    ("threshold", &["images", "keys"]),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = r#"
[[key]]
name = "release"
public-key = "release.pub"
images = ["web", "db-*"]
not-before = 2026-01-01T00:00:00Z
not-after = 2026-12-31T23:59:59Z

[[threshold]]
images = ["db-*"]
keys = 2
"#;

    #[test]
    fn a_file_is_read() {
        let config = parse(GOOD.as_bytes()).unwrap();
        let key = &config.key[0];
        assert_eq!(
            (key.name.as_str(), key.public.as_str()),
            ("release", "release.pub")
        );
        assert_eq!(key.images, ["web", "db-*"]);
        let times = [key.not_before().unwrap(), key.not_after().unwrap()];
        let times = times.map(|time| time.unwrap().to_string());
        assert_eq!(times, ["2026-01-01T00:00:00Z", "2026-12-31T23:59:59Z"]);
        assert_eq!(config.threshold[0].keys, 2);
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, told) in [
            (
                "images = [\"web",
                "imags = [\"web",
                "[[key]] 1: unknown name `imags`; did you mean `images`?",
            ),
            (
                "not-after",
                "not-afer",
                "[[key]] 1: unknown name `not-afer`; did you mean `not-after`?",
            ),
            (
                "not-after",
                "not_after",
                "[[key]] 1: unknown name `not_after`; did you mean `not-after`?",
            ),
            (
                "[[threshold]]",
                "[[treshold]]",
                "unknown name `treshold`; did you mean `threshold`?",
            ),
            (
                "[[threshold]]",
                "[[other]]",
                "unknown name `other`; it knows key, threshold",
            ),
            (
                "keys = 2",
                "keys = 2\ncount = 3",
                "[[threshold]] 1: unknown name `count`; it knows images, keys",
            ),
            (
                "keys = 2",
                "keys = -2",
                "line 11: invalid value: integer `-2`, expected usize",
            ),
            ("name = \"release\"\n", "", "line 2: missing field `name`"),
            (
                "images = [\"web\", \"db-*\"]\n",
                "",
                "line 2: missing field `images`",
            ),
            (
                "[[threshold]]",
                "[threshold]",
                "line 9: invalid type: map, expected a sequence",
            ),
            ("keys = 2", "keys = 2\nkeys = 3", "line 12: duplicate key"),
            ("keys = 2", "keys", "line 11: key with no value, expected `=`"),
            (GOOD, "", "it has neither a [[key]] nor a [[threshold]]"),
            (GOOD, "# nothing", "it has neither a [[key]] nor a [[threshold]]"),
        ] {
            let text = GOOD.replace(from, to);
            assert_ne!(text, GOOD, "{from}");
            assert_eq!(parse(text.as_bytes()).unwrap_err().0, told, "{to}");
        }
        assert_eq!(parse(b"\xff").unwrap_err().0, "it is not UTF-8");
        let config = parse(GOOD.replace("2026-12-31T23:59:59Z", "2026-12-31").as_bytes()).unwrap();
        assert_eq!(
            config.key[0].not_after().unwrap_err().0,
            "not-after: `2026-12-31` is not a time like 2026-01-31T12:00:00Z"
        );
    }

    /// The list of names and the structures that are read are the same.
    #[test]
    fn the_names_are_those_that_are_read() {
        for (section, names) in NAMES {
            for name in names {
                let why = parse(format!("[[{section}]]\n{name} = {{}}").as_bytes())
                    .unwrap_err()
                    .0;
                assert!(!why.contains("unknown"), "{section} {name}: {why}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes: Vec<u8>) {
            parse(&bytes).ok();
        }

        #[test]
        fn any_change_ends(at in 0..GOOD.len(), to: char) {
            let mut text: Vec<char> = GOOD.chars().collect();
            text[at] = to;
            parse(text.into_iter().collect::<String>().as_bytes()).ok();
        }
    }
}
