//! An image check for people: worst first, bounded, and the verdict last.
//!
//! ```text
//! what was looked at, and what it was held against
//! FAIL, WARN            by rule: why, what, and the way out
//! WAIVED                what a policy excuses
//! NOT SEEN, NOT JUDGED  what could not be looked at, and why
//! COVERAGE              one line a section, then what was left out
//! VERDICT: the statement
//! ```

use std::io::{self, BufWriter, Write};

use baseline_format::image_check::{Finding, ImageCheck, ImageVerdict, RuleOutcome, RuleResult};

use super::fields::short_digest;
use super::page::{Ink, Page};
use super::{LAST_LINE, TextStyle};
use crate::image_check::{Sums, line};
use crate::words::{count, number, plain, quoted};

/// Policies that are named at the top; nobody uses more.
const POLICIES: usize = 20;

/// Writes the result of an image check for people.
pub fn write_image_check_text(check: &ImageCheck, style: &TextStyle<'_>, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    let mut page = Page::new(&mut out, style.width, style.colour);
    head(check, &mut page)?;
    for (outcome, ink, title) in [
        (RuleOutcome::Failed, Ink::Alarm, "FAIL"),
        (RuleOutcome::Warned, Ink::Warn, "WARN"),
    ] {
        broken(check, outcome, (ink, title), style, &mut page)?;
    }
    waived(check, &mut page)?;
    unseen(check, style, &mut page)?;
    coverage(check, &mut page)?;
    page.blank()?;
    let ink = match check.verdict {
        ImageVerdict::Fit => Ink::Fine,
        ImageVerdict::Incomplete => Ink::Warn,
        ImageVerdict::Unfit | ImageVerdict::UnfitAndIncomplete => Ink::Alarm,
    };
    page.unbroken(ink, &line(check), LAST_LINE)?;
    out.flush()
}

fn head(check: &ImageCheck, page: &mut Page<'_>) -> io::Result<()> {
    let image = &check.image;
    let mut about: Vec<String> = Vec::new();
    let named: Vec<&str> = [&image.name, &image.version]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    if !named.is_empty() {
        about.push(format!("image {}", plain(&named.join(" "))));
    }
    about.extend(image.os.as_ref().map(ToString::to_string));
    about.push(plain(&image.source_kind).into_owned());
    let (name, version) = (plain(&check.tool.name), plain(&check.tool.version));
    let title = format!(
        "{name} {version}: image check of {} ({})",
        quoted(image.source.as_str()),
        about.join(", ")
    );
    page.wrapped("", Ink::Strong, &title)?;
    if let Some(digest) = &image.digest {
        page.wrapped("  image    ", Ink::Plain, digest)?;
    }
    for (index, policy) in check.policies.iter().take(POLICIES).enumerate() {
        let lead = if index == 0 { "  policy   " } else { "           " };
        let place = policy.path.as_ref().map_or("built in".to_owned(), |path| {
            format!("from {}", quoted(path.as_str()))
        });
        let digest = short_digest(&policy.digest).unwrap_or_default();
        let rules = count(policy.rules, "rule", "rules");
        page.wrapped(
            lead,
            Ink::Plain,
            &format!("{}, {rules}, {digest}, {place}", plain(&policy.name)),
        )?;
    }
    page.wrapped(
        "  when     ",
        Ink::Plain,
        &format!("{} to {}", plain(&check.started), plain(&check.finished)),
    )?;
    let sums = Sums::of(check);
    if sums.is_broken() {
        // Also at the top: in a pager the last line is far away.
        page.wrapped("  found    ", Ink::Strong, &sums.broken())?;
    }
    Ok(())
}

/// Writes the rules with this outcome, and what breaks them.
fn broken(
    check: &ImageCheck,
    outcome: RuleOutcome,
    (ink, title): (Ink, &str),
    style: &TextStyle<'_>,
    page: &mut Page<'_>,
) -> io::Result<()> {
    let rules: Vec<&RuleResult> = check
        .rules
        .iter()
        .filter(|rule| rule.outcome == outcome)
        .collect();
    if rules.is_empty() {
        return Ok(());
    }
    let total = rules
        .iter()
        .map(|rule| rule.findings)
        .fold(0, u64::saturating_add);
    page.blank()?;
    page.line(&[(ink, &format!("{title} ({})", number(total)))])?;
    for rule in rules {
        page.wrapped(
            "  ",
            Ink::Strong,
            &format!("{} ({})", plain(&rule.rule), number(rule.findings)),
        )?;
        page.wrapped("    ", Ink::Plain, &rule.reason)?;
        let findings: Vec<&Finding> = check
            .findings
            .iter()
            .filter(|finding| finding.rule == rule.rule)
            .collect();
        let most = if style.limit == 0 { usize::MAX } else { style.limit };
        for finding in findings.iter().take(most) {
            let key = if finding.section == "files" {
                quoted(finding.key.as_str()).into_owned()
            } else {
                format!("{} {}", plain(&finding.section), quoted(finding.key.as_str()))
            };
            page.wrapped("      ", Ink::Plain, &format!("{key}  {}", plain(&finding.what)))?;
        }
        rest(
            "      ",
            findings.len().min(most),
            findings.len(),
            rule.findings,
            style,
            page,
        )?;
        if let Some(fix) = findings.first().and_then(|finding| finding.fix.as_ref()) {
            page.wrapped("    way out: ", Ink::Note, fix)?;
        }
    }
    Ok(())
}

