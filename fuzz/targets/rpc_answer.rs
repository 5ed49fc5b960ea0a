//! Answers as a broken or dishonest node may give them. None brings their reading or the checks down.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| runproof_indexer::fuzzed::read(body));
