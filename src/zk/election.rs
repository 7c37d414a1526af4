//! placeholder
use super::client::Client;
use std::sync::Arc;
use std::time::Duration;
/// What the election hears.
pub enum Input {
    /// A new generation and its session timeout.
    Up(Client, Duration),
    /// A generation is over.
    Down {
        /// Which.
        generation: u64,
    },
    /// A watch fired.
    Rang {
        /// On which generation.
        generation: u64,
        /// For which znode.
        path: Arc<str>,
    },
}
