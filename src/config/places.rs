//! Where rules stand, for who asks why a path is judged as it is.

use std::collections::BTreeSet;
use std::path::Path;

use bumpalo::Bump;

use super::document::{self, Node, Position, Value};
use super::files::Files;

/// Where a rule stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePlace {
    /// Its path as written.
    pub path: String,
    /// Its name, if it is one of several in a list.
    pub name: Option<String>,
    /// `file:line:column`.
    pub place: String,
}

/// Where the rules of these paths stand in the files of a configuration, as far as these can be read. One that comes
/// through a merge key (`<<`) is not found.
pub fn places(path: &Path, wanted: &BTreeSet<&str>) -> Vec<RulePlace> {
    let mut found = Vec::new();
    for (file, text) in Files::new(path).texts() {
        let memory = Bump::new();
        let Ok(Node { value: Value::Map(entries), .. }) = document::parse(&text, &memory) else { continue };
        for (key, value) in entries {
            let Value::Text(path) = key.value else { continue };
            if !wanted.contains(path) {
                continue;
            }
            let mut add = |name: Option<String>, node: &Node<'_>| {
                let position = document::locate(&text, node.id);
                let position =
                    position.map(|Position { line, column }| format!(":{line}:{column}")).unwrap_or_default();
                found.push(RulePlace { path: path.to_owned(), name, place: format!("{file}{position}") });
            };
            match value.value {
                Value::List(items) => items.iter().for_each(|item| add(name_of(item), item)),
                Value::Null
                | Value::Bool(_)
                | Value::Integer(_)
                | Value::Float(_)
                | Value::Text(_)
                | Value::Map(_)
                | Value::Tagged => add(None, key),
            }
        }
    }
    found
}

fn name_of(rule: &Node<'_>) -> Option<String> {
    let Value::Map(entries) = rule.value else { return None };
    let named = entries.iter().find(|(key, _)| matches!(key.value, Value::Text("name")))?;
    if let Value::Text(name) = named.1.value { Some(name.to_owned()) } else { None }
}
