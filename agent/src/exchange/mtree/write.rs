//! Writes the `files` section of a baseline as an mtree.
//!
//! Each line has a full path (`./usr/bin/x type=file mode=0755 ...`), in THE order; names are spelled with octal
//! escapes. That is what NetBSD's and FreeBSD's mtree and libarchive read; go-mtree 0.4 does not: it takes `./x` for
//! a relative name. The baseline is read twice: once to check it to its end and to count what cannot be said, which
//! stands in comments before the first entry, and once to write. Nothing is written of a baseline that is not sound.
//!
//! Refused: a baseline whose paths could lead out of the directory that somebody unpacks or repairs with the mtree.

use std::io::{BufRead, Write};

use baseline_format::header::{End, Header};
use baseline_format::{BELOW, BaselineReader, Line, MOUNT, OsText, Reference as _, UNSEEN, Value};

use super::vis;
use crate::exchange::{Failure, Loss, Losses};
use crate::scan::{FILES, REVISION};

/// Keywords that the export writes, in the order in which they stand in a line; `without` may name any but `type`.
pub const KEYWORDS: [&str; 16] = [
    "type",
    "mode",
    "uid",
    "gid",
    "uname",
    "gname",
    "size",
    "sha256digest",
    "sha512digest",
    "sha1digest",
    "md5digest",
    "nlink",
    "time",
    "flags",
    "link",
    "device",
];

/// Writes the `files` of the baseline that `open` opens, twice, to `out`. Keywords named in `without` are left out:
/// mtree(8) takes an unknown `uname` or `gname` for an error in the file, and `time` for a whole time where a
/// baseline has seconds only.
///
/// Returns what could not be said; the same stands in the mtree as comments.
pub fn write<R: BufRead>(
    mut open: impl FnMut() -> std::io::Result<R>,
    without: &[String],
    out: &mut impl Write,
) -> Result<Vec<Loss>, Failure> {
    let settings = Without::new(without)?;
    let mut survey = Exporter::new(settings);
    let (header, end) = survey.pass(
        BaselineReader::open(open().map_err(Failure::Read)?)?,
        &mut std::io::sink(),
    )?;
    let losses = survey.losses.into_list();
    preface(&header, &end, &losses, out).map_err(Failure::output)?;
    let (_, again) =
        Exporter::new(settings).pass(BaselineReader::open(open().map_err(Failure::Read)?)?, out)?;
    if again.digest != end.digest {
        return Err(Failure::refused(
            "the baseline changed while it was exported; what was written is of no use",
        ));
    }
    out.flush().map_err(Failure::output)?;
    Ok(losses)
}

/// The keywords that are left out, as bits of [`KEYWORDS`].
#[derive(Clone, Copy)]
struct Without(u32);

impl Without {
    fn new(names: &[String]) -> Result<Self, Failure> {
        let mut bits = 0;
        for name in names {
            match KEYWORDS.iter().position(|known| known == name) {
                Some(0) => return Err(Failure::refused("without `type`, nothing reads an mtree")),
                Some(at) => bits |= 1 << at,
                None => {
                    let known = KEYWORDS.join(", ");
                    return Err(Failure::refused(format!(
                        "the export has no keyword `{name}`: it has {known}"
                    )));
                }
            }
        }
        Ok(Self(bits))
    }

    fn has(self, keyword: &str) -> bool {
        KEYWORDS
            .iter()
            .position(|known| *known == keyword)
            .is_some_and(|at| self.0 & 1 << at != 0)
    }
}

/// What the reader should know before the first entry, as comments.
fn preface(header: &Header, end: &End, losses: &[Loss], out: &mut impl Write) -> std::io::Result<()> {
    // `OsText` has neither line ends nor a backslash at its end, so a name cannot become a line of its own.
    let text = |text: &str| OsText::from(text);
    writeln!(out, "#mtree v2.0")?;
    writeln!(out, "# exported by driftcheck from the baseline {}", end.digest)?;
    if let Some(name) = &header.image.name {
        let version = header.image.version.as_deref().unwrap_or("(no version)");
        writeln!(out, "# image: {} {}", text(name), text(version))?;
    }
    for glob in &header.scope.include {
        writeln!(out, "# the baseline has only: {}", text(glob))?;
    }
    for rule in &header.scope.exclude {
        writeln!(
            out,
            "# left out of the baseline: {} ({})",
            text(&rule.glob),
            text(&rule.why)
        )?;
    }
    if !losses.is_empty() {
        writeln!(out, "# what an mtree cannot say, or the baseline did not see:")?;
    }
    for loss in losses {
        writeln!(out, "#   {}", text(&loss.to_string()))?;
    }
    Ok(())
}

/// One pass over a baseline.
struct Exporter {
    without: Without,
    losses: Losses,
    /// Path of the entry before, as bytes.
    last: Vec<u8>,
    started: bool,
    line: Vec<u8>,
}

