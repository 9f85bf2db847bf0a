//! The man pages are what the command line says of itself. `UPDATE_GOLDEN=1` rewrites them.
#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap_mangen::Man;
use clap_mangen::roff::{Roff, roman};

/// The pages by file name: one for the program, one for each subcommand of every depth.
fn pages() -> BTreeMap<String, String> {
    // `help` only repeats what the pages say.
    let mut root = driftcheck_agent::cli::command().disable_help_subcommand(true);
    root.build();
    let mut pages = BTreeMap::new();
    collect(&root, "driftcheck", &mut pages);
    pages
}

fn collect(command: &clap::Command, name: &str, pages: &mut BTreeMap<String, String>) {
    pages.insert(format!("{name}.1"), page(command));
    for below in command.get_subcommands() {
        collect(below, &format!("{name}-{}", below.get_name()), pages);
    }
}

fn page(command: &clap::Command) -> String {
    // The table of exit codes is a section of its own, where man pages have it.
    let after = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let source = concat!("driftcheck ", env!("CARGO_PKG_VERSION"));
    // No date: it would make every build another page.
    let man = Man::new(command.clone())
        .source(source)
        .manual("driftcheck manual");
    let mut out = Vec::new();
    man.render_title(&mut out).unwrap();
    man.render_name_section(&mut out).unwrap();
    man.render_synopsis_section(&mut out).unwrap();
    man.render_description_section(&mut out).unwrap();
    if command.get_arguments().next().is_some() {
        man.render_options_section(&mut out).unwrap();
    }
    if command.has_subcommands() {
        man.render_subcommands_section(&mut out).unwrap();
    }
    exit_status(&after).to_writer(&mut out).unwrap();
    // Only the program as a whole has a version.
    if command.get_version().is_some() {
        man.render_version_section(&mut out).unwrap();
    }
    String::from_utf8(out).unwrap()
}

/// The table that `--help` ends with: `CODE  MEANING` lines under a heading.
fn exit_status(table: &str) -> Roff {
    let mut roff = Roff::new();
    let rows: Vec<(&str, &str)> = table
        .lines()
        .filter_map(|line| line.trim_start().split_once("  "))
        .collect();
    if rows.is_empty() {
        // The codes are those of the program.
        roff.control("SH", ["EXIT STATUS"]);
        roff.text([roman("See driftcheck(1).")]);
        return roff;
    }
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in rows {
        roff.control("TP", ["5"]);
        roff.text([roman(code)]);
        roff.text([roman(meaning)]);
    }
    roff
}

#[test]
fn man_pages_are_those_of_the_command_line() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/man");
    let pages = pages();
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(&directory).unwrap();
        for (name, text) in &pages {
            fs::write(directory.join(name), text).unwrap();
        }
    }
    let mut known = BTreeMap::new();
    for file in fs::read_dir(&directory).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        known.insert(name, fs::read_to_string(&path).unwrap());
    }
    assert_eq!(known.keys().collect::<Vec<_>>(), pages.keys().collect::<Vec<_>>());
    for (name, text) in &pages {
        assert_eq!(&known[name], text, "{name} is not what today's command line says");
    }
}

#[test]
fn the_exit_codes_are_in_the_page() {
    let page = &pages()["driftcheck.1"];
    for code in ["0", "1", "2", "3", "64", "65", "70"] {
        assert!(page.contains(&format!(".TP 5\n{code}\n")), "{code}");
    }
}
