//! What happens, and when: a list that can be printed, and shortened.

use std::sync::Arc;
use std::time::Duration;

use zk_monitor::model::judge::{Bounds, Counting, DataSpec, Specs, Where};
use zk_monitor::model::rule::{Rule, RuleSet, Terms};

use super::tree::{Op, Path};
use crate::random::Random;
use crate::world::Millis;

/// Each path is verified once in this time.
pub const REREAD: Millis = 20_000;
/// When nothing happens any more.
pub const HORIZON: Millis = 8_000;

#[derive(Clone, Debug)]
pub struct Happening {
    pub at: Millis,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    /// A transaction.
    Commit(Vec<Op>),
    /// The session ends, and the next begins so much later.
    Drop(Millis),
    /// A reload: which rules of [`POOL`] there are from now on.
    Reload(u32),
    /// A takeover: fence, with so many paths adopted.
    Fence(u8),
    /// Time in which only verification has something to do.
    Wait,
}

const MATCHES: [&str; 21] = [
    "/g/a",
    "/g/b",
    "/g/ab",
    "/g/*",
    "/s/x/inst",
    "/s/x/z",
    "/s/y/inst",
    "/s/xy-prod",
    "/dd/p/1",
    "/dd/p/2",
    "/dd/q/1",
    "/l/1",
    "/l/2",
    "/l/3",
    "/k/1",
    "/k/2",
    "/k/3",
    "/m/x/1",
    "/m/x/2",
    "/m/y/1",
    "/m/y/2",
];
const PLACES: [&str; 12] =
    ["/e", "/e/c", "/f", "/x", "/y", "/g", "/s", "/s/x", "/s/y", "/dd/p", "/dd", "/s/x/inst/1"];

/// How many rules there are to choose from.
pub const POOL: u32 = 22;

/// What a rule of the pool asks of which path; some have a second one with it, or ask under a name.
fn rule_of(number: u32, chosen: u32) -> (&'static str, Vec<(Option<&'static str>, Specs)>) {
    let (path, specs) = specs_of(number);
    let exists = Specs { exists: Some(true), ..Specs::default() };
    let data = Specs { data: Some(DataSpec::Equals("ok".into())), ..Specs::default() };
    let all = match number {
        0 => vec![(Some("few"), specs), (Some("gone"), exists)],
        4 => vec![(Some("none"), specs), (Some("data"), data)],
        // The list grows and shrinks, and a single rule gets a name, as other rules come and go.
        8 if chosen & 1 != 0 => vec![(Some("none"), specs), (Some("data"), data)],
        8 => vec![(Some("none"), specs)],
        14 if chosen & 2 != 0 => vec![(Some("data"), data), (Some("gone"), specs)],
        17 => vec![(Some("ok"), specs), (Some("gone"), exists)],
        _ => vec![(None, specs)],
    };
    (path, all)
}

fn specs_of(number: u32) -> (&'static str, Specs) {
    let children = |min, max| Specs { children: Some(Bounds::Range { min, max }), ..Specs::default() };
    let none = Specs { children: Some(Bounds::Equals(0)), ..Specs::default() };
    let exists = |wanted| Specs { exists: Some(wanted), ..Specs::default() };
    let data = Specs { data: Some(DataSpec::Equals("ok".into())), ..Specs::default() };
    let only = |only| Specs { counting: Counting { only, distinct: None }, ..children(Some(2), None) };
    let ok = only(Where { data: data.data.clone(), ..Where::default() });
    let owned = only(Where { ephemeral: Some(true), ..Where::default() });
    match number {
        0 => ("/e", children(Some(1), None)),
        1 => ("/f", data),
        2 => ("/x", exists(true)),
        3 => ("/y", exists(false)),
        4 => ("/g/*", none),
        5 => ("/g/a", none),
        6 => ("/g/a*", children(None, Some(5))),
        7 => ("/s/*/inst", children(Some(1), None)),
        8 => ("/s/*/*", none),
        9 => ("/s/*-prod", exists(true)),
        10 => ("/dd/*/*", none),
        11 => ("/dd/*", data),
        12 => ("/l/*", Specs::default()),
        13 => ("/dd/p/*", exists(true)),
        14 => ("/s/x/inst", exists(true)),
        // Of which the children are read, with rules of their own and without.
        15 => ("/k", ok),
        16 => ("/m/*", owned),
        17 => ("/m/x", ok),
        18 => ("/l", ok),
        // Of which the children are also watched for themselves, without their data.
        19 => ("/dd/p", ok),
        20 => ("/s/x", ok),
        _ => ("/g", Specs { data: data.data, ..children(Some(1), None) }),
    }
}

