//! `homing check-config`: what is wrong is a failure; what is allowed and perhaps not meant is a note.

use super::{Failure, Global, output};
use serde_json::json;

pub(crate) fn run(global: &Global) -> Result<(), Failure> {
    let config = crate::config::load(global.config.as_deref())?;
    crate::app::check(&config)?;
    let file = config.path.as_ref().map(|path| path.display().to_string());
    let notes = config.notes.as_deref();
    let rows = notes.map(crate::config::ConfigErrors::rows).unwrap_or_default();
    let value = json!({ "ok": true, "file": file, "services": config.service_names(), "notes": rows });
    let lines: String = notes
        .map(crate::config::ConfigErrors::lines)
        .unwrap_or_default()
        .into_iter()
        .map(|line| format!("note: {line}\n"))
        .collect();
    output::either(global.json, &value, |_| match file {
        Some(file) => format!("{lines}{file}: no problems"),
        None => "no configuration file; the built-in defaults hold".to_owned(),
    });
    Ok(())
}
