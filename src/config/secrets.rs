//! Secrets, in the configuration or in files that it names.

use std::path::Path;
use std::sync::Arc;

use super::document::Value;
use super::located::{Located, shown};
use super::map::Map;
use super::validator::{Reported, Validator};
use crate::credentials;
use crate::model::receiver::Secret;

/// The largest file that a key may name, in bytes.
const MAX_NAMED_FILE: u64 = 1 << 20;

impl Validator<'_> {
    /// A secret that a map holds under `key`, or in the file that `file_key` names, or not at all.
    pub(super) fn secret(
        &mut self,
        map: &Map<'_, '_>,
        key: &'static str,
        file_key: &'static str,
    ) -> Result<Option<Secret>, Reported> {
        match (map.get(key), map.get(file_key)) {
            (Some(_), Some(file)) => {
                self.error(&file, format!("stands beside `{key}`: one of them is too much"));
                Err(Reported)
            }
            (Some(inline), None) => {
                let text = self.line(&inline).ok_or(Reported)?;
                self.note_inline_secret(&inline);
                Ok(Some(Secret::new(text.to_owned())))
            }
            (None, Some(file)) => self.secret_file(&file).map(Some).ok_or(Reported),
            (None, None) => Ok(None),
        }
    }

    pub(super) fn note_inline_secret(&mut self, at: &Located<'_, '_>) {
        if self.notes().inline_secret.is_none() {
            self.notes().inline_secret = Some((at.node.id, at.to_string()));
        }
    }

    /// The secret in the file that the value names.
    pub(super) fn secret_file(&mut self, at: &Located<'_, '_>) -> Option<Secret> {
        let content = self.file(at)?;
        credentials::secret(&content).map_err(|reason| self.unreadable(at, &reason)).ok()
    }

    /// The content of the file that the value names.
    pub(super) fn file(&mut self, at: &Located<'_, '_>) -> Option<Arc<[u8]>> {
        let path = self.base().join(self.line(at)?);
        let earlier = self.earlier().and_then(|earlier| earlier.get(&path));
        let content = match earlier {
            Some(content) => Ok(content),
            None => self.read(&path),
        };
        let content = content.map_err(|reason| self.unreadable(at, &reason)).ok()?;
        self.notes().named.insert(path, &content);
        Some(content)
    }

    /// What is in a file now: it is read once, however many rules name it.
    fn read(&mut self, path: &Path) -> Result<Arc<[u8]>, String> {
        let env = self.env;
        let read = self.read.entry(path.to_owned()).or_insert_with_key(|path| {
            credentials::read(&credentials::locate(path, env), MAX_NAMED_FILE).map(Arc::from)
        });
        read.clone()
    }

    fn unreadable(&mut self, at: &Located<'_, '_>, reason: &str) {
        let Value::Text(name) = at.value() else { return };
        let path = self.base().join(name);
        let message = format!("cannot use the file {}: {reason}", shown(&path.to_string_lossy(), 300));
        self.error(at, message);
    }
}
