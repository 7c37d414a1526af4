#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zk_monitor::journal::fuzz::lines(bytes));
