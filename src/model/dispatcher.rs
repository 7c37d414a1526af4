//! placeholder
pub mod effect;
pub use effect::*;
/// x
pub const STORM: usize = 50;
