//! The evaluator and alert loops, and the workers that make attempts: wait, stamp the time, call the model, act
//! on what it returns.

mod alerts;
mod blind;
mod deliver;
mod evaluate;
mod event_sink;
mod events;
mod heartbeat;
mod pace;

pub use alerts::{Inlets as AlertInlets, Outlets as AlertOutlets, Settings, alert};
pub use blind::{BlindSettings, Sights, blind};
pub use deliver::{Lease, Notifiers};
pub use evaluate::evaluate;
pub use event_sink::EventSink;
pub use heartbeat::{Ping, heartbeat};
