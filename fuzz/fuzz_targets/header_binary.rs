#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| kourou_fuzz::proto::header_binary(data));
