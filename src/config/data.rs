//! What data has to be, and how old it may be.

use std::time::Duration;

use super::document::Value;
use super::located::Located;
use super::map::Map;
use super::validator::Validator;
use crate::model::judge::{DataSpec, JsonSpec, Wanted};

/// The shortest age that can be asked for: ZooKeeper's clock is known by writes that take their time.
const SHORTEST_AGE: Duration = Duration::from_secs(1);

/// What a rule asks of the data of its path.
#[derive(Clone, Debug, Default)]
pub(super) struct Data {
    pub content: Option<DataSpec>,
    pub max_age: Option<Duration>,
}

impl Validator<'_> {
    /// The key `data` of a rule.
    pub(super) fn data(&mut self, at: &Located<'_, '_>) -> Option<Data> {
        let map = self.data_map(at, &["equals", "matches", "json", "max_age"])?;
        let has_content = ["equals", "matches", "json"].iter().any(|key| map.get(key).is_some());
        let max_age = map.get("max_age");
        if !has_content && max_age.is_none() {
            self.lacks(&map, "`equals`, `matches` or `max_age`");
            return None;
        }
        let content = if has_content { self.content(at, &map) } else { None };
        Some(Data { content, max_age: max_age.and_then(|at| self.max_age(&at)) })
    }

    /// The key `data` of `where`, beside which `max_age` has a place of its own.
    pub(super) fn child_data(&mut self, at: &Located<'_, '_>) -> Option<DataSpec> {
        let map = self.data_map(at, &["equals", "matches", "json"])?;
        self.content(at, &map)
    }

    pub(super) fn max_age(&mut self, at: &Located<'_, '_>) -> Option<Duration> {
        let max_age = self.duration(at)?;
        if max_age < SHORTEST_AGE {
            self.error(at, "must be at least 1s");
            return None;
        }
        Some(max_age)
    }

    fn data_map<'a, 'n>(&mut self, at: &Located<'a, 'n>, keys: &[&str]) -> Option<Map<'a, 'n>> {
        let Value::Map(_) = at.value() else {
            self.wrong_type(at, "a map with `equals` or `matches`");
            return None;
        };
        self.map(*at, "`data`", keys)
    }

    fn content(&mut self, at: &Located<'_, '_>, map: &Map<'_, '_>) -> Option<DataSpec> {
        let place = map.get("json").map(|at| self.json_pointer(&at));
        match (map.get("equals"), map.get("matches"), place) {
            (Some(equals), None, None) => self.data_equals(&equals),
            (None, Some(matches), None) => self.expression(&matches).map(DataSpec::Matches),
            (Some(equals), None, Some(place)) => {
                let wanted = Wanted::Equals(self.json_value(&equals)?);
                Some(DataSpec::Json(JsonSpec { place: place?, wanted }))
            }
            (None, Some(matches), Some(place)) => {
                let wanted = Wanted::Matches(self.expression(&matches)?);
                Some(DataSpec::Json(JsonSpec { place: place?, wanted }))
            }
            (Some(_), Some(_), _) => {
                self.error(at, "has both `equals` and `matches`: one of them is too much");
                None
            }
            (None, None, _) => {
                self.lacks(map, "`equals` or `matches`");
                None
            }
        }
    }

    /// The text that data has to be; unlike elsewhere it may be empty.
    fn data_equals(&mut self, at: &Located<'_, '_>) -> Option<DataSpec> {
        let is_empty_text = matches!(at.value(), Value::Text(text) if text.is_empty());
        let text = if is_empty_text { "" } else { self.text(at)? };
        Some(DataSpec::Equals(text.into()))
    }
}
