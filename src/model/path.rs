//! Paths of znodes as people write them.

use std::fmt;

/// The longest path that is taken, in bytes: it stands in log lines, mail subjects and znode names.
pub const LONGEST: usize = 4096;

/// Why text is no path of a znode, or no pattern for paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// It does not start with a `/`.
    Relative,
    /// It ends in a `/`.
    TrailingSlash,
    /// Two `/` follow each other.
    EmptyLevel,
    /// A level is `.` or `..`.
    DotLevel,
    /// It holds a character that ZooKeeper refuses.
    BadCharacter(char),
    /// It is over [`LONGEST`].
    TooLong,
    /// A pattern holds `**`.
    DoubleStar,
}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relative => f.write_str("a path must start with \"/\""),
            Self::TrailingSlash => f.write_str("a path must not end in \"/\""),
            Self::EmptyLevel => f.write_str("a path must not have an empty component (\"//\")"),
            Self::DotLevel => f.write_str("a path must not have \".\" or \"..\" as a component"),
            Self::BadCharacter(c) => {
                write!(f, "a path must not hold the character U+{:04X}", u32::from(*c))
            }
            Self::TooLong => write!(f, "a path must not be longer than {LONGEST} bytes"),
            Self::DoubleStar => f.write_str(
                "\"**\" is not supported: \"*\" matches within one level, so write a \"*\" for each level",
            ),
        }
    }
}

/// The znode above this one; the root has none.
pub fn parent(path: &str) -> Option<&str> {
    let (above, name) = path.rsplit_once('/')?;
    (!name.is_empty()).then_some(if above.is_empty() { "/" } else { above })
}

/// Checks the absolute path of one znode by ZooKeeper's rules. `/` is a path.
pub fn check(path: &str) -> Result<(), PathFault> {
    let levels = path.strip_prefix('/').ok_or(PathFault::Relative)?;
    if path.len() > LONGEST {
        return Err(PathFault::TooLong);
    }
    if let Some(bad) = path.chars().find(|c| is_refused(*c)) {
        return Err(PathFault::BadCharacter(bad));
    }
    if levels.is_empty() {
        return Ok(());
    }
    for level in levels.strip_suffix('/').unwrap_or(levels).split('/') {
        match level {
            "" => return Err(PathFault::EmptyLevel),
            "." | ".." => return Err(PathFault::DotLevel),
            _ => {}
        }
    }
    if levels.ends_with('/') { Err(PathFault::TrailingSlash) } else { Ok(()) }
}

/// Checks a path in which a `*` may stand for any part of one level.
pub fn check_pattern(path: &str) -> Result<(), PathFault> {
    check(path)?;
    if path.contains("**") { Err(PathFault::DoubleStar) } else { Ok(()) }
}

/// Characters outside the basic plane are two for ZooKeeper, each of which it refuses.
fn is_refused(c: char) -> bool {
    matches!(c, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_but_the_root_has_one_above_it() {
        assert_eq!(["/", "/a", "/a/b"].map(parent), [None, Some("/"), Some("/a")]);
    }

    #[test]
    fn paths_are_judged_as_zookeeper_does() {
        let check = |path: &str, expected| assert_eq!(check_pattern(path), expected, "{path:?}");
        for good in ["/", "/a", "/a/b", "/a b/ü", "/...", "/.a", "/a/*", "/web-*/x*y", "/a:b"] {
            check(good, Ok(()));
        }
        check("", Err(PathFault::Relative));
        check("a", Err(PathFault::Relative));
        check("/a/", Err(PathFault::TrailingSlash));
        check("//", Err(PathFault::EmptyLevel));
        check("/a//b", Err(PathFault::EmptyLevel));
        check("/a//", Err(PathFault::EmptyLevel));
        check("/a/./b", Err(PathFault::DotLevel));
        check("/..", Err(PathFault::DotLevel));
        check("/a\n", Err(PathFault::BadCharacter('\n')));
        check("/a\u{e000}", Err(PathFault::BadCharacter('\u{e000}')));
        check("/a\u{1f600}", Err(PathFault::BadCharacter('\u{1f600}')));
        check("/a/**", Err(PathFault::DoubleStar));
        check(&format!("/{}", "x".repeat(LONGEST)), Err(PathFault::TooLong));
        assert_eq!(super::check("/a/**"), Ok(()));
    }
}
