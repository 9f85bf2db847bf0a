//! What a baseline holds, for people: its summary, and single entries.

use std::io::{self, BufWriter, Write};

use baseline_format::header::{ExclusionReach, Stated};
use baseline_format::{Entry, MOUNT, UNSEEN, Value};

use super::TextStyle;
use super::page::{Ink, Page};
use crate::inventory::{Inventory, Login};
use crate::words::{count, instant, number, padded, plain, quoted, shorten, width};

/// Columns of the names at the left.
const NAMES: usize = 14;
/// Columns of a row with a digest at most.
const LONGEST: usize = 160;

/// Writes a baseline's summary.
pub fn write_inventory(inventory: &Inventory, style: &TextStyle<'_>, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let mut page = Page::new(&mut out, style.width, style.colour);
    let most = if style.limit == 0 { usize::MAX } else { style.limit };
    let mut sheet = Sheet {
        page: &mut page,
        most,
    };
    sheet.identity(inventory)?;
    sheet.sections(inventory)?;
    sheet.contents(inventory)?;
    sheet.logins(inventory)?;
    sheet.coverage(inventory)?;
    out.flush()
}

/// Writes one entry: its section and key, then each attribute in full on its own lines.
///
/// The page's width bounds no value here: who asks for an entry wants all of it.
pub fn write_entry(entry: &Entry, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}  {}", plain(&entry.section), quoted(entry.key.as_str()))?;
    let names = entry
        .attributes()
        .map(|(name, _)| width(name))
        .max()
        .unwrap_or(0)
        .min(24);
    for (name, value) in entry.attributes() {
        let lead = format!("  {}  ", padded(&quoted(name), names));
        match value {
            Value::List(items) if items.len() > 1 => {
                let blank = padded("", width(&lead));
                for (at, item) in items.iter().enumerate() {
                    let lead = if at == 0 { &lead } else { &blank };
                    writeln!(out, "{lead}{}", quoted(item.as_str()))?;
                }
            }
            value => writeln!(out, "{lead}{}", value_text(name, value))?,
        }
    }
    Ok(())
}

fn value_text(name: &str, value: &Value) -> String {
    match value {
        Value::Text(text) => quoted(text.as_str()).into_owned(),
        Value::List(items) if name == UNSEEN || name == MOUNT => items
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(", "),
        Value::List(items) if items.is_empty() => "(none)".to_owned(),
        Value::List(items) => items
            .iter()
            .map(|item| quoted(item.as_str()).into_owned())
            .collect::<Vec<_>>()
            .join(", "),
        Value::Integer(seconds) if name == "mtime" => match instant(*seconds) {
            Some(instant) => format!("{seconds} ({instant})"),
            None => seconds.to_string(),
        },
        Value::Integer(size) if name == "size" => {
            u64::try_from(*size).map_or_else(|_| size.to_string(), number)
        }
        other => plain(&other.to_string()).into_owned(),
    }
}

struct Sheet<'a, 'p> {
    page: &'a mut Page<'p>,
    most: usize,
}

impl Sheet<'_, '_> {
    fn row(&mut self, name: &str, ink: Ink, text: &str) -> io::Result<()> {
        self.page.wrapped(&padded(&format!("  {name}"), NAMES), ink, text)
    }

    /// A row that is never shortened: a digest is there to be copied.
    fn whole_row(&mut self, name: &str, text: &str) -> io::Result<()> {
        let line = format!("{}{text}", padded(&format!("  {name}"), NAMES));
        self.page.unbroken(Ink::Plain, &line, LONGEST)
    }

