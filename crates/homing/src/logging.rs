//! Log lines to standard error, as text for people or JSON for programs.

use crate::config::{LogConfig, LogFormat};
use tracing_subscriber::EnvFilter;

/// Starts logging for the whole process; `serve` calls it once.
pub(crate) fn start(config: &LogConfig) {
    // The level was checked with the configuration. The engine tells of every file that it makes.
    let quiet = format!("fjall=warn,lsm_tree=warn,{}", config.level);
    let filter = EnvFilter::try_new(quiet).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
}
