//! `homing directory check`.

use super::{problems, runtime, section};
use crate::cli::client::Client;
use crate::cli::{Failure, Global, output};
use crate::config::{AuthMethod, Config};
use directory::ConnectorConfig;
use directory::check::{CheckOptions, Finding, Level, Need, Report, Verdict, check};
use directory::config::MapKind;
use model::SystemClock;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Domains that one line names.
const NAMED: usize = 5;

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
    if config.holds_accounts() {
        let known = Known::ask(global, &config);
        for (section, report) in sections.iter().zip(&mut reports) {
            report.findings.extend(foreign(section, &report.domains, &known));
        }
    }
    let value = Value::Array(reports.iter().map(report_json).collect());
    output::either(global.json, &value, |_| {
        reports.iter().map(report_text).collect::<Vec<_>>().join("\n")
    });
    verdict(&reports)
}

/// The domains of this server, as far as they can be known.
struct Known {
    domains: BTreeSet<String>,
    /// Whether the running server was asked, which may have been given more than the configuration says.
    asked: bool,
}

impl Known {
    fn ask(global: &Global, config: &Config) -> Self {
        let configured = config
            .domain
            .iter()
            .flat_map(|domain| std::iter::once(&domain.name).chain(&domain.aliases));
        let mut domains: BTreeSet<String> = configured.map(|name| name.to_string().to_lowercase()).collect();
        let told = Client::new(global).and_then(|client| client.get("/v1/domains"));
        let asked = told.is_ok();
        let rows = told.unwrap_or_default();
        let names = rows.as_array().into_iter().flatten();
        domains.extend(names.filter_map(|row| Some(row.get("name")?.as_str()?.to_lowercase())));
        Self { domains, asked }
    }
}

/// What is said of entries that a domain of this server would be needed for.
fn foreign(section: &ConnectorConfig, found: &BTreeMap<String, usize>, known: &Known) -> Option<Finding> {
    // Entries of other domains than the connector's own are not meant.
    let own = |domain: &str| {
        section.domains.is_empty()
            || section
                .domains
                .iter()
                .any(|name| name.to_string().eq_ignore_ascii_case(domain))
    };
    let meant: Vec<(&String, &usize)> = found.iter().filter(|(domain, _)| own(domain)).collect();
    let all: usize = meant.iter().map(|(_, count)| **count).sum();
    let mut missing = meant;
    missing.retain(|(domain, _)| !known.domains.contains(*domain));
    let (first, _) = missing.first()?;
    let count: usize = missing.iter().map(|(_, count)| **count).sum();
    let names: Vec<String> = missing
        .iter()
        .take(NAMED)
        .map(|(domain, count)| format!("{domain} ({count})"))
        .collect();
    let more = if missing.len() > NAMED { ", ..." } else { "" };
    let told = match known.asked {
        true => "",
        false => "; the server does not run, so that its own list of domains was not looked at",
    };
    let level = match known.asked && count == all {
        true => Level::Wrong,
        false => Level::Note,
    };
    Some(Finding {
        check: "domain",
        level,
        text: format!(
            "{count} of {all} entries are of no domain of this server and are set aside: {}{more}{told}",
            names.join(", ")
        ),
        remedy: Some(format!(
            "homing domain create {first}, or a [[domain]] of that name; or say in domains of this connector which are meant"
        )),
    })
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

#[cfg(test)]
mod tests {
    use super::{Known, foreign};
    use directory::ConnectorConfig;
    use directory::check::Level;
    use std::collections::BTreeMap;

    #[test]
    fn entries_of_no_domain_of_this_server_are_told_with_what_to_type() {
        let mut section = ConnectorConfig::openldap(
            "corp",
            vec!["ldap://127.0.0.1".to_owned()],
            vec!["dc=t".to_owned()],
        );
        let found = BTreeMap::from([("a.test".to_owned(), 300), ("b.test".to_owned(), 10)]);
        let known = |domains: &[&str], asked| Known {
            domains: domains.iter().map(|name| (*name).to_owned()).collect(),
            asked,
        };
        assert!(foreign(&section, &found, &known(&["a.test", "b.test"], true)).is_none());
        let nothing = foreign(&section, &found, &known(&[], true)).expect("a finding");
        assert_eq!(nothing.level, Level::Wrong);
        assert!(nothing.text.starts_with("310 of 310 entries"), "{}", nothing.text);
        assert!(
            nothing
                .remedy
                .expect("a remedy")
                .contains("homing domain create a.test")
        );
        let one = foreign(&section, &found, &known(&["a.test"], true)).expect("a finding");
        assert_eq!(one.level, Level::Note);
        assert!(
            one.text.contains("10 of 310") && one.text.contains("b.test (10)"),
            "{}",
            one.text
        );
        let silent = foreign(&section, &found, &known(&[], false)).expect("a finding");
        assert_eq!(silent.level, Level::Note);
        assert!(silent.text.contains("does not run"), "{}", silent.text);
        section.domains = vec![model::Domain::parse("a.test").expect("a domain")];
        assert!(foreign(&section, &found, &known(&["a.test"], true)).is_none());
    }
}
