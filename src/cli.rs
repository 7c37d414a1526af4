//! The argument vector.
