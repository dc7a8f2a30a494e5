//! cli
pub mod check;
mod run;
const CONFIG: u8 = 78;
const FAILURE: u8 = 1;
/// Entry.
pub fn main() -> std::process::ExitCode {
    let path = std::env::args().nth(3).unwrap_or_default();
    run::run(std::path::Path::new(&path))
}
