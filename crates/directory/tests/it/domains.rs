//! The domains of a directory, as mail servers ask for them.

use super::slapd::{SUFFIX, Slapd};
use super::{clock, config, connect};
use directory::{Connector, DomainAnswer, Domains, DomainsConfig};
use model::{Domain, DomainAliases, ManualClock};
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

fn domain(text: &str) -> Domain {
    Domain::parse(text).expect(text)
}

/// An entry for a domain, outside of where accounts are.
fn add(slapd: &Slapd, name: &str) {
    slapd.modify(&format!(
        "dn: cn={name},ou=Elsewhere,{SUFFIX}\nobjectClass: device\nobjectClass: domainRelatedObject\ncn: {name}\n\
         associatedDomain: {name}\n"
    ));
}

fn domains(connector: &Arc<Connector>, clock: &Arc<ManualClock>) -> Arc<Domains> {
    let config = json!({
        "connector": connector.name(),
        "filter": "(&(objectClass=domainRelatedObject)(associatedDomain=%d))",
        "base_dn": [format!("ou=Elsewhere,{SUFFIX}")],
    });
    let config: DomainsConfig = serde_json::from_value(config).expect("a table");
    let aliases = DomainAliases::new([(domain("old.test"), domain("ours.test"))]);
    Domains::new(&config, Some(Arc::clone(connector)), aliases, clock.clone()).expect("a query")
}

#[tokio::test]
async fn entries_are_domains() {
    let slapd = Slapd::start();
    add(&slapd, "ours.test");
    add(&slapd, "xn--bcher-kva.test");
    let clock = clock();
    let connector = connect(config(&[&slapd]), &clock);
    let domains = domains(&connector, &clock);
    for (name, answer) in [
        ("OURS.test", DomainAnswer::Ours),
        ("bücher.test", DomainAnswer::Ours),
        ("old.test", DomainAnswer::Ours),
        ("sub.ours.test", DomainAnswer::Foreign),
        ("localdomain.test", DomainAnswer::Foreign),
    ] {
        assert_eq!(domains.find(&domain(name)).await, answer, "{name}");
    }
    assert_eq!(domains.first(), None, "entries have no order");
    // A no is remembered for a short while, a yes for longer.
    add(&slapd, "new.test");
    assert_eq!(
        domains.find(&domain("localdomain.test")).await,
        DomainAnswer::Foreign
    );
    assert_eq!(domains.find(&domain("new.test")).await, DomainAnswer::Ours);
    add(&slapd, "localdomain.test");
    assert_eq!(
        domains.find(&domain("localdomain.test")).await,
        DomainAnswer::Foreign
    );
    clock.advance(Duration::from_secs(31));
    assert_eq!(
        domains.find(&domain("localdomain.test")).await,
        DomainAnswer::Ours
    );
}

/// Neither a yes nor a no is guessed; a yes of before holds for a day.
#[tokio::test]
async fn an_outage_makes_no_answer() {
    let mut slapd = Slapd::start();
    add(&slapd, "ours.test");
    let clock = clock();
    let connector = connect(config(&[&slapd]), &clock);
    let domains = domains(&connector, &clock);
    let ask = async |name: &str| domains.find(&domain(name)).await;
    assert_eq!(ask("ours.test").await, DomainAnswer::Ours);
    assert_eq!(ask("other.test").await, DomainAnswer::Foreign);
    slapd.kill();
    clock.advance(Duration::from_secs(3_600));
    assert_eq!(ask("ours.test").await, DomainAnswer::Ours);
    for name in ["other.test", "never.test"] {
        assert!(matches!(ask(name).await, DomainAnswer::Unavailable(_)), "{name}");
    }
    clock.advance(Duration::from_secs(86_400));
    assert!(matches!(ask("ours.test").await, DomainAnswer::Unavailable(_)));
    slapd.restart();
    clock.advance(Duration::from_secs(60));
    assert_eq!(ask("ours.test").await, DomainAnswer::Ours);
    assert_eq!(ask("other.test").await, DomainAnswer::Foreign);
}

/// A place that cannot be read is a fault of the set-up, and no list without domains.
#[tokio::test]
async fn a_base_that_is_not_there_makes_no_answer() {
    let slapd = Slapd::start();
    let clock = clock();
    let connector = connect(config(&[&slapd]), &clock);
    let config = json!({
        "connector": connector.name(), "filter": "(associatedDomain=%d)", "base_dn": [format!("ou=Missing,{SUFFIX}")],
    });
    let config: DomainsConfig = serde_json::from_value(config).expect("a table");
    let aliases = DomainAliases::default();
    let domains = Domains::new(&config, Some(connector), aliases, clock.clone()).expect("a query");
    let answer = domains.find(&domain("ours.test")).await;
    assert!(matches!(answer, DomainAnswer::Unavailable(_)), "{answer:?}");
}
