//! What tells one alert from every other.

use std::fmt;
use std::sync::Arc;

/// The longest name of a rule, in bytes.
pub const NAME_MAX: usize = 32;

/// One alert: a path, and the name of the rule that judges it if the configuration has several for the path.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlertKey {
    /// The concrete path, never a glob.
    pub path: Arc<str>,
    /// The rule's name; none if the rule has none.
    pub name: Option<Arc<str>>,
}

impl AlertKey {
    /// The alert of a path whose rule has no name.
    pub fn unnamed(path: impl Into<Arc<str>>) -> Self {
        Self { path: path.into(), name: None }
    }
}

/// `/path`, or `/path@name`. A path may hold an `@` itself: this is for people.
impl fmt::Display for AlertKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            None => f.write_str(&self.path),
            Some(name) => write!(f, "{}@{name}", self.path),
        }
    }
}

/// Whether text is the name of a rule: letters of A-Z, a-z, 0-9, `_` and `-`, at most [`NAME_MAX`].
pub fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    (1..=NAME_MAX).contains(&text.len()) && text.bytes().all(fits)
}
