//! What receivers are told, and how it gets there.

mod alertmanager;
mod blind;
mod held;
mod http;
mod mail;
mod mail_server_down;
mod many_receivers;
mod messages;
mod named;
mod storm;
mod who_is_told;
