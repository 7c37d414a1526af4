//! What rules were called before a reload gave them other names: entries of the ledger may still bear those.

use std::collections::HashMap;
use std::sync::Arc;

/// How many are remembered of the rules of one path or glob: few, since names may be generated anew with each file, and
/// an entry bears one that was in use when somebody led last.
const KEPT: usize = 8;

/// A rule's name, if it has one.
pub type Name = Option<Arc<str>>;

/// Names that are gone, by the path or glob as it is written.
#[derive(Debug, Default)]
pub struct FormerNames(HashMap<Arc<str>, Vec<Renamed>>);

/// A name that is gone, and that of the rule that took its place.
#[derive(Debug)]
struct Renamed {
    from: Name,
    to: Name,
}

impl FormerNames {
    /// The rules of `path` have other names: these are gone, each with the one that took its place, the surest first. What
    /// was gone `before` leads to a name that is in use as well.
    pub fn note(
        &mut self,
        path: &Arc<str>,
        gone: &[(Name, Name)],
        before: &Self,
        in_use: impl Fn(&Name) -> bool,
    ) {
        let older = before.0.get(path).into_iter().flatten().map(|Renamed { from, to }| {
            let next = gone.iter().find(|(name, _)| name == to).map(|(_, heir)| heir);
            (from.clone(), next.unwrap_or(to).clone())
        });
        let all = gone.iter().cloned().chain(older);
        let all = all.filter(|(from, to)| !in_use(from) && in_use(to)).take(KEPT);
        let all: Vec<_> = all.map(|(from, to)| Renamed { from, to }).collect();
        if !all.is_empty() {
            self.0.insert(Arc::clone(path), all);
        }
    }

    /// The name that the rule has now, and how many go before it in the choice.
    pub fn heir(&self, path: &str, name: Option<&Arc<str>>) -> Option<(usize, Option<&str>)> {
        let former = self.0.get(path)?;
        let place = former.iter().position(|renamed| renamed.from.as_ref() == name)?;
        Some((place, former[place].to.as_deref()))
    }
}
