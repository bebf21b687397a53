//! The static form: the text of `slapd.conf` (slapd.conf(5), slapd-mdb(5), slapo-syncprov(5), slapo-memberof(5)).

use super::content::{self, Rule, Setting, Value};
use super::{SetupError, SetupOptions};
use std::fmt::Write as _;

pub(super) fn text(options: &SetupOptions) -> Result<String, SetupError> {
    let mut out = String::from(
        "# Written by `homing directory init --static`. It holds password hashes: keep it readable by slapd only.\n",
    );
    let platform = &options.platform;
    for schema in content::SCHEMAS {
        let file = platform.schema_dir.join(format!("{schema}.schema"));
        line(&mut out, "include", &super::word(&file)?);
    }
    line(
        &mut out,
        "include",
        &super::word(&options.output_dir.join("homing.schema"))?,
    );
    out.push('\n');
    if let Some(module_dir) = &platform.module_dir {
        line(&mut out, "modulepath", &super::word(module_dir)?);
    }
    for module in content::modules(options) {
        line(&mut out, "moduleload", module);
    }
    out.push('\n');
    settings(&mut out, &content::global(options))?;
    settings(&mut out, &content::shared())?;
    rules(&mut out, &content::root_access());
    line(&mut out, "database", "config");
    rules(&mut out, &content::config_access(options));
    line(&mut out, "database", "mdb");
    settings(&mut out, &content::database(options))?;
    for overlay in content::overlays(options) {
        line(&mut out, "overlay", overlay.name);
        settings(&mut out, &overlay.settings)?;
    }
    rules(&mut out, &content::access(options));
    Ok(out)
}

fn settings(out: &mut String, settings: &[Setting]) -> Result<(), SetupError> {
    for setting in settings {
        let value = match &setting.value {
            Value::Dn(dn) => quoted(dn),
            Value::Path(file) => super::word(file)?,
            Value::Words(words) => words.clone(),
        };
        line(out, setting.keyword, &value);
    }
    out.push('\n');
    Ok(())
}

fn rules(out: &mut String, rules: &[Rule]) {
    for rule in rules {
        line(out, "access to", rule.what);
        for by in &rule.by {
            // A line that starts with white space goes on with the one before.
            line(out, "\tby", by);
        }
    }
    out.push('\n');
}

fn line(out: &mut String, keyword: &str, value: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{keyword} {value}");
}

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
