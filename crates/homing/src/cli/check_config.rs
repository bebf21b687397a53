//! `homing check-config`.

use super::{Failure, Global, output};
use serde_json::json;

pub(crate) fn run(global: &Global) -> Result<(), Failure> {
    let config = crate::config::load(global.config.as_deref())?;
    crate::app::check(&config)?;
    let file = config.path.as_ref().map(|path| path.display().to_string());
    let value = json!({ "ok": true, "file": file, "services": config.service_names() });
    output::either(global.json, &value, |_| match file {
        Some(file) => format!("{file}: no problems"),
        None => "no configuration file; the built-in defaults hold".to_owned(),
    });
    Ok(())
}