impl Exporter {
    fn new(without: Without) -> Self {
        Self {
            without,
            losses: Losses::default(),
            last: Vec::new(),
            started: false,
            line: Vec::new(),
        }
    }

    fn pass<R: BufRead>(
        &mut self,
        mut baseline: BaselineReader<R>,
        out: &mut impl Write,
    ) -> Result<(Header, End), Failure> {
        let header = baseline.header().clone();
        match header.sections.iter().find(|section| section.name == FILES) {
            Some(section) if section.revision == REVISION => {}
            Some(section) => {
                return Err(Failure::refused(format!(
                    "the section `{FILES}` is of revision {}, this release knows {REVISION}: use a newer driftcheck",
                    section.revision
                )));
            }
            None => return Err(Failure::refused(format!("the baseline has no section `{FILES}`"))),
        }
        while let Some(line) = baseline.current() {
            if line.section() == FILES {
                self.line.clear();
                self.entry(&line)?;
                out.write_all(&self.line).map_err(Failure::output)?;
            } else {
                self.losses.add(format!(
                    "of the section `{}`; an mtree lists files only",
                    line.section()
                ));
            }
            baseline.advance()?;
        }
        let end = baseline.end().cloned();
        let end = end.ok_or_else(|| Failure::refused("the baseline has no trailer"))?;
        Ok((header, end))
    }

    /// The line of one entry, and before it those of directories that the baseline does not have.
    fn entry(&mut self, line: &Line<'_>) -> Result<(), Failure> {
        let key = OsText::parse(&line.key()).unwrap_or_default();
        let path = key.to_bytes();
        check(&path).map_err(|why| Failure::refused(format!("the entry `{key}` {why}")))?;
        self.directories_above(&path);
        if path.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[')) {
            self.losses
                .add("the name has `*`, `?` or `[`: NetBSD's mtree takes it for a pattern");
        }
        name(&path, &mut self.line);
        let facts = Facts::of(line, &mut self.losses);
        facts.push(self.without, &mut self.line, &mut self.losses);
        self.line.push(b'\n');
        self.last.clear();
        self.last.extend_from_slice(&path);
        Ok(())
    }

    /// mtree wants every directory of a path before the path. A baseline that is narrowed to some paths may lack
    /// them; that they are directories follows from what is below them.
    fn directories_above(&mut self, path: &[u8]) {
        if !self.started && path != b"/" {
            self.made_up(b"/");
        }
        self.started = true;
        let slashes = path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/');
        for above in slashes.filter_map(|(at, _)| path.get(..at)) {
            let rest = self.last.strip_prefix(above);
            if !rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/")) {
                self.made_up(above);
            }
        }
    }

    fn made_up(&mut self, path: &[u8]) {
        name(path, &mut self.line);
        self.line.extend_from_slice(b" type=dir\n");
        self.losses
            .add("a directory that is not in the baseline, listed because mtree wants it");
    }
}

/// Whether a key is a path that stays below the root in whatever unpacks it.
fn check(path: &[u8]) -> Result<(), &'static str> {
    let Some(below) = path.strip_prefix(b"/") else {
        return Err("is no absolute path");
    };
    if below.contains(&0) {
        return Err("has a zero byte");
    }
    let leaves = |component: &[u8]| matches!(component, b"" | b"." | b"..");
    if !below.is_empty() && below.split(|byte| *byte == b'/').any(leaves) {
        return Err("has an empty component, `.` or `..`");
    }
    Ok(())
}

/// Appends a path as mtree names it.
fn name(path: &[u8], out: &mut Vec<u8>) {
    out.push(b'.');
    if path != b"/" {
        vis::push(path, out);
    }
}

/// The attributes of one entry that have keywords.
#[derive(Default)]
struct Facts {
    kind: Option<&'static str>,
    /// Keyword, value in its spelling.
    words: Vec<(&'static str, Vec<u8>)>,
    ignore: bool,
}

impl Facts {
    fn of(line: &Line<'_>, losses: &mut Losses) -> Self {
        let mut facts = Self::default();
        for (name, value) in line.attributes() {
            let value = value.decode();
            if facts.take(&name, &value, losses).is_none() {
                losses.add(loss_of(&name));
            }
        }
        facts
    }

