//! `homing serve`.

use super::{Failure, Global};

pub(crate) fn run(global: &Global) -> Result<(), Failure> {
    let config = crate::config::load(global.config.as_deref())?;
    crate::process::use_small_pages();
    if config.holds_accounts() {
        crate::process::keep_little_memory();
    }
    let inherited = crate::app::inherited()?;
    let level = crate::logging::start(&config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Refused(format!("cannot start: {error}")))?;
    runtime.block_on(crate::app::run(config, level, inherited))
}
