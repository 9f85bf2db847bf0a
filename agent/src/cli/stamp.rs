//! `driftcheck stamp`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use clap::Args;

use super::arguments::time;
use super::exit::Exit;
use super::voice::{complain, say, tell};
use crate::stamp::Identity;
use crate::stamp::write::{self, Failure, Live, Settings, Target};

/// The time that is given to what is written, as reproducible-builds.org defines it.
const SOURCE_DATE_EPOCH: &str = "SOURCE_DATE_EPOCH";

#[derive(Debug, Args)]
pub(super) struct StampArguments {
    /// The root of the image: the directory that it is built in
    #[arg(long, value_name = "DIR")]
    root: OsString,
    /// Name of the image, e.g. `web`
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Version of the image, e.g. `1.4`
    #[arg(long, value_name = "VERSION")]
    image_version: String,
    /// What hosts of the image are for, e.g. `web server`
    #[arg(long, visible_alias = "profile", value_name = "TEXT")]
    purpose: Option<String>,
    /// The image that this one was built on, e.g. `base:12.7`
    #[arg(long, value_name = "IMAGE")]
    parent: Option<String>,
    /// The image that this one takes the place of, e.g. `web:1.3`
    #[arg(long, value_name = "IMAGE")]
    supersedes: Option<String>,
    /// When the image was built, RFC 3339, e.g. `2026-11-24T12:00:00Z`
    #[arg(long, value_name = "TIME", value_parser = time)]
    built: Option<String>,
    /// Also set `IMAGE_ID` and `IMAGE_VERSION` in the image's os-release
    #[arg(long)]
    os_release: bool,
    /// Stamp the root of the running system
    #[arg(long)]
    live: bool,
}

pub(super) fn run(arguments: StampArguments) -> Exit {
    let mtime = match mtime() {
        Ok(mtime) => mtime,
        Err(why) => return complain(&why, Exit::Usage),
    };
    let settings = Settings {
        root: arguments.root.as_bytes().to_vec(),
        identity: Identity {
            name: Some(arguments.name),
            version: Some(arguments.image_version),
            built: arguments.built,
            digest: None,
            parent: arguments.parent,
            purpose: arguments.purpose,
            supersedes: arguments.supersedes,
        },
        os_release: if arguments.os_release {
            Target::OwnFileAndOsRelease
        } else {
            Target::OwnFile
        },
        live: if arguments.live {
            Live::Allowed
        } else {
            Live::Refused
        },
        mtime,
    };
    match write::run(&settings) {
        Ok(stamped) => {
            if let Some(before) = stamped.before {
                say(&format!("the root said before that it is {before}"));
            }
            let files: Vec<String> = stamped.files.iter().map(ToString::to_string).collect();
            tell(&format!(
                "stamped {} into {}\n",
                settings.identity,
                files.join(" and ")
            ))
        }
        Err(why @ Failure::Write { .. }) => complain(&why.to_string(), Exit::Internal),
        Err(why) => complain(&why.to_string(), Exit::Usage),
    }
}

fn mtime() -> Result<Option<i64>, String> {
    let Some(text) = std::env::var_os(SOURCE_DATE_EPOCH) else {
        return Ok(None);
    };
    let seconds = text
        .to_str()
        .and_then(|text| text.parse().ok())
        .filter(|seconds| *seconds >= 0);
    match seconds {
        Some(seconds) => Ok(Some(seconds)),
        None => Err(format!(
            "{SOURCE_DATE_EPOCH} is `{}`: it must be a number of seconds since 1970",
            text.to_string_lossy()
        )),
    }
}
