//! Keys of `[[connector]]`, each seen to be obeyed.

use super::checking::report;
use super::live::Live;
use super::slapd::{SUFFIX, Slapd};
use super::{address, clock, config, connect};
use bytes::{Bytes, BytesMut};
use directory::check::Level;
use directory::config::{ConnectorTls, SearchScope};
use directory::feed::{self, FeedError, FeedEvent, Step};
use directory::{Connector, ConnectorConfig, Lookup};
use ldap::control::PagedResults;
use ldap::message::{Frame, Message, Request, Response, frame};
use ldap::{LdapResult, ResultCode};
use model::{Domain, DomainAliases};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

async fn uid(lookup: Lookup) -> String {
    match lookup {
        Lookup::Found(found) => found.dn.split([',', '=']).nth(1).unwrap_or_default().to_owned(),
        Lookup::NotFound => "none".to_owned(),
        other => format!("{other:?}"),
    }
}

async fn by_address(connector: &Connector, text: &str) -> String {
    uid(connector.lookup_address(&address(text)).await).await
}

/// Everything that a feed brings of the scope, or why it ends.
async fn everything(config: &ConnectorConfig) -> Result<BTreeSet<String>, FeedError> {
    let mut source = feed::open(&connect(config.clone(), &clock()));
    let mut changes = source.poll(None).await?;
    let mut names = BTreeSet::new();
    while let Some(step) = changes.next().await {
        if let Step::Changes(list) = step? {
            names.extend(list.iter().filter_map(|change| match change {
                feed::Change::Entry(entry) if entry.kind.is_some() => {
                    Some(entry.entry.first_str("cn").unwrap_or_default().to_owned())
                }
                _ => None,
            }));
        }
    }
    Ok(names)
}

#[tokio::test]
async fn scope_class_and_filter_say_which_entries_count() {
    let slapd = Slapd::start();
    slapd.person("anna", "employeeType: staff\n");
    slapd.person("bert", "employeeType: left\n");
    slapd.modify(&format!(
        "dn: ou=Deep,ou=Users,{SUFFIX}\nobjectClass: organizationalUnit\nou: Deep\n"
    ));
    slapd.modify(&format!(
        "dn: uid=carl,ou=Deep,ou=Users,{SUFFIX}\nobjectClass: inetOrgPerson\nuid: carl\ncn: carl\nsn: carl\n\
         mail: carl@localdomain.test\n"
    ));
    slapd.modify(&format!(
        "dn: uid=dora,ou=Users,{SUFFIX}\nobjectClass: account\nobjectClass: extensibleObject\nuid: dora\ncn: dora\n\
         mail: dora@localdomain.test\n"
    ));
    for (cn, class, member) in [
        ("team", "groupOfNames", "member"),
        ("old", "groupOfNames", "member"),
        ("unique", "groupOfUniqueNames", "uniqueMember"),
    ] {
        slapd.modify(&format!(
            "dn: cn={cn},ou=Groups,{SUFFIX}\nobjectClass: {class}\nobjectClass: extensibleObject\ncn: {cn}\n\
             mail: {cn}@localdomain.test\n{member}: uid=anna,ou=Users,{SUFFIX}\n"
        ));
    }
    slapd.modify(&format!(
        "dn: ou=Deep,ou=Groups,{SUFFIX}\nobjectClass: organizationalUnit\nou: Deep\n\n\
         dn: cn=deep,ou=Deep,ou=Groups,{SUFFIX}\nobjectClass: groupOfNames\nobjectClass: extensibleObject\ncn: deep\n\
         mail: deep@localdomain.test\nmember: uid=anna,ou=Users,{SUFFIX}\n"
    ));
    type Edit = fn(&mut ConnectorConfig);
    let cases: [(&str, Edit, &[&str]); 8] = [
        (
            "defaults",
            |_| (),
            &["anna", "bert", "carl", "team", "old", "deep"],
        ),
        (
            "accounts.scope",
            |config| config.accounts.scope = SearchScope::One,
            &["anna", "bert", "team", "old", "deep"],
        ),
        (
            "accounts.filter",
            |config| config.accounts.filter = Some("(!(employeeType=left))".to_owned()),
            &["anna", "carl", "team", "old", "deep"],
        ),
        (
            "accounts.object_class",
            |config| config.accounts.object_class = Some("account".to_owned()),
            &["dora", "team", "old", "deep"],
        ),
        (
            "groups.scope",
            |config| config.groups.scope = SearchScope::One,
            &["anna", "bert", "carl", "team", "old"],
        ),
        (
            "groups.filter",
            |config| config.groups.filter = Some("(!(cn=old))".to_owned()),
            &["anna", "bert", "carl", "team", "deep"],
        ),
        (
            "groups.object_class",
            |config| config.groups.object_class = Some("groupOfUniqueNames".to_owned()),
            &["anna", "bert", "carl", "unique"],
        ),
        (
            "groups.base_dn",
            |config| config.groups.base_dn.clear(),
            &["anna", "bert", "carl"],
        ),
    ];
    let all = ["anna", "bert", "carl", "dora", "team", "old", "deep", "unique"];
    for (key, edit, expected) in cases {
        let mut config = config(&[&slapd]);
        edit(&mut config);
        let connector = connect(config.clone(), &clock());
        for name in all {
            let found = by_address(&connector, &format!("{name}@localdomain.test")).await;
            let wanted = if expected.contains(&name) { name } else { "none" };
            assert_eq!(found, wanted, "{key}");
        }
        let fed = everything(&config).await.expect("a feed");
        let expected: BTreeSet<String> = expected.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(fed, expected, "{key}");
    }
}