    fn identity(&mut self, inventory: &Inventory) -> io::Result<()> {
        let image = &inventory.image;
        let names: Vec<String> = [&image.name, &image.version]
            .into_iter()
            .flatten()
            .map(|word| quoted(&plain(word)).into_owned())
            .collect();
        let kind = match image.source_kind.as_str() {
            "merged" => "merged baseline",
            "overlay" => "overlay",
            _ => "baseline",
        };
        let title = if names.is_empty() {
            format!("{kind} of an image without a name")
        } else {
            format!("{kind} of {}", names.join(" "))
        };
        self.page.wrapped("", Ink::Strong, &title)?;
        if let Some(path) = &inventory.path {
            self.row("file", Ink::Plain, &quoted(path.as_str()))?;
        }
        for (name, value) in [
            ("purpose", &image.purpose),
            ("built on", &image.parent),
            ("supersedes", &image.supersedes),
            ("built", &image.built),
        ] {
            if let Some(value) = value {
                self.row(name, Ink::Plain, value)?;
            }
        }
        self.row("read from", Ink::Plain, &plain(&image.source_kind))?;
        if let Some(digest) = &image.digest {
            self.whole_row("image", digest)?;
        }
        self.whole_row("digest", &inventory.digest)?;
        self.row(
            "format",
            Ink::Plain,
            &format!(
                "{}, {}",
                inventory.format,
                count(inventory.entries, "entry", "entries")
            ),
        )?;
        for (at, input) in inventory.inputs.iter().enumerate() {
            let name = if at == 0 { "merged from" } else { "" };
            self.row(name, Ink::Plain, &quoted(input.label.as_str()))?;
            self.whole_row("", input.digest.as_str())?;
        }
        for (at, sentence) in inventory.signatures.iter().enumerate() {
            self.row(if at == 0 { "signatures" } else { "" }, Ink::Plain, sentence)?;
        }
        Ok(())
    }

    fn sections(&mut self, inventory: &Inventory) -> io::Result<()> {
        self.page.blank()?;
        self.page.line(&[(Ink::Strong, "SECTIONS")])?;
        let name = inventory
            .sections
            .iter()
            .map(|section| width(&section.name))
            .max()
            .unwrap_or(0)
            .clamp(7, 24);
        for section in &inventory.sections {
            let entries = number(section.entries);
            let gap = padded("", 11_usize.saturating_sub(entries.len()));
            let line = format!(
                "  {}{gap}{entries}  revision {}",
                padded(&shorten(&plain(&section.name), name), name),
                section.revision
            );
            self.page.line(&[(Ink::Plain, &line)])?;
        }
        Ok(())
    }

    fn contents(&mut self, inventory: &Inventory) -> io::Result<()> {
        self.page.blank()?;
        self.page.line(&[(Ink::Strong, "CONTENTS")])?;
        let has = |name: &str| inventory.sections.iter().any(|section| section.name == name);
        let packages: Vec<String> = inventory
            .packages
            .iter()
            .map(|(manager, many)| format!("{} of {}", number(*many), plain(manager)))
            .collect();
        let packages = match packages.is_empty() {
            true if has("packages") => "none".to_owned(),
            true => "not recorded".to_owned(),
            false => packages.join(", "),
        };
        self.row("packages", Ink::Plain, &packages)?;
        let privileges = if has("files") {
            format!(
                "{} setuid, {} setgid, {} with capabilities",
                number(inventory.setuid),
                number(inventory.setgid),
                number(inventory.capabilities)
            )
        } else {
            "not recorded".to_owned()
        };
        self.row("files", Ink::Plain, &privileges)?;
        if inventory.absent > 0 {
            let text = format!(
                "{} of the base that must not be there",
                count(inventory.absent, "entry", "entries")
            );
            self.row("removes", Ink::Plain, &text)?;
        }
        Ok(())
    }

