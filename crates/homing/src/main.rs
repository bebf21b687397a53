//! The one binary: `homing serve` and the command line.
//!
//! Owns the configuration file, the wiring of the parts, and what is typed and printed. The only place that
//! reads configuration; holds no logic of mail or directories of its own.

mod app;
mod cli;
mod config;
mod logging;
mod process;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(cli::run().code())
}
