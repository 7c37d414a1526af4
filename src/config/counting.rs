//! Which children are counted.

use super::document::Value;
use super::located::Located;
use super::map::Map;
use super::validator::Validator;
use crate::model::judge::{Compiled, Counting, Find, Where};

/// The keys of `where`.
const WHERE_KEYS: [&str; 4] = ["name", "ephemeral", "max_age", "data"];

impl Validator<'_> {
    /// The keys `where` and `distinct` of `children`: nothing if neither is there. They stand beside a bound, since they
    /// say what it counts.
    pub(super) fn counting(&mut self, map: &Map<'_, '_>, has_bound: bool) -> Counting {
        let only = map.get("where").map(|at| self.only(&at));
        let distinct = map.get("distinct").map(|at| self.distinct(&at));
        if !has_bound && (only.is_some() || distinct.is_some()) {
            let key = if only.is_some() { "where" } else { "distinct" };
            self.lacks(
                map,
                &format!("`min`, `max`, `equals` or `drop`: `{key}` says which children count for that"),
            );
        }
        Counting { only: only.flatten().unwrap_or_default(), distinct: distinct.flatten() }
    }

    fn only(&mut self, at: &Located<'_, '_>) -> Option<Where> {
        let map = self.map(*at, "`where`", &WHERE_KEYS)?;
        let [name, ephemeral, max_age, data] = WHERE_KEYS.map(|key| map.get(key));
        if [&name, &ephemeral, &max_age, &data].iter().all(|key| key.is_none()) {
            self.lacks(&map, "`name`, `ephemeral`, `max_age` or `data`");
            return None;
        }
        Some(Where {
            name: name.and_then(|at| self.expression(&at)),
            ephemeral: ephemeral.and_then(|at| self.boolean(&at)),
            max_age: max_age.and_then(|at| self.max_age(&at)),
            data: data.and_then(|at| self.child_data(&at)),
        })
    }

    fn distinct(&mut self, at: &Located<'_, '_>) -> Option<Compiled<Find>> {
        let Value::Map(_) = at.value() else {
            self.wrong_type(at, "a map with `json`");
            return None;
        };
        let map = self.map(*at, "`distinct`", &["json"])?;
        let Some(at) = map.get("json") else {
            self.lacks(&map, "`json`");
            return None;
        };
        self.json_pointer(&at)
    }
}
