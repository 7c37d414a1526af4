//! What the program does besides running as a daemon: one question or errand, and an exit code.

mod check;
mod explain;
mod load;
mod number;
mod once;
mod replay;
mod silence;
mod suggest;
mod test_alert;
mod watched;

pub use check::check_config;
pub use explain::explain;
pub use once::once;
pub use replay::replay;
pub use silence::{silence, silences, unsilence};
pub use suggest::suggest;
pub use test_alert::test_alert;
