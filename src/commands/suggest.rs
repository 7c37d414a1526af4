//! `--suggest`: looks at a tree for a while, and prints what would watch it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use crossbeam_channel::at;
use zookeeper::{Stat, ZkError};

use crate::cli::{Answer, Options};
use crate::clock;
use crate::daemon::EX_FAILURE;
use crate::model::suggest::{Node, Seen, yaml};
use crate::watching::session_settings;
use crate::zk::client::{Client, describe, is_over};
use crate::zk::names::Places;
use crate::zk::once::with_client_for;
use crate::zk::reading::is_ephemeral;

/// 500 reads a second, whatever is asked for: what is looked at is in use.
const PACE: Duration = Duration::from_millis(2);
/// How many znodes are looked at.
const ZNODES: usize = 100_000;
/// How often the same znode is looked at, at most.
const ROUND: Duration = Duration::from_millis(200);
/// How long it may take to get a session.
const CONNECTING: Duration = Duration::from_secs(10);
/// Two reads a znode, one more at least for those that decide, and as much again for a server that is slow.
const READING: Duration = Duration::from_secs(1200);
/// How many lines tell what could not be listed.
const NAMED: usize = 10;
/// How many of those are named that would be too much.
const NAMED_WIDE: usize = 3;

/// Looks, and prints.
pub fn suggest(options: &Options, root: &str, watch: Duration) -> Result<Answer, Answer> {
    let failed = |reason: String| Answer::failed(EX_FAILURE, &reason);
    let settings = session_settings(&options.zookeeper).map_err(failed)?;
    let (top, prefix) = (root.to_owned(), Places::new(&options.cluster_prefix, &options.cluster_name).prefix);
    let errand = move |client: &Client| {
        let end = clock::mono() + watch;
        let mut walk = Walk {
            client,
            root: top.trim_end_matches('/'),
            prefix: &prefix,
            next: clock::mono(),
            skipped: Vec::new(),
            too_wide: Vec::new(),
        };
        let mut tree = walk.tree()?;
        walk.watch(&mut tree, end)?;
        Ok((tree, walk.omitted()))
    };
    let (tree, mut stderr) =
        with_client_for(settings, CONNECTING, watch + READING, errand).map_err(failed)?;
    let Some(stdout) = yaml(root, &tree, watch) else {
        stderr.push_str(&format!(
            "zk_monitor: nothing below {root} lives with a session (is ephemeral) and stays: there is nothing to suggest\n"
        ));
        return Err(Answer { stderr, code: EX_FAILURE, ..Answer::default() });
    };
    Ok(Answer { stdout, stderr, ..Answer::default() })
}

/// Why a znode is skipped that this login may not read.
const UNAUTHORISED: &str = "not authorised to list it; ask as a --zookeeper_user who may read it";

/// What one look at a znode shows.
enum Look {
    There(Seen),
    Missing,
    /// It may not be read. Before 3.9.3 servers tell of it all the same, but not which children it has.
    Hidden,
}

struct Walk<'w> {
    client: &'w Client,
    /// Without a slash at its end.
    root: &'w str,
    prefix: &'w str,
    /// When the next read may be.
    next: Instant,
    /// What could not be listed, and why.
    skipped: Vec<String>,
    /// The paths of which the children would be too many.
    too_wide: Vec<String>,
}

