//! Suggestions as a commented file.

use std::time::Duration;

use super::tree::{Ask, Node, Suggestion, suggestions};
use crate::model::{duration, printable};

/// How many of those that are left out are named.
const NAMED: usize = 20;

/// How many bytes a key may have that stands before its colon on one line. YAML says characters, and not each reader does.
const SIMPLE_KEY: usize = 1024;

/// The file that would watch the tree below `root`, which was watched for so long; `None` if nothing there is worth it.
pub fn yaml(root: &str, tree: &Node, watched: Duration) -> Option<String> {
    let (rules, notes) = suggestions(root, tree);
    if rules.is_empty() {
        return None;
    }
    let mut text = format!(
        "# What lives with a session below {root:?}, as it was for {}. Keep what fits, and say who is told:\n\
         # defaults:\n#   cancel_timeout: 30s\n#   alerter: {{email: you@example.com}}\n",
        duration::words(watched)
    );
    for (path, suggestion) in &rules {
        text.push_str(&format!("\n# {}\n{}{}\n", comment(suggestion), key(path), body(&suggestion.ask)));
    }
    if !notes.is_empty() {
        text.push_str("\n# Left out:\n");
    }
    for note in notes.iter().take(NAMED) {
        text.push_str(&format!("# {note}\n"));
    }
    if notes.len() > NAMED {
        text.push_str(&format!("# and {} more\n", notes.len() - NAMED));
    }
    Some(text)
}

fn comment(suggestion: &Suggestion) -> String {
    let each = match suggestion.matches {
        1 => String::new(),
        many => format!("{many} znodes look alike: "),
    };
    match suggestion.ask {
        Ask::Exists if each.is_empty() => "Ephemeral, with a name of its own.".to_owned(),
        Ask::Exists => format!("{each}ephemeral, with a name of its own."),
        Ask::Nothing => {
            "A glob matches it, and it is not like the others: shown, and never alerts.".to_owned()
        }
        Ask::Children { min, most, changes, ephemeral } => {
            let kind = match (ephemeral, most) {
                (true, 1) => "ephemeral child",
                (true, _) => "ephemeral children",
                (false, _) => "children, not all of them ephemeral",
            };
            let count = if min == most { min.to_string() } else { format!("{min} to {most}") };
            let least = if min == most { "" } else { "; the least that was seen is the minimum" };
            let changed = match changes {
                0 => String::new(),
                1 => ", which changed once meanwhile: fewer may be right".to_owned(),
                _ => format!(", which changed {changes} times meanwhile: fewer may be right"),
            };
            format!("{each}{count} {kind}{changed}{least}.")
        }
    }
}

fn body(ask: &Ask) -> String {
    match ask {
        Ask::Exists => "\n  exists: true".to_owned(),
        Ask::Nothing => " {}".to_owned(),
        Ask::Children { min, ephemeral: true, .. } => {
            format!("\n  children: {{min: {min}, where: {{ephemeral: true}}}}")
        }
        Ask::Children { min, ephemeral: false, .. } => format!("\n  children: {{min: {min}}}"),
    }
}

/// A path as a key, and its colon: quoted if YAML could read it otherwise, and on a line of its own if it is too long.
fn key(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/_.-*".contains(c);
    let key = if path.chars().all(is_plain) {
        path.to_owned()
    } else {
        format!("\"{}\"", path.chars().map(escaped).collect::<String>())
    };
    if key.len() > SIMPLE_KEY { format!("? {key}\n:") } else { format!("{key}:") }
}

fn escaped(c: char) -> String {
    match c {
        '"' | '\\' => format!("\\{c}"),
        // A mark of the order of bytes is none within a text.
        _ if printable::is_printable(c) && c != '\u{feff}' => c.to_string(),
        _ if u32::from(c) <= 0xffff => format!("\\u{:04x}", u32::from(c)),
        _ => format!("\\U{:08x}", u32::from(c)),
    }
}
