//! `homing serve`.

use super::{Failure, Global};

pub(crate) fn run(global: &Global) -> Result<(), Failure> {
    let config = crate::config::load(global.config.as_deref())?;
    crate::process::use_small_pages();
    let mut kept = Ok(());
    if config.holds_accounts() && config.can_be_read_again() {
        kept = crate::process::keep_little_memory();
    }
    let inherited = crate::app::inherited()?;
    let level = crate::logging::start(&config.log);
    if let Err(error) = kept {
        tracing::warn!(%error, "cannot begin anew with MIMALLOC_PURGE_DELAY set: free memory is kept for longer");
    }
    config.log_notes();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Refused(format!("cannot start: {error}")))?;
    runtime.block_on(crate::app::run(config, level, inherited))
}