impl Walk<'_> {
    /// All below the root, the narrow places first: if it is too much, what is left out are queues, topics and the like,
    /// and not the few servers of a service beside them.
    fn tree(&mut self) -> Result<Node, String> {
        let seen = match self.look("")? {
            Look::There(seen) => seen,
            Look::Missing => return Err(format!("{} does not exist", self.full(""))),
            Look::Hidden => return Err(format!("cannot look at {}: {UNAUTHORISED}", self.full(""))),
        };
        let mut tree = Node::new(seen);
        // The most children that a znode has from the root to here, the path, and how many this one has.
        let (mut queue, mut count) = (BinaryHeap::from([Reverse((0, String::new(), seen.children))]), 1);
        while let Some(Reverse((width, below, expected))) = queue.pop() {
            let children = self.children(&below, expected, &mut count)?;
            let Some(node) = tree.at(&below) else { continue };
            node.hidden = children.is_none();
            for name in children.unwrap_or_default() {
                let below = format!("{below}/{name}");
                let seen = match self.look(&below)? {
                    Look::There(seen) => seen,
                    Look::Missing => continue,
                    Look::Hidden => {
                        self.skip(&self.full(&below), UNAUTHORISED);
                        node.children.insert(name, Node::hidden());
                        continue;
                    }
                };
                node.children.insert(name, Node::new(seen));
                if seen.children > 0 || self.is_left_out(&below) {
                    queue.push(Reverse((width.max(seen.children), below, seen.children)));
                }
            }
        }
        Ok(tree)
    }

    /// The names of a znode's children, or nothing if they are left out.
    fn children(
        &mut self,
        below: &str,
        expected: u32,
        count: &mut usize,
    ) -> Result<Option<Vec<String>>, String> {
        if self.is_left_out(below) {
            return Ok(None);
        }
        if expected == 0 {
            return Ok(Some(Vec::new()));
        }
        let path = self.full(below);
        if *count + expected as usize > ZNODES {
            self.too_wide.push(path);
            return Ok(None);
        }
        self.wait();
        match self.client.children(&path, false) {
            Ok(names) => {
                *count += names.len();
                Ok(Some(names))
            }
            Err(ZkError::NoNode) => Ok(Some(Vec::new())),
            Err(e) if is_over(e) => Err(format!("cannot list {path}: {}", describe(e))),
            Err(e) => {
                let reason = if e == ZkError::NoAuth { UNAUTHORISED.to_owned() } else { describe(e) };
                self.skip(&path, &reason);
                Ok(None)
            }
        }
    }

    fn skip(&mut self, path: &str, reason: &str) {
        self.skipped.push(format!("what is below {path:?}: {reason}"));
    }

    /// What was not looked at, in lines for stderr.
    fn omitted(&self) -> String {
        let mut lines: Vec<String> = self.skipped.iter().take(NAMED).cloned().collect();
        if self.skipped.len() > NAMED {
            lines.push(format!("{} more", self.skipped.len() - NAMED));
        }
        if !self.too_wide.is_empty() {
            let named: Vec<String> =
                self.too_wide.iter().take(NAMED_WIDE).map(|path| format!("{path:?}")).collect();
            let more = self.too_wide.len() - named.len();
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            lines.push(format!(
                "what is below {}{more}: it would be more than {ZNODES} znodes in all; ask for a smaller tree",
                named.join(", ")
            ));
        }
        lines.iter().map(|line| format!("zk_monitor: skipped {line}\n")).collect()
    }

    /// ZooKeeper's own znodes and the cluster's.
    fn is_left_out(&self, below: &str) -> bool {
        let path = self.full(below);
        ["/zookeeper", self.prefix].iter().any(|own| path == *own || path.starts_with(&format!("{own}/")))
    }

    /// Looks again at what decides, once at least.
    fn watch(&mut self, tree: &mut Node, end: Instant) -> Result<(), String> {
        let targets = tree.targets();
        loop {
            let round = clock::mono();
            for below in &targets {
                let seen = match self.look(below)? {
                    Look::There(seen) => Some(seen),
                    Look::Missing => None,
                    // Its ACL was changed meanwhile. It stays as it was seen before.
                    Look::Hidden => continue,
                };
                if let Some(node) = tree.at(below) {
                    node.see(seen);
                }
            }
            // Nothing is sent: these are waits for a time.
            at((round + ROUND).min(end)).recv().ok();
            if clock::mono() >= end {
                return Ok(());
            }
        }
    }

    fn look(&mut self, below: &str) -> Result<Look, String> {
        let path = self.full(below);
        self.wait();
        match self.client.exists(&path, false) {
            Ok(stat) => Ok(stat.as_ref().map_or(Look::Missing, |stat| Look::There(seen(stat)))),
            Err(ZkError::NoAuth) => Ok(Look::Hidden),
            Err(e) => Err(format!("cannot look at {path}: {}", describe(e))),
        }
    }

    fn full(&self, below: &str) -> String {
        let path = format!("{}{below}", self.root);
        if path.is_empty() { "/".to_owned() } else { path }
    }

    /// Keeps the pace.
    fn wait(&mut self) {
        self.next = self.next.max(clock::mono());
        at(self.next).recv().ok();
        self.next += PACE;
    }
}

fn seen(stat: &Stat) -> Seen {
    Seen {
        ephemeral: is_ephemeral(stat.ephemeral_owner),
        children: u32::try_from(stat.num_children).unwrap_or_default(),
        cversion: stat.cversion,
    }
}
