//! Templates, in the configuration or in files that it names.

use super::document::Position;
use super::located::{Located, shown};
use super::map::Map;
use super::template::{self, Checked, Purpose, Rejected};
use super::validator::{Reported, Validator};
use crate::model::judge::Compiled;
use crate::model::receiver::Renderer;

/// How much of a file's name is shown.
const SHOWN: usize = 200;

impl Validator<'_> {
    /// The template that a map holds under `key`, or in the file that `file_key` names.
    pub(super) fn template_or_file(
        &mut self,
        map: &Map<'_, '_>,
        purpose: Purpose,
    ) -> Result<Option<Compiled<Renderer>>, Reported> {
        match (map.get("template"), map.get("template_file")) {
            (Some(_), Some(file)) => {
                self.error(&file, "stands beside `template`: one of them is too much");
                Err(Reported)
            }
            (Some(at), None) => self.template(&at, purpose).map(Some).ok_or(Reported),
            (None, Some(at)) => self.template_file(&at, purpose).map(Some).ok_or(Reported),
            (None, None) => Ok(None),
        }
    }

    /// The template that stands here.
    pub(super) fn template(&mut self, at: &Located<'_, '_>, purpose: Purpose) -> Option<Compiled<Renderer>> {
        let source = self.text(at)?;
        match self.checked(source, purpose) {
            Ok(template) => Some(template),
            Err(Rejected { at: None, words }) => {
                self.error(at, words);
                None
            }
            Err(Rejected { at: Some(Position { line, column }), words }) => {
                let text = source.lines().nth(line - 1).unwrap_or_default();
                self.error_within(at, Position { line, column }, text, words);
                None
            }
        }
    }

    fn template_file(&mut self, at: &Located<'_, '_>, purpose: Purpose) -> Option<Compiled<Renderer>> {
        let content = self.file(at)?;
        let name = shown(self.line(at)?, SHOWN);
        let Ok(source) = str::from_utf8(&content) else {
            self.error(at, format!("{name} is not UTF-8 text"));
            return None;
        };
        match self.checked(source, purpose) {
            Ok(template) => return Some(template),
            Err(Rejected { at: None, words }) => self.error(at, format!("{name}: {words}")),
            Err(Rejected { at: Some(Position { line, column }), words }) => {
                self.error(at, format!("{name}:{line}:{column}: {words}"));
            }
        }
        None
    }

    /// A template is tried once, however many rules have it.
    fn checked(&mut self, source: &str, purpose: Purpose) -> Checked {
        let key = (source.to_owned(), purpose);
        self.templates
            .entry(key)
            .or_insert_with_key(|(source, purpose)| template::check(source, *purpose))
            .clone()
    }
}
