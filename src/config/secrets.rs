//! Secrets, in the configuration or in files that it names.

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
        let path = self.base().join(self.line(at)?);
        let env = self.env;
        let read = self.secrets.entry(path).or_insert_with_key(|path| {
            credentials::read_secret(&credentials::locate(path, env), MAX_NAMED_FILE)
        });
        match read.clone() {
            Ok(secret) => Some(secret),
            Err(reason) => {
                self.unreadable(at, &reason);
                None
            }
        }
    }

    /// The content of the file that the value names.
    pub(super) fn file(&mut self, at: &Located<'_, '_>) -> Option<Vec<u8>> {
        let path = credentials::locate(&self.base().join(self.line(at)?), self.env);
        credentials::read(&path, MAX_NAMED_FILE).map_err(|reason| self.unreadable(at, &reason)).ok()
    }

    fn unreadable(&mut self, at: &Located<'_, '_>, reason: &str) {
        let Value::Text(name) = at.value() else { return };
        let path = self.base().join(name);
        let message = format!("cannot use the file {}: {reason}", shown(&path.to_string_lossy(), 300));
        self.error(at, message);
    }
}
