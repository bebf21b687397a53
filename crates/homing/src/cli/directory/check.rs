//! `homing directory check`.

use super::{problems, runtime, section};
use crate::cli::{Failure, Global, output};
use crate::config::{AuthMethod, Config};
use directory::ConnectorConfig;
use directory::check::{CheckOptions, Finding, Level, Need, Report, Verdict, check};
use directory::config::MapKind;
use model::SystemClock;
use serde_json::{Value, json};

#[derive(Debug, clap::Args)]
pub(crate) struct CheckArgs {
    /// The connector; without a name all are checked.
    connector: Option<String>,
    /// How many entries of each connector are looked at closely; all are counted.
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    sample: usize,
}

pub(super) fn run(global: &Global, args: &CheckArgs) -> Result<(), Failure> {
    let config = crate::config::load(global.config.as_deref())?;
    let sections: Vec<ConnectorConfig> = match &args.connector {
        None if config.connector.len() > 1 => config.connector.clone(),
        name => vec![section(&config, name.as_deref())?],
    };
    let runtime = runtime()?;
    let clock = SystemClock::new();
    let mut reports = Vec::with_capacity(sections.len());
    for section in &sections {
        let ask = needs(&config, section, args.sample);
        let report = runtime.block_on(check(section, &clock, ask));
        reports.push(report.map_err(|found| problems(&section.name, &found))?);
    }
    let value = Value::Array(reports.iter().map(report_json).collect());
    output::either(global.json, &value, |_| {
        reports.iter().map(report_text).collect::<Vec<_>>().join("\n")
    });
    verdict(&reports)
}

/// What this server uses the connector for.
fn needs(config: &Config, section: &ConnectorConfig, sample: usize) -> CheckOptions {
    let maps = config
        .user_map
        .iter()
        .filter(|map| map.connector.as_deref() == Some(section.name.as_str()));
    let routes = section.clustered || maps.clone().next().is_some();
    let compares_for_proxies = maps.clone().any(|map| map.kind == MapKind::LdapPassword);
    let compares_for_domains = config.domain.iter().any(|domain| {
        let asked = domain
            .connector
            .as_deref()
            .is_none_or(|name| name == section.name);
        asked && domain.auth.contains(&AuthMethod::LdapPassword)
    });
    let need = |needed| if needed { Need::Needed } else { Need::Optional };
    CheckOptions {
        hosts: need(routes),
        passwords: need(compares_for_proxies || compares_for_domains),
        sample,
    }
}

fn verdict(reports: &[Report]) -> Result<(), Failure> {
    let names = |wanted: Verdict| -> Vec<&str> {
        let found = reports.iter().filter(|report| report.verdict() == wanted);
        found.map(|report| report.connector.as_str()).collect()
    };
    let (silent, wrong) = (names(Verdict::NoAnswer), names(Verdict::Wrong));
    if !silent.is_empty() {
        return Err(Failure::Temporary(format!(
            "no server of {} answers",
            silent.join(", ")
        )));
    }
    if !wrong.is_empty() {
        return Err(Failure::Refused(format!(
            "something is wrong with {}",
            wrong.join(", ")
        )));
    }
    Ok(())
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Good => "ok",
        Level::Note => "note",
        Level::Wrong => "WRONG",
    }
}

fn report_text(report: &Report) -> String {
    let mut text = format!("connector {}\n", report.connector);
    for Finding {
        check,
        level,
        text: found,
        remedy,
    } in &report.findings
    {
        text.push_str(&format!("  {:<5}  {check:<11}  {found}\n", word(*level)));
        if let Some(remedy) = remedy {
            text.push_str(&format!("{:22}-> {remedy}\n", ""));
        }
    }
    text
}

fn report_json(report: &Report) -> Value {
    let verdict = match report.verdict() {
        Verdict::Good => "good",
        Verdict::Wrong => "wrong",
        Verdict::NoAnswer => "no-answer",
    };
    let finding = |finding: &Finding| {
        json!({
            "check": finding.check,
            "level": word(finding.level).to_lowercase(),
            "text": finding.text,
            "remedy": finding.remedy,
        })
    };
    json!({
        "connector": report.connector,
        "verdict": verdict,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
    })
}
