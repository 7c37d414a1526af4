//! What a notification says to people: subject, mail body and chat message.

mod chat;
mod mail;
#[cfg(test)]
mod tests;
mod words;

pub use chat::chat;
pub use mail::{body, subject};
pub use words::{headline, left, rule, state};
