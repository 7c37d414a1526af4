//! Agents restart and hand over while incidents are open.