    fn logins(&mut self, inventory: &Inventory) -> io::Result<()> {
        self.page.blank()?;
        self.page.line(&[(
            Ink::Strong,
            &format!("ACCOUNTS THAT CAN LOG IN ({})", number(inventory.logins_total)),
        )])?;
        let room = self.page.width() / 3;
        let names: Vec<String> = inventory
            .logins
            .iter()
            .take(self.most)
            .map(|login| shorten(&quoted(login.name.as_str()), room).into_owned())
            .collect();
        let columns = names.iter().map(|name| width(name)).max().unwrap_or(0);
        for (login, name) in inventory.logins.iter().zip(&names) {
            let ink = if login.by.iter().any(|by| by == "no password") {
                Ink::Alarm
            } else {
                Ink::Plain
            };
            self.page
                .wrapped(&format!("  {}  ", padded(name, columns)), ink, &login_text(login))?;
        }
        self.more(inventory.logins_total.saturating_sub(names.len() as u64))?;
        for why in &inventory.logins_unknown {
            self.page
                .wrapped("  ", Ink::Warn, &format!("not all can be told: {why}"))?;
        }
        Ok(())
    }

    fn coverage(&mut self, inventory: &Inventory) -> io::Result<()> {
        let scope = &inventory.scope;
        let is_declared = scope.attributes == Stated::Declared;
        if !scope.include.is_empty() || !scope.exclude.is_empty() || is_declared {
            self.page.blank()?;
            self.page.line(&[(Ink::Strong, "LEFT OUT ON PURPOSE")])?;
        }
        if is_declared {
            let text = "attributes that are not stated: it is a list that others made";
            self.page.wrapped("  ", Ink::Plain, text)?;
        }
        if !scope.include.is_empty() {
            let globs: Vec<String> = scope
                .include
                .iter()
                .take(self.most)
                .map(|glob| quoted(&plain(glob)).into_owned())
                .collect();
            self.page
                .wrapped("  ", Ink::Plain, &format!("all files but {}", globs.join(", ")))?;
            self.more((scope.include.len() - globs.len()) as u64)?;
        }
        for exclusion in scope.exclude.iter().take(self.most) {
            let (before, after) = match exclusion.what {
                ExclusionReach::All => ("", ""),
                ExclusionReach::Ordinary => ("ordinary content of ", ""),
                ExclusionReach::Empty => ("", " when it is empty"),
            };
            let glob = quoted(&plain(&exclusion.glob)).into_owned();
            let text = format!("{before}{glob}{after}: {}", plain(&exclusion.why));
            self.page.wrapped("  ", Ink::Plain, &text)?;
        }
        self.more(scope.exclude.len().saturating_sub(self.most) as u64)?;
        if inventory.mounts_total > 0 {
            self.page.blank()?;
            let title = format!("MOUNTS, NOT ENTERED ({})", number(inventory.mounts_total));
            self.page.line(&[(Ink::Strong, &title)])?;
            let listed = inventory.mounts.iter().take(self.most);
            let many = listed.len() as u64;
            for mount in listed {
                self.page.wrapped("  ", Ink::Plain, mount)?;
            }
            self.more(inventory.mounts_total.saturating_sub(many))?;
        }
        if inventory.unseen_total > 0 {
            self.page.blank()?;
            let title = format!("BLIND SPOTS ({})", number(inventory.unseen_total));
            self.page.line(&[(Ink::Warn, &title)])?;
            let listed = inventory.unseen.iter().take(self.most);
            let many = listed.len() as u64;
            for (section, unseen) in listed {
                let text = format!(
                    "{}: {}: {}",
                    plain(section),
                    quoted(unseen.key.as_str()),
                    unseen.why
                );
                self.page.wrapped("  ", Ink::Plain, &text)?;
            }
            self.more(inventory.unseen_total.saturating_sub(many))?;
        }
        Ok(())
    }

    fn more(&mut self, many: u64) -> io::Result<()> {
        match many {
            0 => Ok(()),
            many => self
                .page
                .line(&[(Ink::Plain, &format!("  ... and {} more", number(many)))]),
        }
    }
}

fn login_text(login: &Login) -> String {
    let root = if login.root {
        ", with the rights of root"
    } else {
        ""
    };
    format!("{}{root}", login.by.join(", "))
}
