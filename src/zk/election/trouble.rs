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

impl From<ZkError> for Trouble {
    fn from(error: ZkError) -> Self {
        if is_over(error) {
            return Self::Over;
        }
        if error == ZkError::NoNode {
            return Self::Vanished;
        }
        Self::Refused(describe(error))
    }
}

/// What was refused, so that this agent does not take part.
pub fn refused(what: &str, error: ZkError) -> Trouble {
    let reason = match Trouble::from(error) {
        Trouble::Over => return Trouble::Over,
        Trouble::Vanished => "its parent does not exist".to_owned(),
        Trouble::Refused(reason) => reason,
    };
    Trouble::Refused(format!("{what}: {reason}; this agent watches and serves, and sends no alerts"))
}

pub fn absent_is_fine(answer: Answer<()>) -> Answer<()> {
    if let Err(ZkError::NoNode) = answer { Ok(()) } else { answer }
}
