//! Values within JSON: where they stand, and what they have to be.

use std::sync::Arc;

use super::document::Value;
use super::located::Located;
use super::validator::Validator;
use crate::model::judge::{DataSpec, Find, Found, JsonSpec, Wanted};

/// The longest pointer, in bytes: it stands in messages.
const MAX_POINTER: usize = 1024;

/// What the value at this place of JSON data has to be.
pub(super) fn spec(pointer: Arc<str>, wanted: Wanted) -> DataSpec {
    DataSpec::Json(JsonSpec { find: finder(&pointer), pointer, wanted })
}

/// Finds what stands at a place of JSON data.
fn finder(pointer: &Arc<str>) -> Find {
    let pointer = Arc::clone(pointer);
    Arc::new(move |data: &[u8]| {
        let Ok(document) = serde_json::from_slice::<serde_json::Value>(data) else { return Found::NoJson };
        let Some(value) = document.pointer(&pointer) else { return Found::Nothing };
        let json = value.to_string().into_boxed_str();
        let text = value.as_str().map_or_else(|| json.clone(), Into::into);
        Found::Value { json, text }
    })
}

impl Validator<'_> {
    /// A JSON Pointer (RFC 6901).
    pub(super) fn json_pointer(&mut self, at: &Located<'_, '_>) -> Option<Arc<str>> {
        let is_empty_text = matches!(at.value(), Value::Text(text) if text.is_empty());
        let pointer = if is_empty_text { "" } else { self.text(at)? };
        let is_bad = |rest: &str| !rest.starts_with(['0', '1']);
        if !is_empty_text && !pointer.starts_with('/') {
            self.error(at, "must be a JSON Pointer, such as /status or /hosts/0: it starts with \"/\"");
        } else if pointer.split('~').skip(1).any(is_bad) {
            self.error(
                at,
                "must be a JSON Pointer, in which \"~\" is written ~0, and \"/\" within a name ~1",
            );
        } else if pointer.len() > MAX_POINTER {
            self.error(at, format!("must be at most {MAX_POINTER} bytes long"));
        } else {
            return Some(pointer.into());
        }
        None
    }

    /// A scalar as JSON, in the one way of writing it that [`Found::Value`] has.
    pub(super) fn json_value(&mut self, at: &Located<'_, '_>) -> Option<Arc<str>> {
        let value = match at.value() {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => value.into(),
            Value::Integer(number) => number.into(),
            Value::Float(number) => number.into(),
            Value::Text(text) => text.into(),
            Value::List(_) | Value::Map(_) | Value::Tagged => {
                self.wrong_type(at, "text, a number, true, false or null");
                return None;
            }
        };
        Some(value.to_string().into())
    }
}
