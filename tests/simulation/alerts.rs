//! The rules of the simulation: which alerts there are, what they are called, and who hears of them.

use std::sync::Arc;
use std::time::Duration;

use zk_monitor::model::alert_key::AlertKey;
use zk_monitor::model::judge::{By, DataSpec, DropSpec, Specs};
use zk_monitor::model::receiver::ReceiverId;
use zk_monitor::model::rule::{Rule, RuleSet, Terms};

use crate::world::{Millis, RECEIVERS};

pub const PATHS: usize = 5;
/// The path whose rule comes and goes; it is found by a glob.
pub const FICKLE: usize = 2;
/// The path whose number of children must not fall too far.
pub const POOL: usize = 3;
/// The path whose alert waits while another is out of spec.
const DEPENDANT: usize = 4;
pub const DEPENDENCY: usize = 1;

pub const ALERTS: usize = 7;
/// How many versions of the file there are: a rule may have another name in each.
pub const FILES: usize = 3;

/// Of the second path.
const PAGE: usize = 1;
const WARN: usize = 3;
/// Of the pool: one whose falls end by the count alone, and one whose falls end by time too.
pub const SLOW: usize = 4;
pub const FAST: usize = 5;
/// Of the dependant.
pub const HELD: usize = 6;

/// The path of each alert, and the name of its rule in each version of the file.
const TABLE: [(usize, [Option<&str>; FILES]); ALERTS] = [
    (0, [None, Some("only"), None]),
    (1, [Some("page"), Some("call"), Some("call")]),
    (FICKLE, [None; FILES]),
    (1, [Some("warn"), Some("warn"), Some("chat")]),
    (POOL, [Some("slow"), Some("slow"), Some("long")]),
    (POOL, [Some("fast"), Some("quick"), Some("fast")]),
    (DEPENDANT, [None, None, Some("only")]),
];

pub fn path_name(path: usize) -> Arc<str> {
    if path == FICKLE { format!("/g/{path}").into() } else { format!("/{path}").into() }
}

pub fn path_index(path: &str) -> usize {
    path.rsplit('/').next().and_then(|name| name.parse().ok()).expect("a path of the simulation")
}

/// The path that an alert is of.
pub fn path_of(alert: usize) -> usize {
    TABLE[alert].0
}

/// Which alert it is that this rule has of this path, by whatever file.
pub fn alert_index(path: &str, rule: Option<&str>) -> usize {
    let path = path_index(path);
    let found = (0..ALERTS).find(|alert| path_of(*alert) == path && TABLE[*alert].1.contains(&rule));
    found.unwrap_or_else(|| panic!("no rule {rule:?} of {path}"))
}

/// Whether a rule of this name has the same alert in each of these versions of the file.
pub fn is_called(key: &AlertKey, mut files: impl Iterator<Item = usize>) -> bool {
    files.all(|file| TABLE[alert_of(key)].1[file] == key.name.as_deref())
}

/// Which alert a key is of.
pub fn alert_of(key: &AlertKey) -> usize {
    alert_index(&key.path, key.name.as_deref())
}

/// Who hears of an alert.
pub fn hears(alert: usize, receiver: usize) -> bool {
    match alert {
        WARN => receiver != 1,
        FAST => receiver != 0,
        _ => true,
    }
}

pub fn receiver_id(receiver: usize) -> ReceiverId {
    ReceiverId(format!("r{receiver}").into())
}

/// How long it is out of spec before it alerts. The file does not say so of the dependant: it depends on something.
pub fn hold(alert: usize) -> Millis {
    match alert {
        HELD => 10_000,
        PAGE => 3_000,
        WARN => 700,
        FAST => 500,
        _ => 0,
    }
}

/// How far the number of children may fall, and within what time.
pub fn drop_of(alert: usize) -> Option<DropSpec> {
    match alert {
        SLOW => Some(DropSpec { by: By::Percent(40), within: Duration::from_secs(3 * 3600) }),
        FAST => Some(DropSpec { by: By::Count(2), within: Duration::from_secs(12) }),
        _ => None,
    }
}

fn specs(alert: usize) -> Specs {
    let data = Some(DataSpec::Equals("ok".into())).filter(|_| path_of(alert) != POOL);
    Specs { drop: drop_of(alert), data, ..Specs::default() }
}

/// On what the dependant depends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dependence {
    #[default]
    Right,
    /// It does not depend on anything, and has the same hold-down: a mutant.
    Nothing,
    /// It depends on one path too many: a mutant.
    Another,
}

/// The rules by one version of the file, with or without that of the fickle path.
pub fn rules(file: usize, fickle: bool, dependence: Dependence) -> RuleSet {
    let alerts = (0..ALERTS).filter(|alert| fickle || path_of(*alert) != FICKLE);
    let terms = |alert: usize| Terms {
        name: TABLE[alert].1[file].map(Into::into),
        cancel_timeout: match (alert, dependence) {
            (HELD, Dependence::Right | Dependence::Another) => Duration::ZERO,
            _ => Duration::from_millis(hold(alert)),
        },
        depends_on: match (alert, dependence) {
            (HELD, Dependence::Right) => vec![format!("/{DEPENDENCY}*").into()],
            (HELD, Dependence::Another) => vec![path_name(DEPENDENCY), path_name(0)],
            _ => Vec::new(),
        },
        keep_firing_for: Duration::from_secs(if alert == PAGE { 2 } else { 0 }),
        repeat_interval: [0, HELD].contains(&alert).then_some(Duration::from_secs(15)),
        receivers: (0..RECEIVERS).filter(|one| hears(alert, *one)).map(receiver_id).collect(),
        specs: specs(alert),
        forget_after: Duration::from_secs(86_400),
        ..Terms::default()
    };
    let pattern = |path| if path == FICKLE { "/g/*".into() } else { path_name(path) };
    let rules = alerts.map(|alert| Rule { path: pattern(path_of(alert)), terms: Arc::new(terms(alert)) });
    RuleSet::new(rules.collect())
}