fn waived(check: &ImageCheck, page: &mut Page<'_>) -> io::Result<()> {
    if check.waivers.is_empty() {
        return Ok(());
    }
    let total = check
        .waivers
        .iter()
        .map(|waiver| waiver.findings)
        .fold(0, u64::saturating_add);
    page.blank()?;
    page.line(&[(Ink::Note, &format!("WAIVED ({})", number(total)))])?;
    for waiver in &check.waivers {
        let path = waiver
            .path
            .as_ref()
            .map_or("everything".into(), |path| quoted(path));
        let used = match waiver.findings {
            0 => "nothing to waive: the waiver can go".to_owned(),
            many => count(many, "finding", "findings"),
        };
        let text = format!(
            "{} {path}: {used} ({}; policy {})",
            plain(&waiver.rule),
            plain(&waiver.reason),
            plain(&waiver.policy)
        );
        page.wrapped("  ", Ink::Plain, &text)?;
    }
    Ok(())
}

fn unseen(check: &ImageCheck, style: &TextStyle<'_>, page: &mut Page<'_>) -> io::Result<()> {
    let coverage = &check.coverage;
    let total = coverage.unseen_total.max(coverage.unseen.len() as u64);
    if total > 0 {
        page.blank()?;
        page.line(&[(Ink::Warn, &format!("NOT SEEN ({})", number(total)))])?;
        let most = if style.limit == 0 { usize::MAX } else { style.limit };
        for one in coverage.unseen.iter().take(most) {
            let place = match one.key.as_str() {
                "" => plain(&one.section).into_owned(),
                key => format!("{} {}", plain(&one.section), quoted(key)),
            };
            page.wrapped("  ", Ink::Plain, &format!("{place}  {}", one.why))?;
        }
        rest(
            "  ",
            coverage.unseen.len().min(most),
            coverage.unseen.len(),
            total,
            style,
            page,
        )?;
    }
    let not_judged: Vec<&str> = check
        .rules
        .iter()
        .filter(|rule| rule.outcome == RuleOutcome::NotJudged)
        .map(|rule| rule.rule.as_str())
        .collect();
    if !not_judged.is_empty() {
        page.blank()?;
        page.line(&[(
            Ink::Warn,
            &format!("NOT JUDGED ({})", number(not_judged.len() as u64)),
        )])?;
        page.wrapped("  ", Ink::Plain, &not_judged.join(", "))?;
    }
    Ok(())
}

/// Says how many are not shown: those that the result lists, and those that it only counts.
fn rest(
    lead: &str,
    shown: usize,
    listed: usize,
    total: u64,
    style: &TextStyle<'_>,
    page: &mut Page<'_>,
) -> io::Result<()> {
    if listed > shown {
        let more = number((listed - shown) as u64);
        page.wrapped(
            lead,
            Ink::Plain,
            &format!("... and {more} more; {}", style.elsewhere),
        )?;
    }
    if total > listed as u64 {
        let more = number(total - listed as u64);
        page.wrapped(
            lead,
            Ink::Plain,
            &format!("... and {more} that the result only counts"),
        )?;
    }
    Ok(())
}

fn coverage(check: &ImageCheck, page: &mut Page<'_>) -> io::Result<()> {
    page.blank()?;
    page.line(&[(Ink::Strong, "COVERAGE")])?;
    let sections: Vec<String> = check
        .coverage
        .sections
        .iter()
        .map(|section| format!("{} {}", number(section.entries), plain(&section.section)))
        .collect();
    if sections.is_empty() {
        page.line(&[(Ink::Warn, "  no section was looked at")])?;
    } else {
        page.wrapped("  entries  ", Ink::Plain, &sections.join(", "))?;
    }
    let with = |outcome| {
        check
            .rules
            .iter()
            .filter(move |rule| rule.outcome == outcome)
            .count() as u64
    };
    let rules: Vec<String> = [
        (RuleOutcome::Passed, "passed"),
        (RuleOutcome::Failed, "failed"),
        (RuleOutcome::Warned, "warned"),
        (RuleOutcome::Waived, "waived"),
        (RuleOutcome::NotJudged, "not judged"),
    ]
    .into_iter()
    .map(|(outcome, word)| (with(outcome), word))
    .filter(|(many, _)| *many > 0)
    .map(|(many, word)| format!("{} {word}", number(many)))
    .collect();
    page.wrapped("  rules    ", Ink::Plain, &rules.join(", "))?;
    for skipped in &check.coverage.skipped {
        let entries = count(skipped.entries, "entry", "entries");
        let text = format!("{}, {entries} ({})", plain(&skipped.rule), plain(&skipped.why));
        page.wrapped("  left out ", Ink::Plain, &text)?;
    }
    Ok(())
}
