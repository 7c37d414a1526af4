//! Why the election cannot go on, and tries again after a while.

use zookeeper::ZkError;

use crate::zk::client::{Answer, describe, is_over};

/// A reason to try again after a while.
pub enum Trouble {
    /// The session is over; there will be another.
    Over,
    /// A znode of ours went between two calls.
    Vanished,
    /// The server refuses, or something is in the way.
    Refused(String),
}

/// What was refused, so that this agent does not take part.
pub fn refused(what: &str, error: ZkError) -> Trouble {
    if is_over(error) {
        return Trouble::Over;
    }
    let reason =
        if error == ZkError::NoNode { "its parent does not exist".to_owned() } else { describe(error) };
    Trouble::Refused(format!("{what}: {reason}; this agent watches and serves, and sends no alerts"))
}

/// An answer about a znode of ours, which may have gone between two calls. There is no other way to make trouble of an
/// error: whoever reads that something was refused has to know of which znode.
pub trait About<T> {
    fn about(self, znode: &str) -> Result<T, Trouble>;
}

impl<T> About<T> for Answer<T> {
    fn about(self, znode: &str) -> Result<T, Trouble> {
        self.map_err(|error| {
            if error == ZkError::NoNode {
                return Trouble::Vanished;
            }
            refused(&format!("cannot use {znode}"), error)
        })
    }
}

pub fn absent_is_fine(answer: Answer<()>) -> Answer<()> {
    if let Err(ZkError::NoNode) = answer { Ok(()) } else { answer }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_of_which_znode() {
        let trouble = |error| Err::<(), _>(error).about("/zk/locks").expect_err("trouble");
        let Trouble::Refused(reason) = trouble(ZkError::NoAuth) else { panic!("no refusal") };
        assert!(reason.starts_with("cannot use /zk/locks: NoAuth; "), "{reason}");
        assert!(matches!(trouble(ZkError::NoNode), Trouble::Vanished));
        assert!(matches!(trouble(ZkError::ConnectionLoss), Trouble::Over));
    }
}
