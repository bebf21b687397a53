//! The client against a real slapd.

use crate::slapd::{PASSWORD, ROOT, SUFFIX, Slapd, load};
use ldap::control::{Assertion, PostRead, SyncInfo, SyncMode, SyncRequest, SyncState, SyncStateKind};
use ldap::extended::PasswordModify;
use ldap::message::{Compare, Modify};
use ldap::{
    Client, CloseReason, DnTemplate, Entry, Filter, FilterTemplate, LdapError, Modification, ModifyOperation,
    ResultCode, Scope, SearchItem, SearchRequest, Slots, StartTls,
};
use model::Secret;
use net::{ClientTls, ClientTlsConfig};
use std::time::Duration;

fn people() -> SearchRequest {
    SearchRequest::new(
        SUFFIX,
        Scope::Subtree,
        Filter::parse("(objectClass=inetOrgPerson)").unwrap(),
    )
}

fn replace(dn: &str, attribute: &str, value: &str) -> Modify {
    Modify {
        dn: dn.to_owned(),
        changes: vec![Modification {
            operation: ModifyOperation::Replace,
            attribute: ldap::Attribute::new(attribute, value),
        }],
    }
}

#[tokio::test]
async fn operations() {
    let slapd = Slapd::start();
    let client = slapd.populated(3).await;
    assert_eq!(client.whoami().await.unwrap(), format!("dn:{ROOT}"));

    let mut found = client
        .search_all(people().attributes(["sn", "mail"]), 3)
        .await
        .unwrap();
    found.sort_by(|left, right| left.dn.cmp(&right.dn));
    assert_eq!(
        found
            .iter()
            .map(|entry| entry.first_str("mail").unwrap())
            .collect::<Vec<_>>(),
        ["u0@example.test", "u1@example.test", "u2@example.test"]
    );
    assert_eq!(found[0].first_str("SN"), Some("Élan"));
    assert!(found[0].get("cn").is_empty());
    assert!(matches!(
        client.search_all(people(), 2).await,
        Err(LdapError::TooMany(2))
    ));

    let dn = found[0].dn.clone();
    let compare = |value: &str| Compare {
        dn: dn.clone(),
        attribute: "cn".into(),
        value: value.to_owned().into(),
    };
    assert!(client.compare(compare("person 0"), &[]).await.unwrap());
    assert!(!client.compare(compare("person 1"), &[]).await.unwrap());

    // A change under an assertion that holds, with the entry as it is afterwards; and under one that does not.
    let assertion = |text: &str| Assertion(Filter::parse(text).unwrap()).to_control().critical();
    let controls = [assertion("(cn=Person 0)"), PostRead::request(&["cn", "entryCSN"])];
    let outcome = client
        .modify(replace(&dn, "cn", "Renamed"), &controls)
        .await
        .unwrap();
    let PostRead(after) = PostRead::find(&outcome.controls).unwrap().unwrap();
    assert_eq!(after.first_str("cn"), Some("Renamed"));
    assert!(after.first("entryCSN").is_some());
    let error = client
        .modify(replace(&dn, "cn", "Again"), &controls)
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(ResultCode::AssertionFailed));

    load(
        &client,
        &format!(
            "dn: {dn}\nchangetype: modrdn\nnewrdn: uid=moved\ndeleteoldrdn: 1\n\n\
         dn: uid=u1,{SUFFIX}\nchangetype: delete\n\n\
         dn: uid=u2,{SUFFIX}\nchangetype: modify\nadd: description\ndescription: x\n-\ndelete: mail\n-\n"
        ),
    )
    .await;
    let mut left = client.search_all(people(), 10).await.unwrap();
    left.sort_by(|left, right| left.dn.cmp(&right.dn));
    assert_eq!(
        left.iter().map(|entry| entry.dn.as_str()).collect::<Vec<_>>(),
        [format!("uid=moved,{SUFFIX}"), format!("uid=u2,{SUFFIX}")]
    );
    assert_eq!(left[1].first_str("description"), Some("x"));
    assert!(left[1].get("mail").is_empty());

    let error = client
        .delete(format!("uid=none,{SUFFIX}"), &[])
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(ResultCode::NoSuchObject));
    assert_eq!(error.result().unwrap().matched_dn, SUFFIX);
    assert!(!error.is_transient());
    let error = client.delete("not a DN", &[]).await.unwrap_err();
    assert_eq!(error.code(), Some(ResultCode::InvalidDnSyntax));
}

