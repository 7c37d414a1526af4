//! Agents that may not, or cannot, do all they want.