#[tokio::test]
async fn what_a_login_is_completed_with_and_compared_with() {
    let slapd = Slapd::start();
    slapd.person("anna", "employeeNumber: 17\n");
    let mut config = config(&[&slapd]);
    config.domains = ["localdomain.test", "other.test"]
        .map(|name| Domain::parse(name).expect(name))
        .into();
    config.login_pattern = Some("(mail=%e)".to_owned());
    let login = async |config: &ConnectorConfig, text: &str| {
        uid(connect(config.clone(), &clock()).lookup_login(text).await).await
    };
    assert_eq!(login(&config, "anna").await, "none", "nobody says which domain");
    config.default_domain = Domain::parse("localdomain.test").ok();
    assert_eq!(login(&config, "anna").await, "anna");
    config.default_domain = Domain::parse("other.test").ok();
    assert_eq!(login(&config, "anna").await, "none");
    // One pattern for both.
    config.login_pattern = None;
    config.search_pattern = Some("(employeeNumber=%u)".to_owned());
    assert_eq!(login(&config, "17").await, "anna");
    let connector = connect(config, &clock());
    assert_eq!(by_address(&connector, "17@localdomain.test").await, "anna");
    assert_eq!(by_address(&connector, "anna@localdomain.test").await, "none");
}

fn with_aliases(slapd: &Slapd) -> ConnectorConfig {
    let domain = |text: &str| Domain::parse(text).expect(text);
    let mut config = config(&[slapd]);
    config.domain_aliases = DomainAliases::new([(domain("old.test"), domain("localdomain.test"))]);
    config
}

#[tokio::test]
async fn alias_domains_are_tried_when_asked_to() {
    let slapd = Slapd::start();
    slapd.person("anna", "description: h1\n");
    slapd.modify(&format!(
        "dn: uid=bert,ou=Users,{SUFFIX}\nobjectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\nuid: bert\n\
         cn: bert\nsn: bert\nmail: bert@old.test\nmailLocalAddress: b@old.test\nmailLocalAddress: @old.test\n\
         description: h2\nuserPassword: secret\n"
    ));
    let mut config = with_aliases(&slapd);
    for (tries, expected) in [
        (false, ["anna", "none", "none", "none"]),
        (true, ["anna", "bert", "bert", "bert"]),
    ] {
        config.search_domain_aliases = tries;
        let connector = connect(config.clone(), &clock());
        let folder = tempfile::tempdir().expect("a folder");
        let live = Live::start(config.clone(), folder.path());
        live.until("anna@localdomain.test", "h1 live").await;
        for (name, expected) in ["anna", "bert", "b", "whoever"].iter().zip(expected) {
            let home = match expected {
                "anna" => "h1 live",
                "bert" => "h2 live",
                _ => "no",
            };
            for domain in ["localdomain.test", "old.test"] {
                let text = format!("{name}@{domain}");
                assert_eq!(by_address(&connector, &text).await, expected, "{text} {tries}");
                assert_eq!(live.say(&text).await, home, "{text} {tries}");
            }
        }
        live.stop().await;
        if tries {
            let Lookup::Found(bert) = connector.lookup_login("bert@localdomain.test").await else {
                panic!("bert logs in by the main domain");
            };
            assert_eq!(bert.address, address("bert@localdomain.test"));
            assert_eq!(bert.aliases, [address("b@localdomain.test")]);
        }
    }
}

