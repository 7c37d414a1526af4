#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| zk_monitor::notify::fuzz::http_answer(bytes));