pub fn rules(chosen: u32) -> Arc<RuleSet> {
    let rules = (0..POOL).filter(|number| chosen & (1 << number) != 0).flat_map(|number| {
        let (path, all) = rule_of(number, chosen);
        all.into_iter().map(move |(name, specs)| {
            let forget_after = Duration::from_secs(86_400);
            let terms = Terms { name: name.map(Into::into), specs, forget_after, ..Terms::default() };
            Rule { path: path.into(), terms: Arc::new(terms) }
        })
    });
    Arc::new(RuleSet::new(rules.collect()))
}

/// Which matches are adopted with a fence.
pub fn adopted(count: u8) -> impl Iterator<Item = Arc<str>> {
    MATCHES.into_iter().take(usize::from(count)).map(Arc::from)
}

fn place(random: &mut Random) -> Path {
    let all = MATCHES.len() + PLACES.len();
    let number = random.below(all);
    MATCHES.get(number).or_else(|| PLACES.get(number - MATCHES.len())).copied().unwrap_or("/e").into()
}

fn chosen(random: &mut Random) -> u32 {
    (0..POOL).filter(|_| random.chance(60)).map(|number| 1 << number).sum()
}

fn op(random: &mut Random, acls: bool) -> Op {
    let path = place(random);
    match random.below(if acls { 12 } else { 10 }) {
        0..=3 => Op::Create(path),
        4 => Op::Own(path),
        5..=7 => Op::Delete(path),
        8 | 9 => Op::Set(path, if random.chance(50) { "ok" } else { "bad" }.into()),
        number => Op::Open(path, number == 10),
    }
}

/// Deleted and made again at once, the whole or one transaction after the other.
fn renewal(random: &mut Random, at: Millis, all: &mut Vec<Happening>) {
    let path = place(random);
    let create = if random.chance(30) { Op::Own } else { Op::Create };
    let ops = [Op::Delete(Path::clone(&path)), create(path)];
    if random.chance(50) {
        all.push(Happening { at, what: What::Commit(ops.to_vec()) });
        return;
    }
    for (step, op) in ops.into_iter().enumerate() {
        all.push(Happening { at: at + step as Millis * random.between(0, 5), what: What::Commit(vec![op]) });
    }
}

/// Where children are read that have more than one sibling.
const THRONGS: [[&str; 3]; 5] = [
    ["/k/1", "/k/2", "/k/3"],
    ["/l/1", "/l/2", "/l/3"],
    ["/m/x/1", "/m/x/2", "/m/x/3"],
    ["/dd/p/1", "/dd/p/2", "/dd/p/3"],
    ["/s/x/inst", "/s/x/z", "/s/x/y"],
];

/// Siblings change one after the other, while they are being read.
fn throng(random: &mut Random, mut at: Millis, acls: bool, all: &mut Vec<Happening>) {
    let siblings = THRONGS[random.below(THRONGS.len())];
    for _ in 0..random.between(1, 6) {
        let path: Path = siblings[random.below(siblings.len())].into();
        let op = match random.below(if acls { 10 } else { 8 }) {
            0 | 1 => Op::Create(path),
            2 => Op::Own(path),
            3 | 4 => Op::Delete(path),
            5..=7 => Op::Set(path, if random.chance(50) { "ok" } else { "bad" }.into()),
            number => Op::Open(path, number == 8),
        };
        all.push(Happening { at: at.min(HORIZON), what: What::Commit(vec![op]) });
        at += random.between(0, 8);
    }
}

/// The history of a seed: how the tree is at first, and what happens to it.
pub fn history(seed: u64) -> Vec<Happening> {
    let mut random = Random::new(seed);
    let acls = random.chance(40);
    let mut all = vec![Happening { at: 0, what: What::Reload(chosen(&mut random)) }];
    let first: Vec<Op> = (0..random.between(0, 20)).map(|_| Op::Create(place(&mut random))).collect();
    all.push(Happening { at: 0, what: What::Commit(first) });
    let mut at = 0;
    for _ in 0..random.between(1, 50) {
        at += match random.below(10) {
            0..=6 => random.between(0, 6),
            7 | 8 => random.between(0, 300),
            _ => random.between(0, 1_500),
        };
        let what = match random.below(60) {
            0 => What::Drop(random.between(0, 400)),
            1 | 2 => What::Reload(chosen(&mut random)),
            3..=6 => What::Fence(if random.chance(30) { 21 } else { 0 }),
            7 if random.chance(20) => What::Wait,
            8..=19 => {
                renewal(&mut random, at.min(HORIZON), &mut all);
                continue;
            }
            20..=27 => {
                throng(&mut random, at, acls, &mut all);
                continue;
            }
            _ => What::Commit((0..random.between(1, 3)).map(|_| op(&mut random, acls)).collect()),
        };
        all.push(Happening { at: at.min(HORIZON), what });
    }
    all.sort_by_key(|happening| happening.at);
    all
}