#[tokio::test]
async fn binds_and_passwords() {
    let slapd = Slapd::start();
    let root = slapd.populated(1).await;
    let dn = format!("uid=u0,{SUFFIX}");
    let change = |new_password| PasswordModify {
        user_identity: Some(dn.clone()),
        old_password: None,
        new_password,
    };
    assert!(
        root.password_modify(&change(Some(Secret::from("first"))))
            .await
            .unwrap()
            .is_none()
    );
    let client = slapd.anonymous().await;
    assert_eq!(client.whoami().await.unwrap(), "");
    client
        .bind_simple(&dn, &Secret::from("first"), &[])
        .await
        .unwrap();
    assert_eq!(client.whoami().await.unwrap(), format!("dn:{dn}"));
    let generated = root
        .password_modify(&change(None))
        .await
        .unwrap()
        .expect("a password made by the server");
    let error = client
        .bind_simple(&dn, &Secret::from("first"), &[])
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(ResultCode::InvalidCredentials));
    // The failed bind leaves an anonymous connection that can be used and bound again.
    assert_eq!(client.whoami().await.unwrap(), "");
    client.bind_simple(&dn, &generated, &[]).await.unwrap();
    // The unauthenticated bind of RFC 4513 section 5.1.2 never gets there.
    assert!(matches!(
        client.bind_simple(&dn, &Secret::from(""), &[]).await,
        Err(LdapError::EmptyPassword)
    ));
}

/// Names and values with every character that means something somewhere, as data of a real server.
#[tokio::test]
async fn hostile_values_are_stored_and_found_exactly() {
    let slapd = Slapd::start();
    let client = slapd.populated(2).await;
    let name = DnTemplate::parse(&format!("cn=%u,{SUFFIX}")).unwrap();
    let by_name = FilterTemplate::parse("(&(objectClass=person)(cn=%u))").unwrap();
    let hostile = [
        "*",
        "*)(uid=*",
        "a)(|(cn=*",
        "\\",
        "\\2a",
        "x, dc=test",
        "a+sn=b",
        "#04",
        " lead",
        "\"quoted\"",
        "a=b;c<d>e",
        "%u",
        "Łukasz",
        "a\\",
    ];
    for value in hostile {
        let slots = Slots {
            local_part: Some(value),
            ..Slots::default()
        };
        let dn = name.fill(&slots).unwrap();
        let entry = Entry::new(dn.to_string())
            .with("objectClass", "person")
            .with("cn", value)
            .with("sn", "x");
        let add = ldap::message::Add {
            dn: entry.dn,
            attributes: entry.attributes,
        };
        client
            .add(add, &[])
            .await
            .unwrap_or_else(|error| panic!("{value:?} as {dn}: {error}"));
    }
    for value in hostile {
        let slots = Slots {
            local_part: Some(value),
            ..Slots::default()
        };
        let filter = by_name.fill(&slots).unwrap();
        let request = SearchRequest::new(SUFFIX, Scope::Subtree, filter.clone());
        let found = client.search_all(request, 10).await.unwrap();
        assert_eq!(found.len(), 1, "{value:?} with {filter}");
        assert_eq!(found[0].first_str("cn"), Some(value));
        // The server's spelling of the DN is the same name.
        assert_eq!(
            found[0].dn.parse::<ldap::Dn>().unwrap(),
            name.fill(&slots).unwrap(),
            "{value:?}"
        );

        // OpenLDAP's own parser reads our text forms as the same filter and the same base.
        let uri = slapd.ldap().uri.to_string();
        let (filter, dn) = (filter.to_string(), name.fill(&slots).unwrap().to_string());
        let args = ["-x", "-LLL", "-H", &uri, "-b", &dn, "-s", "base", &filter, "1.1"];
        let output = testkit::run_with_input("ldapsearch", &args, b"").unwrap();
        assert_eq!(output.matches("dn:").count(), 1, "{value:?}: {output}");
    }
}

