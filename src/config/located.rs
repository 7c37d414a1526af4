//! A value together with the path of keys that leads to it.

use std::fmt;

use super::document::{Node, Value};
use crate::model::printable;

/// How much of a key is shown.
const SHOWN: usize = 200;

/// A value in its place.
#[derive(Clone, Copy)]
pub(super) struct Located<'n, 'p> {
    pub(super) node: &'n Node<'n>,
    pub(super) parent: Option<&'p Located<'n, 'p>>,
    pub(super) step: Step<'n>,
}

#[derive(Clone, Copy)]
pub(super) enum Step<'n> {
    Root,
    Key(&'n str),
    Item(usize),
}

impl<'n> Located<'n, '_> {
    /// The whole document.
    pub(super) fn root(node: &'n Node<'n>) -> Self {
        Self { node, parent: None, step: Step::Root }
    }

    /// The value of a key of this map.
    pub(super) fn key<'s>(&'s self, key: &'n str, node: &'n Node<'n>) -> Located<'n, 's> {
        Located { node, parent: Some(self), step: Step::Key(key) }
    }

    /// An item of this list.
    pub(super) fn item<'s>(&'s self, index: usize, node: &'n Node<'n>) -> Located<'n, 's> {
        Located { node, parent: Some(self), step: Step::Item(index) }
    }

    pub(super) fn value(&self) -> Value<'n> {
        self.node.value
    }
}

/// `/services/foo/alerter/webhook[1]/url`
impl fmt::Display for Located<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        let is_top = self.parent.is_none_or(|parent| matches!(parent.step, Step::Root));
        match self.step {
            Step::Root => Ok(()),
            Step::Item(index) => write!(f, "[{index}]"),
            Step::Key(key) => {
                let separator = if is_top { "" } else { "/" };
                write!(f, "{separator}{}", shown(key, SHOWN))
            }
        }
    }
}

/// Text from the file, fit to stand in a line: bounded, and with what would break or disguise the line escaped.
pub(super) fn shown(text: &str, limit: usize) -> String {
    let mut shown = String::new();
    for c in text.chars().take(limit) {
        printable::push(&mut shown, c);
    }
    if text.chars().nth(limit).is_some() {
        shown.push('…');
    }
    shown
}
