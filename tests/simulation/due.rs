//! What is to happen, in the order of virtual time.

use crate::world::Millis;

/// When, as the how manyth that was planned, and what.
#[derive(Debug)]
pub struct Due<E>(pub Millis, pub u64, pub E);

impl<E> PartialEq for Due<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl<E> Eq for Due<E> {}
impl<E> PartialOrd for Due<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl<E> Ord for Due<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}
