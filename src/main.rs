//! runproof
fn main() {}
