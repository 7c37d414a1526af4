//! Which attempt is made next, and in which slot: how many there may be at once, and at one host.
//!
//! A slot is what one attempt takes: a worker, and the connection that it keeps for a while for its receiver's next
//! message. An attempt to a dead host holds its slot for [`super::notifier::ATTEMPT`]. So that such a host cannot take
//! them all, each has [`PER_HOST`]; and a slot that falls free goes to the host that holds the fewest, so that one
//! that answers is never behind the whole queue of one that does not. At one host, who came first is served first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::dispatcher::{Attempt, AttemptId};
use super::receiver::ReceiverId;

/// How many slots there are. Each takes a thread and a few descriptors, of which a process may have but 1,024.
pub const SLOTS: usize = 64;

/// How many of them one host can have. Mail servers take few connections from one client, and with more a single
/// black hole could hold up everybody else.
pub const PER_HOST: usize = 8;

/// The number of a slot, unique in this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub u64);

/// The slots, and the attempts that wait for one.
#[derive(Debug, Default)]
pub struct Slots {
    slots: BTreeMap<SlotId, Slot>,
    /// Those that wait, by the host that they go to; no queue is empty.
    waiting: BTreeMap<Arc<str>, VecDeque<(u64, Attempt)>>,
    /// Numbers slots and what waits, and tells what was earlier.
    count: u64,
}

/// One slot.
#[derive(Debug)]
struct Slot {
    host: Arc<str>,
    receiver: ReceiverId,
    /// Since when it is idle, as a number that grows with time; `None` while an attempt is under way.
    idle: Option<u64>,
}

impl Slots {
    /// An attempt waits for its turn from now on; it goes to this host.
    pub fn wait(&mut self, attempt: Attempt, host: Arc<str>) {
        let number = self.number();
        self.waiting.entry(host).or_default().push_back((number, attempt));
    }

    /// Gives the next attempt its slot, if there is one to be had: one that was there before, or a new one.
    pub fn grant(&mut self) -> Option<(SlotId, Attempt)> {
        let mut busy = BTreeMap::<&str, usize>::new();
        for slot in self.slots.values().filter(|slot| slot.idle.is_none()) {
            *busy.entry(&*slot.host).or_default() += 1;
        }
        if busy.values().sum::<usize>() >= SLOTS {
            return None;
        }
        let open = self.waiting.iter().filter_map(|(host, queue)| {
            let (number, _) = queue.front()?;
            let held = busy.get(&**host).copied().unwrap_or(0);
            Some((held, *number, host)).filter(|_| held < PER_HOST)
        });
        let host = Arc::clone(open.min()?.2);
        let queue = self.waiting.get_mut(&host)?;
        let (_, attempt) = queue.pop_front()?;
        if queue.is_empty() {
            self.waiting.remove(&host);
        }
        let slot = self.place(&attempt.receiver, &host).unwrap_or_else(|| SlotId(self.number()));
        self.slots.insert(slot, Slot { host, receiver: attempt.receiver.clone(), idle: None });
        Some((slot, attempt))
    }

    /// The attempt in this slot has ended.
    pub fn finish(&mut self, slot: SlotId) {
        let number = self.number();
        if let Some(slot) = self.slots.get_mut(&slot) {
            slot.idle = Some(number);
        }
    }

    /// The slot is given up if no attempt is under way in it. Returns whether it is gone.
    pub fn give_up(&mut self, slot: SlotId) -> bool {
        let is_busy = self.slots.get(&slot).is_some_and(|slot| slot.idle.is_none());
        if !is_busy {
            self.slots.remove(&slot);
        }
        !is_busy
    }

    /// Takes out what waits and is not to be made any more, in the order in which it came.
    pub fn withdraw(&mut self, is_over: impl Fn(&Attempt) -> bool) -> Vec<AttemptId> {
        let mut over = Vec::new();
        for queue in self.waiting.values_mut() {
            queue.retain(|(number, attempt)| {
                let is_over = is_over(attempt);
                if is_over {
                    over.push((*number, attempt.id));
                }
                !is_over
            });
        }
        self.waiting.retain(|_, queue| !queue.is_empty());
        over.sort_unstable();
        over.into_iter().map(|(_, attempt)| attempt).collect()
    }

    /// Whether an attempt waits for its turn.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The idle slot that an attempt takes, unless it may have a new one: that of its own receiver, whose connection
    /// it can use; then one of its host, if that keeps as many connections as it may; then the one that has been
    /// idle for longest.
    fn place(&self, receiver: &ReceiverId, host: &str) -> Option<SlotId> {
        let longest_idle = |fits: &dyn Fn(&Slot) -> bool| {
            let idle = self.slots.iter().filter(|(_, slot)| fits(slot));
            idle.filter_map(|(id, slot)| Some((slot.idle?, *id))).min().map(|(_, id)| id)
        };
        let of_host = self.slots.values().filter(|slot| *slot.host == *host).count();
        longest_idle(&|slot| slot.receiver == *receiver)
            .or_else(|| longest_idle(&|slot| of_host >= PER_HOST && *slot.host == *host))
            .or_else(|| longest_idle(&|_| self.slots.len() >= SLOTS))
    }

    fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::message::Notification;

    fn attempt(name: &str, number: u64) -> Attempt {
        Attempt {
            id: AttemptId(number),
            epoch: number % 2,
            receiver: ReceiverId(name.into()),
            notification: Notification {
                cluster: "c".into(),
                agent: "a".into(),
                page: None,
                items: Vec::new(),
            },
        }
    }

    /// Does one thing after the other, and writes down what comes of it: `b3` waits for an attempt to the third
    /// receiver of host b, `!` grants whatever can be, `.a1` is the end of an attempt, `-a1` gives a slot up.
    /// A grant is `a1`, or `a1<a2` in the slot that a2 had.
    fn check(steps: &str, expected: &str) {
        let (mut slots, mut told, mut held) = (Slots::default(), Vec::new(), Vec::<(SlotId, String)>::new());
        let slot = |held: &[(SlotId, String)], name: &str| {
            held.iter().rev().find(|(_, holder)| holder == name).expect("it has a slot").0
        };
        for (number, step) in steps.split_whitespace().enumerate() {
            match step.split_at(1) {
                ("!", _) => {
                    while let Some((slot, attempt)) = slots.grant() {
                        let name = attempt.receiver.0.to_string();
                        let before = held.iter().rposition(|(other, _)| *other == slot);
                        let before = before.map(|at| held.remove(at).1).filter(|before| *before != name);
                        let from = before.map(|before| format!("<{before}")).unwrap_or_default();
                        told.push(format!("{name}{from}"));
                        held.push((slot, name));
                    }
                }
                (".", name) => slots.finish(slot(&held, name)),
                ("-", name) => told.push(format!("-{}", slots.give_up(slot(&held, name)))),
                (host, _) => slots.wait(attempt(step, number as u64), host.into()),
            }
        }
        assert_eq!(told.join(" "), expected, "{steps}");
    }

    /// `a0 a1 a2 …`, up to so many.
    fn many(host: &str, count: usize) -> String {
        (0..count).map(|number| format!("{host}{number}")).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn who_goes_next() {
        check("!", "");
        check("a1 b1 a2 !", "a1 b1 a2");
        check(&format!("{} !", many("a", 9)), &many("a", PER_HOST));
        // The ninth takes its turn when one of the eight ends, in that one's slot, and other hosts do not wait.
        check(&format!("{} ! b0 ! .a3 !", many("a", 9)), &format!("{} b0 a8<a3", many("a", 8)));
        // Who came first at a host goes first, and the host that holds the fewest before the others.
        check("a1 a2 b1 b2 c1 !", "a1 b1 c1 a2 b2");
        check(&format!("{} ! {} ! .a0 .a1 .b0 !", many("a", 12), many("b", 12)), &{
            format!("{} {} a8<a0 a9<a1 b8<b0", many("a", 8), many("b", 8))
        });
    }

    #[test]
    fn who_takes_whose_slot() {
        // A receiver takes its own, whose connection is open.
        check("a1 a2 ! .a1 .a2 a2 a1 !", "a1 a2 a2 a1");
        // One that has none takes a new slot, unless its host has as many as it may: then the longest idle.
        check("a1 ! .a1 a2 !", "a1 a2");
        check(&format!("{} ! .a5 .a2 a8 !", many("a", 8)), &format!("{} a8<a5", many("a", 8)));
        check("a1 ! -a1 .a1 -a1 a1 !", "a1 -false -true a1");
    }

    #[test]
    fn there_are_so_many_slots_and_no_more() {
        let full: Vec<String> = ["a", "b", "c", "d", "e", "f", "g", "h"].map(|host| many(host, 8)).into();
        let order = |number: usize| full.iter().map(move |host| host.split(' ').nth(number).unwrap());
        let granted = (0..8).flat_map(order).collect::<Vec<_>>().join(" ");
        check(&format!("{} i0 !", full.join(" ")), &granted.replace("h0", "h0 i0").replace(" h7", ""));
        // The host that holds none has the next, and takes what has been idle for longest.
        let steps = format!("{} ! a8 b8 i0 .c1 ! .c2 .a0 !", full.join(" "));
        check(&steps, &format!("{granted} i0<c1 a8<a0"));
    }

    #[test]
    fn what_waits_is_withdrawn_in_its_order() {
        let mut slots = Slots::default();
        for (number, name) in ["b1", "a1", "a2", "b2", "b3"].iter().enumerate() {
            slots.wait(attempt(name, number as u64), name[..1].into());
        }
        let odd = slots.withdraw(|attempt| attempt.epoch == 1);
        assert_eq!(odd, [AttemptId(1), AttemptId(3)]);
        assert!(slots.has_waiting());
        assert_eq!(slots.withdraw(|_| true), [AttemptId(0), AttemptId(2), AttemptId(4)]);
        assert!(!slots.has_waiting() && slots.grant().is_none());
    }
}
