//! `/status` and what else is served over HTTP.
