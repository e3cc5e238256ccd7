#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kourou_fuzz::store::operations(data));
