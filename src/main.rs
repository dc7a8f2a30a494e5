//! The `framewall` command.

fn main() {}
