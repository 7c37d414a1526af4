//! What is found wrong, first as numbers of values, then as lines that people read.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use super::document::{self, Position, SyntaxError};

/// How many lines are listed; a file with more mistakes than that has one mistake many times.
const LISTED: usize = 100;

/// How many findings are kept until they are listed.
const KEPT: usize = 10_000;

/// How many bytes may be read again to find positions: each position is a reading of the whole file. What is
/// over it is listed with its key's path alone.
const READ_AGAIN: usize = 16 << 20;

/// One line about a configuration: `file:line:column: key/path: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    file: Arc<str>,
    position: Option<Position>,
    path: String,
    message: String,
}

impl Problem {
    /// Whether it is about this rule's path, or something within that.
    pub fn is_of(&self, rule: &str) -> bool {
        let rest = self.path.strip_prefix(rule);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '[']))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}:")?;
        }
        if !self.path.is_empty() {
            write!(f, " {}:", self.path)?;
        }
        write!(f, " {}", self.message)
    }
}

/// Everything that is wrong with a configuration, in the order of the file; one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Errors {
    /// The first of them, never empty.
    pub problems: Vec<Problem>,
    pub omitted: usize,
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            let line_break = if n == 0 { "" } else { "\n" };
            write!(f, "{line_break}{problem}")?;
        }
        if self.omitted > 0 { write!(f, "\nand {} more", self.omitted) } else { Ok(()) }
    }
}

impl std::error::Error for Errors {}

impl Errors {
    /// Those of several files, one after the other.
    pub(super) fn of_all(all: impl IntoIterator<Item = Self>) -> Self {
        let mut together = Self { problems: Vec::new(), omitted: 0 };
        for Self { problems, omitted } in all {
            let room = LISTED.saturating_sub(together.problems.len());
            together.omitted += omitted + problems.len().saturating_sub(room);
            together.problems.extend(problems.into_iter().take(room));
        }
        together
    }

    /// One error about the file as a whole.
    pub(super) fn file(file: &str, message: String) -> Self {
        let problem = Problem { file: file.into(), position: None, path: String::new(), message };
        Self { problems: vec![problem], omitted: 0 }
    }

    pub(super) fn syntax(file: &str, error: SyntaxError) -> Self {
        let SyntaxError { position, message } = error;
        let problem = Problem { file: file.into(), position, path: String::new(), message };
        Self { problems: vec![problem], omitted: 0 }
    }
}

/// One thing found, before its place is looked up.
#[derive(Debug)]
struct Finding {
    /// The value that it is about; `None` for one that stands in no file.
    id: Option<u32>,
    /// Another value that the message ends by naming.
    other: Option<u32>,
    /// Which place of a text it is about, and the line there.
    within: Option<(Position, String)>,
    path: String,
    message: String,
}

/// Findings, as they are made.
#[derive(Debug, Default)]
pub(super) struct Findings {
    list: Vec<Finding>,
    dropped: usize,
}

impl Findings {
    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub(super) fn count(&self) -> usize {
        self.list.len() + self.dropped
    }

    pub(super) fn add(&mut self, id: Option<u32>, path: String, message: String) {
        self.push(Finding { id, other: None, within: None, path, message });
    }

    /// Adds a finding whose message ends in the position of `other`.
    pub(super) fn add_with_other(&mut self, id: u32, other: u32, path: String, message: String) {
        self.push(Finding { id: Some(id), other: Some(other), within: None, path, message });
    }

    /// Adds a finding about a place of a text.
    pub(super) fn add_within(&mut self, id: u32, within: (Position, String), path: String, message: String) {
        self.push(Finding { id: Some(id), other: None, within: Some(within), path, message });
    }

    fn push(&mut self, finding: Finding) {
        if self.list.len() < KEPT {
            self.list.push(finding);
        } else {
            self.dropped += 1;
        }
    }

    /// The findings in the order of the file, with their positions, and how many are not listed. What an alias
    /// repeats is listed once.
    pub(super) fn problems(mut self, file: &str, text: &str) -> (Vec<Problem>, usize) {
        self.list.sort_by_key(|finding| finding.id);
        let file: Arc<str> = file.into();
        let (mut listed, mut seen, mut budget) = (Vec::new(), HashSet::new(), READ_AGAIN);
        let mut findings = self.list.into_iter();
        for finding in findings.by_ref() {
            let problem = finding.place(&file, text, &mut budget);
            let is_new = problem.position.is_none_or(|at| seen.insert((at, problem.message.clone())));
            if is_new {
                listed.push(problem);
            }
            if listed.len() == LISTED {
                break;
            }
        }
        (listed, findings.len() + self.dropped)
    }
}

impl Finding {
    fn place(self, file: &Arc<str>, text: &str, budget: &mut usize) -> Problem {
        let mut locate = |id: Option<u32>| {
            let id = id?;
            // Aliases make few bytes many values, and all before the one that is sought are read.
            *budget = budget.checked_sub(text.len() + 8 * id as usize)?;
            document::locate(text, id)
        };
        let mut position = locate(self.id);
        let mut message = match locate(self.other) {
            Some(Position { line, column }) => format!("{}{line}:{column}", self.message),
            None => self.message,
        };
        if let Some((place, line)) = self.within {
            let exact = position.and_then(|at| document::position_within(text, at, place, &line));
            if exact.is_none() {
                message = format!("line {}, column {} of it: {message}", place.line, place.column);
            }
            position = exact.or(position);
        }
        Problem { file: Arc::clone(file), position, path: self.path, message }
    }
}
