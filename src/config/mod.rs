//! YAML to a validated configuration.