#[tokio::test]
async fn ldapsearch_and_our_ldif_agree() {
    let slapd = Slapd::start();
    let client = slapd.populated(2).await;
    let long = "x".repeat(300);
    load(
        &client,
        &format!("dn: uid=u0,{SUFFIX}\nchangetype: modify\nadd: description\ndescription: {long}\n-\n"),
    )
    .await;
    let uri = slapd.ldap().uri.to_string();
    let password = slapd.password_file().display().to_string();
    let args = [
        "-x", "-H", &uri, "-D", ROOT, "-y", &password, "-b", SUFFIX, "(uid=u0)",
    ];
    let output = testkit::run_with_input("ldapsearch", &args, b"").unwrap();
    // The trailer ("search: 2", "result: 0 Success") is no LDIF: what stands before it is.
    let content = output.split("# search result").next().unwrap();
    let records: Vec<_> = ldap::ldif::LdifReader::new(content.as_bytes())
        .collect::<Result<_, _>>()
        .unwrap();
    let request = SearchRequest::new(SUFFIX, Scope::Subtree, Filter::equals("uid", "u0"));
    let ours = client.search_all(request, 1).await.unwrap().remove(0);
    assert_eq!(records, [ldap::ldif::Record::Entry(ours)]);
}

#[tokio::test]
async fn transports() {
    let slapd = Slapd::start();
    let trusting = ClientTlsConfig {
        ca_file: Some(slapd.certificate.certificate.clone()),
        ..ClientTlsConfig::default()
    };
    let trusting = ClientTls::new(&trusting).unwrap();
    let mut starttls = slapd.ldap();
    starttls.starttls = StartTls::Require;
    let mut ldaps = slapd.ldaps();
    for options in [&mut starttls, &mut ldaps] {
        // Without TLS settings, and with a certificate nobody vouches for, nothing is sent in clear text.
        assert!(matches!(Client::connect(options).await, Err(LdapError::Tls(_))));
        options.tls = Some(ClientTls::new(&ClientTlsConfig::default()).unwrap());
        let error = Client::connect(options).await.unwrap_err();
        assert!(
            matches!(error, LdapError::Tls(_)) && error.is_transient(),
            "{error}"
        );
        options.tls = Some(trusting.clone());
        let client = Client::connect(options).await.unwrap();
        client
            .bind_simple(ROOT, &Secret::from(PASSWORD), &[])
            .await
            .unwrap();
        assert_eq!(client.whoami().await.unwrap(), format!("dn:{ROOT}"));
    }

    let client = Client::connect(&slapd.ldapi()).await.unwrap();
    client.bind_external().await.unwrap();
    let identity = client.whoami().await.unwrap();
    assert!(
        identity.ends_with("cn=peercred,cn=external,cn=auth"),
        "{identity}"
    );

    // The server's own refusal of a mechanism.
    let error = slapd.anonymous().await.bind_external().await.unwrap_err();
    assert!(
        error.code().is_some_and(|code| code != ResultCode::Success),
        "{error}"
    );
}

#[tokio::test]
async fn pages_pass_the_size_limit() {
    let slapd = Slapd::start();
    drop(slapd.populated(450).await);
    let client = slapd.anonymous().await;
    let error = client.search_all(people(), 1000).await.unwrap_err();
    assert_eq!(error.code(), Some(ResultCode::SizeLimitExceeded));
    let mut paged = client
        .search_paged(people().attributes(["uid"]), 100)
        .await
        .unwrap();
    let mut seen = std::collections::BTreeSet::new();
    while let Some(entry) = paged.next_entry().await.unwrap() {
        assert!(seen.insert(entry.first_str("uid").unwrap().to_owned()));
    }
    assert_eq!(seen.len(), 450);
}

