//! How a glob unfolds: which znodes have to be listed, and which paths their children give.

use crate::model::rule::level_matches;

/// A place where a glob unfolds: the children of a znode are matched against one level of one glob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Site {
    glob: usize,
    level: usize,
}

/// Where one child of a site leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// The path that it leads to.
    pub(super) path: String,
    /// Whether that path unfolds further; `None` is a path that the glob matches.
    pub(super) site: Option<Site>,
}

/// All globs of a configuration, by level.
#[derive(Debug, Default)]
pub(super) struct Globs {
    levels: Vec<Vec<String>>,
}

impl Globs {
    /// Splits the globs.
    pub(super) fn new<'a>(globs: impl Iterator<Item = &'a str>) -> Self {
        let split = |glob: &str| glob.split('/').skip(1).map(str::to_owned).collect();
        Self { levels: globs.map(split).collect() }
    }

    /// The fixed paths that the globs begin at.
    pub(super) fn roots(&self) -> impl Iterator<Item = (String, Site)> {
        (0..self.levels.len()).filter_map(|glob| {
            let step = self.descend(String::new(), glob, 0);
            let path = if step.path.is_empty() { "/".to_owned() } else { step.path };
            step.site.map(|site| (path, site))
        })
    }

    /// Where a child of a site leads, if the glob matches its name.
    pub(super) fn step(&self, site: Site, parent: &str, child: &str) -> Option<Step> {
        if !level_matches(&self.levels[site.glob][site.level], child) {
            return None;
        }
        let parent = if parent == "/" { "" } else { parent };
        Some(self.descend(format!("{parent}/{child}"), site.glob, site.level + 1))
    }

    /// Appends fixed levels up to the next one with a star, or to the end.
    fn descend(&self, mut path: String, glob: usize, from: usize) -> Step {
        let levels = &self.levels[glob];
        let mut level = from;
        while level < levels.len() && !levels[level].contains('*') {
            path.push('/');
            path.push_str(&levels[level]);
            level += 1;
        }
        let site = (level < levels.len()).then_some(Site { glob, level });
        Step { path, site }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(path: &str) -> Globs {
        Globs::new([path].into_iter())
    }

    /// Follows children from the root; gives where they lead, and whether that is a match.
    fn follow(pattern: &str, children: &[&str]) -> Option<(String, bool)> {
        let globs = globs(pattern);
        let (mut path, site) = globs.roots().next().unwrap();
        let mut site = Some(site);
        for child in children {
            let step = globs.step(site.unwrap(), &path, child)?;
            (path, site) = (step.path, step.site);
        }
        Some((path, site.is_none()))
    }

    #[test]
    fn globs_unfold_level_by_level() {
        let check = |pattern: &str, children: &[&str], expected: Option<(&str, bool)>| {
            let found = follow(pattern, children);
            assert_eq!(found, expected.map(|(path, end)| (path.to_owned(), end)), "{pattern} {children:?}");
        };
        check("/services/*/instances", &[], Some(("/services", false)));
        check("/services/*/instances", &["a"], Some(("/services/a/instances", true)));
        check("/services/*", &["a"], Some(("/services/a", true)));
        check("/*", &["a"], Some(("/a", true)));
        check("/*", &[], Some(("/", false)));
        check("/a/*/b/*/c", &["x"], Some(("/a/x/b", false)));
        check("/a/*/b/*/c", &["x", "y"], Some(("/a/x/b/y/c", true)));
        check("/a/*/*", &["x"], Some(("/a/x", false)));
        check("/a/web-*", &["web-1"], Some(("/a/web-1", true)));
        check("/a/web-*", &["db-1"], None);
    }
}