#[tokio::test]
async fn more_than_max_results_is_an_error_and_never_a_part() {
    let slapd = Slapd::start();
    for uid in ["anna", "bert", "carl"] {
        slapd.person(
            uid,
            "mailHost: store1.test\nuserPassword: secret\ndescription: h1\n",
        );
    }
    let mut config = config(&[&slapd]);
    config.max_results = 3;
    assert_eq!(everything(&config).await.map(|names| names.len()), Ok(3));
    let folder = tempfile::tempdir().expect("a folder");
    let live = Live::start(config.clone(), folder.path());
    live.until("carl@localdomain.test", "h1 live").await;
    live.stop().await;
    config.max_results = 2;
    let error = everything(&config).await.expect_err("too many");
    assert!(
        matches!(&error, FeedError::Protocol(text) if text.contains("max_results")),
        "{error}"
    );
    let connector = connect(config.clone(), &clock());
    let mut source = feed::open(&connector);
    let mut following = source.follow(None).await.expect("it begins");
    let last = loop {
        match following.next().await {
            Some(Ok(FeedEvent::Refreshing(_))) => {}
            other => break other,
        }
    };
    assert!(
        matches!(&last, Some(Err(FeedError::Protocol(text))) if text.contains("max_results")),
        "{last:?}"
    );
    assert!(following.next().await.is_none(), "nothing follows an error");
    let found = report(&config).await;
    let told = |finding: &directory::check::Finding| {
        finding.check == "limits" && finding.level == Level::Wrong && finding.text.contains("max_results = 2")
    };
    assert!(found.findings.iter().any(told), "{:#?}", found.findings);
    // Lookups of one entry have nothing to do with it.
    assert_eq!(by_address(&connector, "anna@localdomain.test").await, "anna");
}

#[tokio::test]
async fn a_failed_server_is_left_alone_for_the_retry_interval() {
    let mut slapd = Slapd::start();
    slapd.person("anna", "");
    let mut config = config(&[&slapd]);
    config.retry_interval = 5;
    let clock = clock();
    let connector = connect(config, &clock);
    assert_eq!(by_address(&connector, "anna@localdomain.test").await, "anna");
    slapd.kill();
    assert!(
        by_address(&connector, "anna@localdomain.test")
            .await
            .contains("Unavailable")
    );
    slapd.restart();
    // Half of it at least, for the rest is chance.
    clock.advance(Duration::from_secs(2));
    assert!(
        by_address(&connector, "anna@localdomain.test")
            .await
            .contains("a moment ago"),
        "it is not asked yet"
    );
    clock.advance(Duration::from_secs(3));
    assert_eq!(by_address(&connector, "anna@localdomain.test").await, "anna");
}

/// A server without entries that notes the page sizes it is asked for.
async fn pages() -> (String, Arc<Mutex<Vec<u32>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let uri = format!("ldap://{}", listener.local_addr().expect("an address"));
    let sizes: Arc<Mutex<Vec<u32>>> = Arc::default();
    let noted = Arc::clone(&sizes);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let noted = Arc::clone(&noted);
            tokio::spawn(async move {
                let mut buffer: Vec<u8> = Vec::new();
                loop {
                    let Frame::Complete(length) = frame(&buffer, 1 << 20).expect("LDAP") else {
                        let mut more = [0; 4096];
                        match stream.read(&mut more).await {
                            Ok(0) | Err(_) => return,
                            Ok(count) => buffer.extend_from_slice(&more[..count]),
                        }
                        continue;
                    };
                    let message: Vec<u8> = buffer.drain(..length).collect();
                    let message = Message::<Request>::decode(Bytes::from(message)).expect("a request");
                    if !matches!(message.operation, Request::Search(_)) {
                        continue;
                    }
                    if let Ok(Some(page)) = PagedResults::find(&message.controls) {
                        noted.lock().expect("a list").push(page.size);
                    }
                    let mut out = BytesMut::new();
                    let done = Response::SearchDone(LdapResult::new(ResultCode::Success));
                    Message::<Response>::new(message.id, done).encode(&mut out);
                    if stream.write_all(&out).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (uri, sizes)
}

#[tokio::test]
async fn large_searches_ask_for_pages_of_this_size() {
    let (uri, sizes) = pages().await;
    let mut config = ConnectorConfig::openldap("pages", vec![uri], vec!["dc=t".to_owned()]);
    config.tls = Some(ConnectorTls::None);
    config.groups.base_dn = vec!["dc=t".to_owned()];
    config.page_size = 7;
    let url = "ldap:///dc=t??sub?(title=x)".to_owned();
    let found = connect(config, &clock()).resolve_members(&[url]).await;
    assert!(found.expect("an answer").members.is_empty());
    let sizes = sizes.lock().expect("a list");
    assert!(
        !sizes.is_empty() && sizes.iter().all(|size| *size == 7),
        "{sizes:?}"
    );
}
