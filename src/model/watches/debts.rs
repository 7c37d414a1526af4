//! What is owed: which inputs wait for readings.

use std::collections::BTreeMap;

/// The place of an input in the order in which inputs came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seq(u64);

/// One reading that is owed for an input. It cannot be copied, and [`Debts::pay`] takes it: no debt is paid twice.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a debt that is dropped is never paid, and no fence passes"]
pub(super) struct Debt(Seq);

impl Debt {
    pub(super) fn seq(&self) -> Seq {
        self.0
    }
}

/// How many readings are owed for each input.
#[derive(Debug, Default)]
pub(super) struct Debts {
    last: u64,
    owed: BTreeMap<Seq, u32>,
}

impl Debts {
    /// The number of an input that comes now.
    pub(super) fn next(&mut self) -> Seq {
        self.last += 1;
        Seq(self.last)
    }

    pub(super) fn owe(&mut self, seq: Seq) -> Debt {
        *self.owed.entry(seq).or_default() += 1;
        Debt(seq)
    }

    pub(super) fn pay(&mut self, Debt(seq): Debt) {
        if let Some(count) = self.owed.get_mut(&seq) {
            *count -= 1;
            if *count == 0 {
                self.owed.remove(&seq);
            }
        }
    }

    /// One reading that answers both.
    pub(super) fn merge(&mut self, one: Debt, other: Debt) -> Debt {
        let (earlier, later) = if one.0 <= other.0 { (one, other) } else { (other, one) };
        self.pay(later);
        earlier
    }

    /// How many readings are owed for this input and earlier ones.
    pub(super) fn owed(&self, seq: Seq) -> u64 {
        self.owed.range(..=seq).map(|(_, count)| u64::from(*count)).sum()
    }

    /// Whether nothing is owed for this input or an earlier one.
    pub(super) fn is_paid(&self, seq: Seq) -> bool {
        self.owed.first_key_value().is_none_or(|(first, _)| *first > seq)
    }
}
