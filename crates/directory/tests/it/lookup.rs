//! Lookups, failover and routing.

use super::slapd::{SUFFIX, Slapd};
use super::{address, clock, config, connect};
use directory::config::{MapKind, OnNoMatch};
use directory::{
    Connector, DirectoryAccount, EntryKind, Freshness, Host, Lookup, Route, UserMap, UserMapConfig, UserMaps,
};
use model::{Address, ManualClock};
use std::sync::Arc;
use std::time::Duration;

fn found(lookup: Lookup) -> DirectoryAccount {
    match lookup {
        Lookup::Found(account) => *account,
        other => panic!("not found: {other:?}"),
    }
}

async fn uid(connector: &Connector, text: &str) -> String {
    match connector.lookup_address(&address(text)).await {
        Lookup::Found(account) => account.dn.split([',', '=']).nth(1).unwrap_or_default().to_owned(),
        Lookup::NotFound => "none".to_owned(),
        other => format!("{other:?}"),
    }
}

fn people(slapd: &Slapd) {
    slapd.person(
        "anna",
        "mailLocalAddress: a.nna@localdomain.test\nmailHost: store1.test\nuserPassword: secret\n",
    );
    slapd.person("bert", "mailLocalAddress: @catch.test\nmailHost: Store2.Test.\n");
    slapd.person("carl", "mailLocalAddress: team@localdomain.test\n");
    slapd.person("two1", "mailLocalAddress: shared@localdomain.test\n");
    slapd.person("two2", "mailLocalAddress: shared@localdomain.test\n");
    slapd.person("two3", "mailLocalAddress: shared@localdomain.test\n");
    slapd.modify(&format!(
        "dn: cn=team,ou=Groups,{SUFFIX}\nobjectClass: groupOfNames\nobjectClass: extensibleObject\ncn: team\n\
         mail: staff@localdomain.test\nmember: uid=anna,ou=Users,{SUFFIX}\n"
    ));
    slapd.modify(&format!(
        "dn: uid=out,ou=Elsewhere,{SUFFIX}\nobjectClass: inetOrgPerson\nuid: out\ncn: out\nsn: out\nmail: out@localdomain.test\n"
    ));
}

#[tokio::test]
async fn addresses_logins_and_uuids() {
    let slapd = Slapd::start();
    people(&slapd);
    let connector = connect(config(&[&slapd]), &clock());
    for (text, expected) in [
        ("anna@localdomain.test", "anna"),
        ("ANNA@LOCALDOMAIN.test", "anna"),
        ("a.nna@localdomain.test", "anna"),
        ("anna+news@localdomain.test", "anna"),
        ("staff+x@localdomain.test", "team"),
        ("whoever@catch.test", "bert"),
        ("out@localdomain.test", "none"),
        ("nobody@localdomain.test", "none"),
    ] {
        assert_eq!(uid(&connector, text).await, expected, "{text}");
    }
    let shared = connector
        .lookup_address(&address("shared@localdomain.test"))
        .await;
    assert!(
        matches!(&shared, Lookup::Ambiguous(dns) if dns.len() == 2),
        "{shared:?}"
    );
    let anna = found(connector.lookup_login("anna").await);
    assert_eq!(anna.address, address("anna@localdomain.test"));
    assert_eq!(anna.aliases, [address("a.nna@localdomain.test")]);
    assert_eq!(anna.host, Host::One("store1.test".to_owned()));
    assert_eq!(found(connector.lookup_uuid(anna.uuid).await).dn, anna.dn);
    let team = found(connector.lookup_address(&address("staff@localdomain.test")).await);
    assert_eq!((team.kind, team.members), (EntryKind::Group, vec![anna.dn]));
    // `%u` is for bare logins and the connector's own domains.
    assert!(matches!(
        connector.lookup_login("anna@localdomain.test").await,
        Lookup::Found(_)
    ));
    assert!(matches!(
        connector.lookup_login("anna@other.test").await,
        Lookup::NotFound
    ));
}

