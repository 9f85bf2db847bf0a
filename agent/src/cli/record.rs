//! `driftcheck record`.

use std::os::unix::ffi::OsStrExt as _;

use baseline_format::header::Image;

use super::arguments::RecordArguments;
use super::exit::Exit;
use super::progress;
use super::voice::{complain, say};
use crate::record;
use crate::scan::{FILES, Progress};
use crate::source::SourceError;

pub(super) fn run(arguments: &RecordArguments) -> Exit {
    let settings = record::Settings {
        from: arguments.from.as_bytes().to_vec(),
        output: arguments.output.as_bytes().to_vec(),
        image: Image {
            name: arguments.name.clone(),
            version: arguments.image_version.clone(),
            purpose: arguments.purpose.clone(),
            parent: arguments.parent.clone(),
            supersedes: arguments.supersedes.clone(),
            built: arguments.built.clone(),
            ..Image::default()
        },
        source: arguments.source.options(arguments.scan.max_file_size),
        sections: arguments.scan.sections.clone(),
        include: arguments.scan.include.clone(),
        exclude: arguments.scan.exclude.clone(),
        depth: arguments.scan.depth(),
        size_limit: arguments.scan.max_file_size,
    };
    let shown = Progress::default();
    let recorded = progress::shown("recorded", &shown, arguments.scan.progress, || {
        record::run(&settings, &shown)
    });
    let recorded = match recorded {
        Ok(recorded) => recorded,
        Err(why) => {
            let exit = match why {
                record::Failure::Source(SourceError::Refused { .. }) => Exit::Baseline,
                record::Failure::Usage(_) | record::Failure::Glob(_) | record::Failure::Source(_) => {
                    Exit::Usage
                }
                _ => Exit::Internal,
            };
            return complain(&why.to_string(), exit);
        }
    };
    for mount in &recorded.mounts {
        say(&format!(
            "not covered: {mount}: another file system is mounted there"
        ));
    }
    for (section, unseen) in &recorded.unseen {
        say(&format!("not seen: {section} {}: {}", unseen.key, unseen.why));
    }
    let named = recorded.unseen.len() as u64;
    if recorded.unseen_total > named {
        say(&format!("not seen: {} more", recorded.unseen_total - named));
    }
    let sections: Vec<String> = recorded
        .end
        .sections
        .iter()
        .map(|section| format!("{} {}", section.entries, section.name))
        .collect();
    say(&format!(
        "recorded {} entries ({}) as {}",
        recorded.end.entries,
        sections.join(", "),
        recorded.end.digest
    ));
    for remark in &recorded.remarks {
        say(&format!("note: {remark}"));
    }
    if !recorded.is_system {
        say("note: neither /etc, /usr nor /bin is there: is this the root of a system?");
    }
    let files = recorded.end.sections.iter().find(|section| section.name == FILES);
    if files.is_some_and(|files| files.entries == 0) {
        say("note: no file was recorded: nothing matches --include, or --exclude leaves all out");
    }
    if recorded.unseen_total > 0 {
        say(&format!(
            "INCOMPLETE: the baseline was written, with blind spots in it: {}",
            recorded.unseen_total
        ));
        return Exit::Incomplete;
    }
    Exit::Clean
}