    /// Takes over one attribute; `None` if mtree has no word for it.
    fn take(&mut self, name: &str, value: &Value, losses: &mut Losses) -> Option<()> {
        match (name, value) {
            ("type", Value::Text(text)) => self.kind = Some(keyword_of_type(text.as_str())?),
            ("mode", Value::Text(text)) if is_mode(text.as_str()) => self.word("mode", text.as_str()),
            ("uid" | "gid", Value::Integer(id)) => {
                let keyword = if name == "uid" { "uid" } else { "gid" };
                self.word(keyword, &u32::try_from(*id).ok()?.to_string());
            }
            ("user" | "group", Value::Text(text)) => {
                let bytes = text.to_bytes();
                // Neither NetBSD's mtree nor libarchive undoes escapes here.
                if bytes.is_empty() || !bytes.iter().all(|byte| vis::is_plain(*byte)) {
                    return None;
                }
                let keyword = if name == "user" { "uname" } else { "gname" };
                self.words.push((keyword, bytes.into_owned()));
            }
            ("size", Value::Integer(size)) => self.word("size", &u64::try_from(*size).ok()?.to_string()),
            ("digest", Value::Text(text)) => {
                let (keyword, digits) = digest(text.as_str())?;
                self.word(keyword, digits);
            }
            ("nlink", Value::Integer(names)) => self.word("nlink", &u32::try_from(*names).ok()?.to_string()),
            ("mtime", Value::Integer(seconds)) => self.word("time", &format!("{seconds}.0")),
            ("flags", Value::List(flags)) => {
                let words: Option<Vec<&str>> =
                    flags.iter().map(|flag| keyword_of_flag(flag.as_str())).collect();
                self.word("flags", &words.filter(|words| !words.is_empty())?.join(","));
            }
            ("link", Value::Text(target)) => {
                let bytes = target.to_bytes();
                if bytes.is_empty() || bytes.contains(&0) {
                    return None;
                }
                let mut spelled = Vec::new();
                vis::push(&bytes, &mut spelled);
                self.words.push(("link", spelled));
            }
            ("device", Value::Text(text)) => {
                let (major, minor) = text.as_str().split_once(':')?;
                let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
                self.word("device", &format!("native,{major},{minor}"));
            }
            (UNSEEN, Value::List(notes)) => {
                losses
                    .add("not wholly seen when the baseline was recorded: what was not seen has no keyword");
                let is_below = |note: &OsText| note.as_str().split(": ").next() == Some(BELOW);
                self.ignore |= notes.iter().any(is_below);
            }
            (MOUNT, Value::Text(_)) => {
                losses.add("another file system was mounted there: only its type is told");
                self.ignore = true;
            }
            _ => return None,
        }
        Some(())
    }

    fn word(&mut self, keyword: &'static str, value: &str) {
        self.words.push((keyword, value.as_bytes().to_vec()));
    }

    /// Appends the words in the order of [`KEYWORDS`].
    fn push(mut self, without: Without, out: &mut Vec<u8>, losses: &mut Losses) {
        // What is mounted on a file hides nothing below it.
        self.ignore &= self.kind.is_none_or(|kind| kind == "dir");
        match self.kind {
            Some(kind) => self.word("type", kind),
            None => losses.add("no type: bsdtar takes it for a file"),
        }
        if self.kind == Some("socket") {
            losses.add("a socket: bsdtar takes it for a file");
        }
        for keyword in KEYWORDS.iter().filter(|keyword| !without.has(keyword)) {
            for (_, value) in self.words.iter().filter(|(known, _)| known == keyword) {
                push_word(keyword, value, out);
            }
        }
        if self.ignore {
            out.extend_from_slice(b" ignore");
        }
    }
}

fn push_word(keyword: &str, value: &[u8], out: &mut Vec<u8>) {
    out.push(b' ');
    out.extend_from_slice(keyword.as_bytes());
    out.push(b'=');
    out.extend_from_slice(value);
}

/// What a loss is called, by the attribute's name.
fn loss_of(attribute: &str) -> &'static str {
    match attribute {
        "acl" | "default-acl" => "an access control list",
        "capabilities" => "file capabilities",
        "hardlink" => "which other name the file has; `nlink` says how many there are",
        "selinux" => "an SELinux label",
        "user" | "group" => "the name of an owner that mtree cannot spell",
        name if name.starts_with("xattr:") => "another extended attribute",
        _ => "an attribute or a value that this release does not know",
    }
}

fn keyword_of_type(name: &str) -> Option<&'static str> {
    Some(match name {
        "block-device" => "block",
        "char-device" => "char",
        "directory" => "dir",
        "fifo" => "fifo",
        "file" => "file",
        "socket" => "socket",
        "symlink" => "link",
        _ => return None,
    })
}

/// The superuser's flags: on Linux only root sets and clears them, and libarchive has the same words for them.
fn keyword_of_flag(name: &str) -> Option<&'static str> {
    match name {
        "append-only" => Some("sappnd"),
        "immutable" => Some("schg"),
        _ => None,
    }
}

fn is_mode(text: &str) -> bool {
    text.len() == 4 && text.bytes().all(|digit| matches!(digit, b'0'..=b'7'))
}

/// The keyword and the digits of a labelled digest.
fn digest(text: &str) -> Option<(&'static str, &str)> {
    let (label, digits) = text.split_once(':')?;
    let (keyword, length) = match label {
        "md5" => ("md5digest", 32),
        "sha1" => ("sha1digest", 40),
        "sha256" => ("sha256digest", 64),
        "sha512" => ("sha512digest", 128),
        _ => return None,
    };
    let is_hex = digits.len() == length && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then_some((keyword, digits))
}

#[cfg(test)]
mod tests;