#[tokio::test]
async fn many_lookups_share_one_connection() {
    let slapd = Slapd::start();
    drop(slapd.populated(50).await);
    let client = slapd.anonymous().await;
    let template = FilterTemplate::parse("(&(objectClass=inetOrgPerson)(mail=%e))").unwrap();
    let lookups: Vec<_> = (0..500)
        .map(|number| {
            let address = format!("u{}@example.test", number % 50);
            let filter = template
                .fill(&Slots {
                    address: Some(&address),
                    ..Slots::default()
                })
                .unwrap();
            let client = client.clone();
            tokio::spawn(async move {
                let found = client
                    .search_all(SearchRequest::new(SUFFIX, Scope::Subtree, filter), 1)
                    .await
                    .unwrap();
                assert_eq!(found[0].first_str("mail"), Some(address.as_str()));
            })
        })
        .collect();
    for lookup in lookups {
        lookup.await.unwrap();
    }
}

/// refreshAndPersist (RFC 4533 section 3.4) through the client: the refresh, a change, and the end of the server.
#[tokio::test]
async fn a_persistent_search_sees_changes_until_the_server_ends() {
    let mut slapd = Slapd::start();
    let root = slapd.populated(2).await;
    let mut options = slapd.ldap();
    options.operation_timeout = Duration::from_secs(2);
    let feed = Client::connect(&options).await.unwrap();
    let sync = SyncRequest {
        mode: SyncMode::RefreshAndPersist,
        cookie: None,
        reload_hint: false,
    };
    let request = people().control(sync.to_control().critical()).endless();
    let mut stream = feed.search(request).await.unwrap();
    let mut entries = 0;
    loop {
        match stream.next().await.unwrap() {
            Some(SearchItem::Entry { controls, .. }) => {
                assert!(SyncState::find(&controls).unwrap().is_some());
                entries += 1;
            }
            Some(SearchItem::Intermediate(info)) => {
                assert!(SyncInfo::from_intermediate(&info).unwrap().is_some());
                break;
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(entries, 2);
    root.modify(replace(&format!("uid=u1,{SUFFIX}"), "cn", "Seen"), &[])
        .await
        .unwrap();
    match stream.next().await.unwrap() {
        Some(SearchItem::Entry { entry, controls }) => {
            assert_eq!(entry.first_str("cn"), Some("Seen"));
            assert_eq!(
                SyncState::find(&controls).unwrap().unwrap().kind,
                SyncStateKind::Modify
            );
        }
        other => panic!("{other:?}"),
    }
    // Other operations go on beside it, and a bind would wait for it.
    assert_eq!(feed.whoami().await.unwrap(), "");
    slapd.child.kill().unwrap();
    let error = stream.next().await.unwrap_err();
    assert!(
        matches!(error, LdapError::Closed(_)) && error.is_transient(),
        "{error}"
    );
    assert!(feed.is_closed());
    let error = Client::connect(&options).await.unwrap_err();
    assert!(
        matches!(error, LdapError::Connect(_)) && error.is_transient(),
        "{error}"
    );

    slapd.restart();
    assert_eq!(
        slapd
            .anonymous()
            .await
            .search_all(people(), 10)
            .await
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn a_server_that_hangs_is_noticed() {
    let slapd = Slapd::start();
    drop(slapd.populated(1).await);
    let mut options = slapd.ldap();
    options.operation_timeout = Duration::from_secs(1);
    options.keep_alive = Duration::from_millis(200);
    let client = Client::connect(&options).await.unwrap();
    assert_eq!(client.search_all(people(), 10).await.unwrap().len(), 1);
    slapd.child.freeze();
    // The threads may finish what they are at before they stop. Then the search times out, unless a keep-alive
    // that was sent before it did so first.
    let error = loop {
        if let Err(error) = client.search_all(people(), 10).await {
            break error;
        }
    };
    assert!(
        matches!(
            error,
            LdapError::TimedOut | LdapError::Closed(CloseReason::Unresponsive(_))
        ),
        "{error}"
    );
    assert!(matches!(client.closed().await, CloseReason::Unresponsive(_)));
    slapd.child.thaw();
    let client = slapd.anonymous().await;
    assert_eq!(client.search_all(people(), 10).await.unwrap().len(), 1);
}
