//! Clients that mean ill.