#[tokio::test]
async fn nothing_that_a_client_types_becomes_filter_syntax() {
    let slapd = Slapd::start();
    people(&slapd);
    let connector = connect(config(&[&slapd]), &clock());
    for login in [
        "*",
        "a*",
        "*)(uid=*",
        "anna)(|(uid=*",
        "anna\\2a",
        "anna\0",
        "(uid=anna)",
        "anna,ou=Users",
        "*@localdomain.test",
        "\u{0}*",
        ")(objectClass=*",
    ] {
        let lookup = connector.lookup_login(login).await;
        assert!(matches!(lookup, Lookup::NotFound), "{login:?}: {lookup:?}");
    }
    for local in ["*", "anna)(uid=*", "a*a", "\\2a"] {
        if let Ok(target) = Address::parse(&format!("\"{}\"@localdomain.test", local.replace('\\', "\\\\"))) {
            assert!(
                matches!(connector.lookup_address(&target).await, Lookup::NotFound),
                "{local:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_base_that_cannot_be_read_is_no_answer() {
    let slapd = Slapd::start();
    let mut wrong = config(&[&slapd]);
    wrong.accounts.base_dn = vec![format!("ou=Missing,{SUFFIX}")];
    let connector = connect(wrong, &clock());
    assert!(matches!(
        connector.lookup_login("anna").await,
        Lookup::Unavailable(_)
    ));
    let mut wrong = config(&[&slapd]);
    wrong.bind_password = Some("not it".into());
    let connector = connect(wrong, &clock());
    assert!(matches!(
        connector.lookup_login("anna").await,
        Lookup::Unavailable(_)
    ));
}

#[tokio::test]
async fn an_outage_is_temporary_and_ends() {
    let mut slapd = Slapd::start();
    people(&slapd);
    let clock = clock();
    let connector = connect(config(&[&slapd]), &clock);
    assert_eq!(uid(&connector, "anna@localdomain.test").await, "anna");
    slapd.kill();
    for text in ["anna@localdomain.test", "nobody@localdomain.test"] {
        let lookup = connector.lookup_address(&address(text)).await;
        assert!(matches!(lookup, Lookup::Unavailable(_)), "{lookup:?}");
    }
    slapd.restart();
    clock.advance(Duration::from_secs(60));
    assert_eq!(uid(&connector, "anna@localdomain.test").await, "anna");
    assert_eq!(uid(&connector, "nobody@localdomain.test").await, "none");
}

#[tokio::test]
async fn a_second_server_steps_in_and_out() {
    let (mut first, second) = (Slapd::start(), Slapd::start());
    first.person("where", "mailLocalAddress: first@localdomain.test\n");
    second.person("where", "mailLocalAddress: second@localdomain.test\n");
    let clock = clock();
    let connector = connect(config(&[&first, &second]), &clock);
    let which = async || {
        found(connector.lookup_login("where").await).aliases[0]
            .local_part()
            .to_owned()
    };
    assert_eq!(which().await, "first");
    first.kill();
    assert_eq!(which().await, "second");
    first.restart();
    clock.advance(Duration::from_secs(5));
    assert_eq!(
        which().await,
        "second",
        "not before it was healthy for 30 seconds"
    );
    // Each lookup may start a probe in the background; each of them needs a moment of real time.
    for _ in 0..2000 {
        clock.advance(Duration::from_secs(11));
        if which().await == "first" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the first server is never used again");
}

fn user_map(connector: &Arc<Connector>, clock: &Arc<ManualClock>) -> UserMaps {
    let config = UserMapConfig {
        name: "people".to_owned(),
        kind: MapKind::LdapBind,
        path: None,
        connector: Some(connector.name().to_owned()),
        on_no_match: OnNoMatch::Reject,
        default_home: None,
        live: false,
        cache_ttl: 300,
        negative_ttl: 30,
        stale_for: 86_400,
        domain_aliases: model::DomainAliases::default(),
    };
    let map = UserMap::new(config, Some(connector.clone()), clock.clone()).expect("a map");
    UserMaps::new(vec![map])
}

#[tokio::test]
async fn routes_live_cached_and_stale() {
    let mut slapd = Slapd::start();
    people(&slapd);
    slapd.person("multi", "description: a.test\ndescription: b.test\n");
    let clock = clock();
    let connector = connect(config(&[&slapd]), &clock);
    let maps = user_map(&connector, &clock);
    let route = async |text: &str| match maps.resolve(&address(text)).await {
        Route::Home(found) => format!("{} {}", found.home, found.source.freshness),
        Route::Unavailable(_) => "unavailable".to_owned(),
        other => other.to_string(),
    };
    assert_eq!(route("anna@localdomain.test").await, "store1.test server");
    assert_eq!(route("anna@localdomain.test").await, "store1.test cache");
    assert_eq!(route("bert@localdomain.test").await, "store2.test server");
    assert_eq!(route("carl@localdomain.test").await, "the entry names no home");
    assert!(route("shared@localdomain.test").await.starts_with("ambiguous: "));
    assert_eq!(route("nobody@localdomain.test").await, "no such account");
    let explained = maps.explain(&address("anna@localdomain.test")).await;
    let step = &explained.steps[0];
    assert!(
        step.searches[0].filter.contains("(mail=anna@localdomain.test)"),
        "{step:?}"
    );
    assert_eq!(step.searches[0].found, [format!("uid=anna,ou=Users,{SUFFIX}")]);
    assert!(matches!(explained.route, Route::Home(found) if found.source.freshness == Freshness::Server));

    slapd.kill();
    assert_eq!(route("anna@localdomain.test").await, "store1.test cache");
    clock.advance(Duration::from_secs(3600));
    assert_eq!(route("anna@localdomain.test").await, "store1.test stale");
    assert_eq!(
        route("nobody@localdomain.test").await,
        "unavailable",
        "never no while nobody can say"
    );
    assert_eq!(route("carl@localdomain.test").await, "unavailable");
    clock.advance(Duration::from_secs(2 * 86_400));
    assert_eq!(route("anna@localdomain.test").await, "unavailable");
    slapd.restart();
    clock.advance(Duration::from_secs(60));
    assert_eq!(route("anna@localdomain.test").await, "store1.test server");
    assert_eq!(route("nobody@localdomain.test").await, "no such account");

    let mut several = config(&[&slapd]);
    several.attributes.host = Some("description".to_owned());
    let connector = connect(several, &clock);
    let maps = user_map(&connector, &clock);
    let route = maps.resolve(&address("multi@localdomain.test")).await;
    assert!(
        matches!(&route, Route::Ambiguous(hosts) if hosts.len() == 2),
        "{route:?}"
    );
}

#[tokio::test]
async fn a_server_that_hangs_is_passed_over() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = format!("ldap://{}", listener.local_addr().expect("an address"));
    let slapd = Slapd::start();
    people(&slapd);
    let clock = clock();
    let mut two = config(&[&slapd]);
    two.timeout = 1;
    two.uris.insert(0, silent.clone());
    let connector = connect(two.clone(), &clock);
    assert_eq!(uid(&connector, "anna@localdomain.test").await, "anna");
    two.uris = vec![silent];
    let connector = connect(two, &clock);
    assert!(matches!(
        connector.lookup_login("anna").await,
        Lookup::Unavailable(_)
    ));
}

#[tokio::test]
async fn tls_is_verified() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let (certificate, key) = (
            folder.path().join(name),
            folder.path().join(format!("{name}.key")),
        );
        std::fs::write(&certificate, made.cert.pem()).expect("write");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("write");
        (certificate, key)
    };
    let (good, key) = write("good", &["127.0.0.1"]);
    let (other, _) = write("other", &["127.0.0.1"]);
    let slapd = Slapd::with_certificate(&good, &key);
    people(&slapd);
    let clock = clock();
    let mut tls = config(&[&slapd]);
    tls.tls = Some(directory::config::ConnectorTls::StartTls);
    tls.ca_file = Some(good);
    assert_eq!(
        uid(&connect(tls.clone(), &clock), "anna@localdomain.test").await,
        "anna"
    );
    tls.ca_file = Some(other);
    let connector = connect(tls.clone(), &clock);
    let lookup = connector.lookup_login("anna").await;
    assert!(
        matches!(lookup, Lookup::Unavailable(_)),
        "another authority's server: {lookup:?}"
    );
    tls.ca_file = Some(folder.path().join("missing"));
    let problems = Connector::new(tls, clock.clone()).expect_err("there is no such file");
    assert_eq!(problems[0].key, "ca_file");
}

#[tokio::test]
async fn the_identity_of_a_unix_socket() {
    let slapd = Slapd::start();
    people(&slapd);
    let mut local = config(&[&slapd]);
    local.uris = vec![slapd.socket_uri()];
    local.bind_dn = None;
    local.bind_password = None;
    local.sasl_external = true;
    let connector = connect(local, &clock());
    assert_eq!(uid(&connector, "anna@localdomain.test").await, "anna");
    let who = connector
        .service()
        .await
        .expect("a connection")
        .whoami()
        .await
        .expect("an answer");
    assert!(who.contains("cn=peercred"), "{who}");
}
