//! `--replay`: what the journal's readings would have led to by this configuration.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::load::load;
use super::number::number;
use crate::cli::Answer;
use crate::clock;
use crate::daemon::EX_FAILURE;
use crate::journal::{self, Summary};
use crate::model::dispatcher::Profile;
use crate::model::duration;
use crate::model::replay::{Account, Plan, Replay, Row};
use crate::model::rfc3339::rfc3339;
use crate::model::rule::{Rule, RuleSet};

/// Judges the journal in a directory, and prints a line for each alert.
pub fn replay(file: &Path, directory: &Path, since: Option<Duration>) -> Result<Answer, Answer> {
    let config = load(file)?;
    let recorded: Vec<String> = config.rules.iter().filter(|rule| is_recorded(rule)).map(named).collect();
    let plan = Plan {
        receivers: config.receivers.iter().map(Profile::of).collect(),
        rules: Arc::new(RuleSet::new(config.rules)),
        group_wait: config.group_wait,
        since: since.and_then(|since| clock::wall().checked_sub(since)),
    };
    let shown = directory.display();
    let failed = |reason: String| Answer::failed(EX_FAILURE, &reason);
    let mut replay = Replay::new(plan, clock::mono());
    let mut span = None;
    let summary = journal::read(directory, |event| {
        let (first, _) = span.unwrap_or((event.time, event.time));
        span = Some((first, event.time));
        replay.take(event);
    });
    let summary = summary.map_err(|e| failed(format!("cannot read the journal in {shown}: {e}")))?;
    let Some(span) = span else {
        return Err(failed(format!(
            "there is no event in {shown}: --state_dir names the directory that the daemon was started with"
        )));
    };
    Ok(Answer { stdout: report(&replay.end(), summary, span, &recorded), ..Answer::default() })
}

/// Whether a rule asks for more than numbers, so that it is not judged again.
fn is_recorded(rule: &Rule) -> bool {
    rule.terms.specs.ask_content() || !rule.terms.specs.counting.is_plain()
}

fn named(rule: &Rule) -> String {
    rule.key(&rule.path).to_string()
}

fn report(
    account: &Account,
    summary: Summary,
    span: (SystemTime, SystemTime),
    recorded: &[String],
) -> String {
    let head = ["PATH", "ALERTS", "OUT OF SPEC", "SHORTEST", "LONGEST", "SENT"].map(str::to_owned);
    let rows = account.rows.iter().map(|(key, row)| line(key.to_string(), row));
    let mut text = table(&[vec![head], rows.collect()].concat());
    let alerts: usize = account.rows.values().map(|row| row.alerts.len()).sum();
    let sent: usize = account.rows.values().map(|row| row.sent.len()).sum();
    let Summary { files, events, skipped } = summary;
    let others = account.paths.saturating_sub(account.rows.len());
    text += &format!(
        "\n{} would have been sent, and this agent sent {sent}; nothing to tell of {}.\n\
         {} in {}, from {} to {}; skipped as none: {}.\n",
        number(alerts as u64, "alert"),
        number(others as u64, "more path"),
        number(events, "event"),
        number(files as u64, "file"),
        rfc3339(span.0),
        rfc3339(span.1),
        number(skipped, "line"),
    );
    if account.lost > 0 {
        text += &format!("Missing in the journal: {}.\n", number(account.lost, "event"));
    }
    if !recorded.is_empty() {
        text += &format!(
            "Judged as the daemon judged it then, but for numbers of children: {}.\n",
            recorded.join(", ")
        );
    }
    if account.unjudged > 0 {
        text += &format!(
            "Not judged by all of their rules: {}, of which the daemon did not read what these ask for.\n",
            number(account.unjudged as u64, "path")
        );
    }
    text
}

fn line(name: String, row: &Row) -> [String; 6] {
    let told = |count: usize| count.to_string();
    let lasted = |duration: Option<Duration>| duration.map_or_else(|| "-".to_owned(), words);
    let all = (!row.violations.is_empty()).then(|| row.violations.iter().sum());
    let (shortest, longest) = (row.violations.iter().min().copied(), row.violations.iter().max().copied());
    [name, told(row.alerts.len()), lasted(all), lasted(shortest), lasted(longest), told(row.sent.len())]
}

/// As exactly as a person wants to know.
fn words(lasted: Duration) -> String {
    let is_long = lasted >= Duration::from_secs(1);
    duration::words(if is_long { Duration::from_secs(lasted.as_secs()) } else { lasted })
}

/// Columns side by side: names to the left, the rest to the right.
fn table(rows: &[[String; 6]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let [name, rest @ ..] = row;
        text += &format!("{name:0$}", widths[0]);
        for (cell, width) in rest.iter().zip(&widths[1..]) {
            text += &format!("  {cell:>width$}");
        }
        text.push('\n');
    }
    text
}
