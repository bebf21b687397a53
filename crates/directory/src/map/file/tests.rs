//! The file format, line by line, and its reloading.

use super::*;
use model::{Address, Domain, DomainAliases, ManualClock};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

const FILE: &str = "\u{23} homes of example.test
*                       reject
/^[a-m].*@example\\.test$/  store1.example.test
/ .*x/                  never.example.test
/^a/                    late.example.test
@sub.example.test       store2.example.test:143
alice@example.test      Store3.Example.Test.   # on leave

\"odd one\"@sub.example.test  store4
";

fn address(text: &str) -> Address {
    Address::parse(text).expect(text)
}

fn found(table: &Table, text: &str) -> Option<(String, String)> {
    let found = table.find(&address(text))?;
    let target = match found.target {
        Target::Home(home) => home.to_string(),
        Target::Reject => "reject".to_owned(),
    };
    Some((found.rule.to_string(), target))
}

#[test]
fn order_of_the_rules() {
    // A quoted local-part with a space cannot be written in this format; the line says so.
    let errors = Table::parse(FILE.as_bytes()).expect_err("an address with a space");
    assert_eq!(errors.len(), 1);
    assert_eq!(errors[0].line, 9);
    let table =
        Table::parse(FILE.lines().take(8).collect::<Vec<_>>().join("\r\n").as_bytes()).expect("a table");
    let table_of = |text, rule: &str, home: &str| {
        assert_eq!(
            found(&table, text),
            Some((rule.to_owned(), home.to_owned())),
            "{text}"
        );
    };
    table_of("alice@example.test", "alice@example.test", "store3.example.test");
    table_of("ALICE@example.TEST", "alice@example.test", "store3.example.test");
    table_of(
        "alice+news@example.test",
        "alice@example.test",
        "store3.example.test",
    );
    table_of(
        "zoe@sub.example.test",
        "@sub.example.test",
        "store2.example.test:143",
    );
    table_of(
        "Bob@example.test",
        "/^[a-m].*@example\\.test$/",
        "store1.example.test",
    );
    table_of("anna@other.test", "/^a/", "late.example.test");
    table_of("zoe@example.test", "*", "reject");
    assert_eq!(table.len(), 6);
    assert_eq!(table.homes_with_port().count(), 1);
    assert_eq!(found(&Table::parse(b"").expect("empty"), "a@b.test"), None);
}

#[test]
fn errors_name_the_line() {
    for (text, line, part) in [
        ("alice@example.test", 1, "two parts"),
        ("\n\nalice@example.test a b", 3, "two parts"),
        ("alice s1", 1, "not an address"),
        ("@ s1", 1, "@"),
        ("@a..b s1", 1, "host name"),
        ("/(/ s1", 1, "not a regular expression"),
        ("// s1", 1, "not an address"),
        ("a@b.test s1:99999", 1, "not a home"),
        ("a@b.test s1\nA@B.test s2", 2, "another rule for a@b.test"),
        ("@b.test s1\n@B.test s2", 2, "another rule for @b.test"),
        ("* s1\n* s2", 2, "another rule for *"),
        ("# ok\n\u{e9}\u{e9} s1", 2, "not an address"),
    ] {
        let errors = Table::parse(text.as_bytes()).expect_err(text);
        assert_eq!(errors[0].line, line, "{text}");
        assert!(errors[0].to_string().contains(part), "{text}: {}", errors[0]);
    }
    let errors = Table::parse(b"a@b.test s1\n\xff\xfe s1\n").expect_err("not UTF-8");
    assert_eq!(
        (errors[0].line, errors[0].message.as_str()),
        (2, "the line is not UTF-8")
    );
    let errors = Table::parse("x\n".repeat(1000).as_bytes()).expect_err("bad lines");
    assert_eq!(errors.len(), 20, "the list of errors is bounded");
}

#[test]
fn a_rule_for_an_alias_domain_is_an_error_with_its_line() {
    let domain = |text: &str| Domain::parse(text).expect(text);
    let aliases = DomainAliases::new([(domain("old.test"), domain("new.test"))]);
    let text = b"a@new.test one\nb@OLD.test one\n@old.test two\n";
    let errors = Table::parse_for(text, &aliases).expect_err("rules that nobody asks for");
    let lines: Vec<usize> = errors.iter().map(|error| error.line).collect();
    assert_eq!(lines, [2, 3], "{errors:?}");
    assert!(errors[0].message.contains("new.test"), "{}", errors[0]);
}

#[tokio::test]
async fn an_address_in_an_alias_domain_is_found_by_the_rule_of_the_main_one() {
    let domain = |text: &str| Domain::parse(text).expect(text);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("map");
    std::fs::write(&path, "a@new.test one\n/^c@new/ two\n").expect("write");
    let aliases = DomainAliases::new([(domain("old.test"), domain("new.test"))]);
    let map = FileMap::open(path, aliases, Arc::new(ManualClock::default())).expect("a map");
    for (asked, rule) in [
        ("a@old.test", Some("a@new.test")),
        ("A+x@old.test", Some("a@new.test")),
        ("c@old.test", Some("/^c@new/")),
        ("b@old.test", None),
    ] {
        let found = map
            .find(&address(asked))
            .await
            .map(|found| found.rule.to_string());
        assert_eq!(found.as_deref(), rule, "{asked}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn parsing_never_panics(text in "([a@/*# .:\\[\\](-z]{0,30}\n){0,6}") {
        if let Ok(table) = Table::parse(text.as_bytes()) {
            let _ = table.find(&address("a@b.test"));
        }
    }
}

#[tokio::test]
async fn reloads_and_keeps_the_old_table_when_the_new_one_is_bad() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("map");
    let clock = Arc::new(ManualClock::default());
    let tick = || clock.advance(Duration::from_secs(2));
    std::fs::write(&path, "a@b.test one\n").expect("write");
    let map = FileMap::open(path.clone(), DomainAliases::default(), clock.clone()).expect("a map");
    let home = async || match map.find(&address("a@b.test")).await.map(|found| found.target) {
        Some(Target::Home(home)) => home.to_string(),
        other => format!("{other:?}"),
    };
    assert_eq!(home().await, "one");
    std::fs::write(&path, "a@b.test another\n").expect("write");
    assert_eq!(home().await, "one", "the file is looked at once a second at most");
    tick();
    assert_eq!(home().await, "another");
    std::fs::write(&path, "a@b.test another\nbad\n").expect("write");
    tick();
    assert_eq!(home().await, "another");
    let problem = map.problem().expect("reported");
    assert!(problem.contains("line 2"), "{problem}");
    std::fs::remove_file(&path).expect("remove");
    tick();
    assert_eq!(home().await, "another");
    std::fs::write(&path, "a@b.test third\n").expect("write");
    tick();
    assert_eq!(home().await, "third");
    assert_eq!(map.problem(), None);
}
