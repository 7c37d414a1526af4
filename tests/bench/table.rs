//! The figures, and the table that they make.

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::count;
use crate::watcher::Kind;

const COLUMNS: [(Kind, &str); 5] = [
    (Kind::Daemon, "zk_monitor"),
    (Kind::Java, "Java"),
    (Kind::Kazoo, "kazoo"),
    (Kind::Bare, "bare library"),
    (Kind::Checks, "checks"),
];
const RATIOS: [Kind; 3] = [Kind::Java, Kind::Kazoo, Kind::Bare];

/// What was measured, in which unit, and how much it was.
pub struct Figure {
    pub what: String,
    pub unit: &'static str,
    pub value: f64,
    /// Worked out from others.
    pub is_computed: bool,
}

/// A figure that was measured.
pub fn figure(what: impl Into<String>, unit: &'static str, value: f64) -> Figure {
    Figure { what: what.into(), unit, value, is_computed: false }
}

struct Row {
    what: String,
    unit: &'static str,
    cells: [Cell; COLUMNS.len()],
}

#[derive(Default)]
struct Cell {
    values: Vec<f64>,
    is_computed: bool,
    failure: Option<String>,
}

/// Rows in the order in which they were first measured.
#[derive(Default)]
pub struct Table(Vec<Row>);

impl Table {
    /// Measures one of them once. If that fails, the row `what` says so.
    pub fn measure(&mut self, what: &str, kind: Kind, measure: impl FnOnce() -> Vec<Figure>) {
        match catch_unwind(AssertUnwindSafe(measure)) {
            Ok(figures) => figures.into_iter().for_each(|figure| self.add(kind, figure)),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let reason = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panicked");
                let reason: String = reason.lines().next().unwrap_or_default().chars().take(100).collect();
                eprintln!("{what}: {kind:?} failed: {reason}");
                self.cell(kind, what, "").failure = Some(reason.replace('|', "/"));
            }
        }
    }

    fn add(&mut self, kind: Kind, figure: Figure) {
        eprintln!("{}: {kind:?}: {} {}", figure.what, short(figure.value), figure.unit);
        let cell = self.cell(kind, &figure.what, figure.unit);
        cell.values.push(figure.value);
        cell.is_computed = figure.is_computed;
    }

    fn cell(&mut self, kind: Kind, what: &str, unit: &'static str) -> &mut Cell {
        let place = self.0.iter().position(|row| row.what == what).unwrap_or(self.0.len());
        if place == self.0.len() {
            self.0.push(Row { what: what.to_owned(), unit, cells: Default::default() });
        }
        let row = &mut self.0[place];
        if row.unit.is_empty() {
            row.unit = unit;
        }
        &mut row.cells[column(kind)]
    }

    /// Whether one of these failed at something.
    pub fn failed(&self, kind: Kind) -> bool {
        self.0.iter().any(|row| row.cells[column(kind)].failure.is_some())
    }

    /// As Markdown: each figure's median and, in brackets, least and most; then how many times more or less the daemon
    /// takes than the peers.
    pub fn markdown(&self) -> String {
        let names = COLUMNS.map(|(_, name)| name);
        let ratios = RATIOS.map(|kind| format!("÷ {}", names[column(kind)]));
        let mut text = format!("| what | unit | {} | {} | times |\n", names.join(" | "), ratios.join(" | "));
        text += &format!("|---|---|{}---:|\n", "---:|".repeat(names.len() + ratios.len()));
        for row in &self.0 {
            write!(text, "| {} | {} |", row.what, row.unit).unwrap();
            row.cells.iter().for_each(|cell| write!(text, " {} |", cell.text()).unwrap());
            let ours = row.cells[column(Kind::Daemon)].median();
            for kind in RATIOS {
                let ratio = ours.zip(row.cells[column(kind)].median()).filter(|(_, peer)| *peer > 0.0);
                let ratio =
                    ratio.map_or_else(|| "–".to_owned(), |(ours, peer)| format!("{:.2}", ours / peer));
                write!(text, " {ratio} |").unwrap();
            }
            let times = row.cells.iter().map(|cell| cell.values.len()).max().unwrap_or(0);
            writeln!(text, " {times} |").unwrap();
        }
        text
    }
}

impl Cell {
    fn median(&self) -> Option<f64> {
        let mut values = self.values.clone();
        values.sort_by(f64::total_cmp);
        let middle = values.len() / 2;
        match values.len() {
            0 => None,
            count if count % 2 == 0 => Some(f64::midpoint(values[middle - 1], values[middle])),
            _ => Some(values[middle]),
        }
    }

    fn text(&self) -> String {
        let Some(median) = self.median() else {
            return self.failure.as_ref().map_or_else(|| "–".to_owned(), |why| format!("failed: {why}"));
        };
        let sign = if self.is_computed { "≈ " } else { "" };
        let (least, most) = self.values.iter().fold((f64::MAX, f64::MIN), |(a, b), v| (a.min(*v), b.max(*v)));
        let spread =
            if least < most { format!(" ({}–{})", short(least), short(most)) } else { String::new() };
        let failed = self.failure.as_ref().map_or_else(String::new, |why| format!(", failed once: {why}"));
        format!("{sign}{}{spread}{failed}", short(median))
    }
}

fn column(kind: Kind) -> usize {
    COLUMNS.iter().position(|(other, _)| *other == kind).unwrap()
}

/// Three significant digits, or all of them before the point.
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 && value > 0.0 => count(value.round() as usize),
        size if size >= 100.0 || size == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        size if size >= 0.1 => format!("{value:.3}"),
        _ => format!("{value:.4}"),
    }
}
