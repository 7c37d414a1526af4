//! Values within JSON: where they stand, and what they have to be.

use std::sync::Arc;

use serde_json::{Number, Value as Json};

use super::document::Value;
use super::located::Located;
use super::validator::Validator;
use crate::model::judge::{Compiled, Find, Found};

/// Finds what stands at a place of JSON data.
fn finder(pointer: Arc<str>) -> Compiled<Find> {
    let source = Arc::clone(&pointer);
    let run = Arc::new(move |data: &[u8]| {
        let Ok(document) = serde_json::from_slice::<Json>(data) else { return Found::NoJson };
        let Some(value) = document.pointer(&pointer) else { return Found::Nothing };
        let json = one_way(value.clone()).to_string().into_boxed_str();
        let text = value.as_str().map_or_else(|| json.clone(), Into::into);
        Found::Value { json, text }
    });
    Compiled { source, run }
}

/// With each whole number written without fraction and exponent: `1`, `1.0` and `10e-1` are one value. Keys are sorted
/// already.
fn one_way(value: Json) -> Json {
    /// A floating-point number holds each whole number up to this one.
    const EXACT: f64 = (1_u64 << 53) as f64;
    match value {
        Json::Number(number) => {
            let float = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0);
            let whole = float.filter(|float| float.abs() <= EXACT);
            whole.map_or(Json::Number(number), |float| (float as i64).into())
        }
        Json::Array(items) => items.into_iter().map(one_way).collect(),
        Json::Object(members) => members.into_iter().map(|(key, value)| (key, one_way(value))).collect(),
        Json::Null | Json::Bool(_) | Json::String(_) => value,
    }
}

impl Validator<'_> {
    /// A JSON Pointer (RFC 6901), and what finds the value there. It stands in messages, so that it has to fit a line.
    pub(super) fn json_pointer(&mut self, at: &Located<'_, '_>) -> Option<Compiled<Find>> {
        let is_empty_text = matches!(at.value(), Value::Text(text) if text.is_empty());
        let pointer = if is_empty_text { "" } else { self.line(at)? };
        let is_bad = |rest: &str| !rest.starts_with(['0', '1']);
        if !is_empty_text && !pointer.starts_with('/') {
            self.error(at, "must be a JSON Pointer, such as /status or /hosts/0: it starts with \"/\"");
        } else if pointer.split('~').skip(1).any(is_bad) {
            self.error(
                at,
                "must be a JSON Pointer, in which \"~\" is written ~0, and \"/\" within a name ~1",
            );
        } else {
            return Some(finder(pointer.into()));
        }
        None
    }

    /// A scalar as JSON, in the one way of writing it that [`Found::Value`] has.
    pub(super) fn json_value(&mut self, at: &Located<'_, '_>) -> Option<Arc<str>> {
        let value = match at.value() {
            Value::Null => Json::Null,
            Value::Bool(value) => value.into(),
            Value::Integer(number) => number.into(),
            Value::Float(number) => {
                let number = Number::from_f64(number);
                if number.is_none() {
                    self.error(at, "is a number that JSON does not have");
                }
                one_way(Json::Number(number?))
            }
            Value::Text(text) => text.into(),
            Value::List(_) | Value::Map(_) | Value::Tagged => {
                self.wrong_type(at, "text, a number, true, false or null");
                return None;
            }
        };
        Some(value.to_string().into())
    }
}
