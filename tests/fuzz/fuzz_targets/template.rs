#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zk_monitor::config::fuzz::template(bytes));
