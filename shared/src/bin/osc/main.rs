//! osc
fn main() {}
