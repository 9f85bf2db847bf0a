//! The first lines: what was looked at, what it was compared with, how far that can be trusted.

use std::io;

use baseline_format::OsText;
use baseline_format::report::{Baseline, BaselineKind, Report};

use super::fields::short_digest;
use super::page::{Ink, Page};
use crate::statement;
use crate::words::{plain, quoted, shorten};

/// Sentences about trust that are told; a report of ours has no more.
const SENTENCES: usize = 20;

pub(super) fn write(head: &Report, page: &mut Page<'_>) -> io::Result<()> {
    let host = &head.host;
    let mut about: Vec<String> = [&host.name, &host.os]
        .into_iter()
        .flatten()
        .map(OsText::to_string)
        .collect();
    if let Some(image) = &host.image {
        let words: Vec<&str> = [&image.name, &image.version]
            .into_iter()
            .flatten()
            .map(String::as_str)
            .collect();
        about.push(format!("image {}", plain(&words.join(" "))));
    }
    let about = if about.is_empty() {
        String::new()
    } else {
        format!(" ({})", about.join(", "))
    };
    let (name, version) = (plain(&head.tool.name), plain(&head.tool.version));
    let title = format!("{name} {version}: audit of {}{about}", quoted(host.root.as_str()));
    page.wrapped("", Ink::Strong, &title)?;
    page.wrapped("  against  ", Ink::Plain, &reference(&head.baseline))?;
    for (index, sentence) in head.baseline.trust.iter().take(SENTENCES).enumerate() {
        page.wrapped(
            if index == 0 { "  trust    " } else { "           " },
            Ink::Plain,
            sentence,
        )?;
    }
    page.wrapped(
        "  when     ",
        Ink::Plain,
        &format!("{} to {}", plain(&head.started), plain(&head.finished)),
    )?;
    if head.summary.drifts > 0 {
        // Also at the top: in a pager the last line is far away.
        page.wrapped("  found    ", Ink::Strong, &statement::found(&head.summary))?;
    }
    Ok(())
}

fn reference(baseline: &Baseline) -> String {
    let mut words = match baseline.kind {
        BaselineKind::Vendor => "what the installed packages declare".to_owned(),
        BaselineKind::File => String::from("baseline"),
    };
    if let Some(image) = &baseline.image {
        for part in [&image.name, &image.version].into_iter().flatten() {
            words = format!("{words} {}", plain(part));
        }
    }
    if let Some(digest) = &baseline.digest {
        let digest = short_digest(digest).unwrap_or_else(|| shorten(&plain(digest), 32).into_owned());
        words = format!("{words}, {digest}");
    }
    if let Some(path) = &baseline.path {
        words = format!("{words}, from {}", quoted(path.as_str()));
    }
    words
}
