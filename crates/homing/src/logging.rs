//! Log lines to standard error, as text for people or JSON for programs.

use crate::config::{LogConfig, LogFormat};
use std::fmt;
use tracing_subscriber::EnvFilter;

/// Changes the level while the server runs.
pub(crate) struct LogLevel(Box<dyn Fn(EnvFilter) -> Result<(), String> + Send + Sync>);

impl LogLevel {
    /// From now on this level holds.
    pub(crate) fn set(&self, level: &str) -> Result<(), String> {
        (self.0)(filter(level))
    }
}

impl fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LogLevel")
    }
}

/// Starts logging for the whole process; `serve` calls it once.
pub(crate) fn start(config: &LogConfig) -> LogLevel {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(&config.level))
        .with_writer(std::io::stderr);
    match config.format {
        LogFormat::Text => {
            let builder = builder.with_ansi(false).with_filter_reloading();
            let handle = builder.reload_handle();
            builder.init();
            LogLevel(Box::new(move |filter| {
                handle.reload(filter).map_err(|error| error.to_string())
            }))
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_filter_reloading();
            let handle = builder.reload_handle();
            builder.init();
            LogLevel(Box::new(move |filter| {
                handle.reload(filter).map_err(|error| error.to_string())
            }))
        }
    }
}

/// The level was checked with the configuration. The engine tells of every file that it makes.
fn filter(level: &str) -> EnvFilter {
    let quiet = format!("fjall=warn,lsm_tree=warn,{level}");
    EnvFilter::try_new(quiet).unwrap_or_else(|_| EnvFilter::new("info"))
}
