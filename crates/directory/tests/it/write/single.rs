//! One write at a time.

use super::*;
use directory::config::Referrals;
use directory::write::Fate;
use ldap::ResultCode;
use model::Secret;

#[tokio::test]
async fn a_change_is_made_on_what_was_seen_and_on_nothing_else() {
    let slapd = Slapd::start();
    let writer = writer(config(&[&slapd]));
    let anna = added(&writer, "anna", &[]).await;
    assert!(anna.csn.is_some() && anna.entry.first_str("mail") == Some("anna@localdomain.test"));
    let change = modify(&anna, seen(&anna), set("displayName", "Anna A."));
    let now = writer
        .write(&change, &names(&["displayName"]))
        .await
        .expect("changed");
    assert_eq!(now.entry.first_str("displayName"), Some("Anna A."));
    assert_eq!(
        slapd.values("anna", "entryCSN"),
        now.csn.clone().into_iter().collect::<Vec<_>>()
    );
    // Made on what has been since.
    let stale = writer
        .write(&modify(&anna, seen(&anna), set("displayName", "Old")), &[])
        .await;
    assert!(matches!(stale, Err(WriteError::Stale)), "{stale:?}");
    let by_value = AttributeChange::values("displayName", vec![value("Old")], vec![value("New")]);
    let stale = writer
        .write(&modify(&anna, Precondition::default(), by_value), &[])
        .await;
    assert!(
        matches!(stale, Err(WriteError::Stale)),
        "a value is compared too: {stale:?}"
    );
    assert_eq!(slapd.values("anna", "displayName"), ["Anna A."]);
    let schema = writer
        .write(&modify(&now, seen(&now), set("noSuchAttribute", "x")), &[])
        .await;
    assert!(
        matches!(
            &schema,
            Err(WriteError::Refused {
                code: ResultCode::UndefinedAttributeType,
                ..
            })
        ),
        "{schema:?}"
    );
}

#[tokio::test]
async fn what_changes_nothing_is_not_sent() {
    let slapd = Slapd::start();
    let writer = writer(config(&[&slapd]));
    let anna = added(&writer, "anna", &[("displayName", "Anna")]).await;
    for change in [
        set("displayName", "Anna"),
        AttributeChange::replace("description", Vec::new()),
        AttributeChange::values("mail", vec![value("x")], vec![value("x")]),
    ] {
        let same = writer
            .write(&modify(&anna, seen(&anna), change), &names(&["displayName"]))
            .await;
        let same = same.expect("nothing to do");
        assert_eq!(
            (&same.csn, same.entry.first_str("displayName")),
            (&anna.csn, Some("Anna"))
        );
    }
    let rename = Write::Rename {
        target: target(&anna),
        precondition: seen(&anna),
        rdn: Rdn::new("uid", "anna").expect("an RDN"),
        new_parent: None,
    };
    assert_eq!(
        writer.write(&rename, &[]).await.expect("nothing to do").csn,
        anna.csn
    );
    // The conditions hold even then.
    let stale = Precondition {
        csn: Some("20200101000000.000000Z#000000#000#000000".to_owned()),
        hosts: Vec::new(),
    };
    let answer = writer
        .write(&modify(&anna, stale, set("displayName", "Anna")), &[])
        .await;
    assert!(matches!(answer, Err(WriteError::Stale)), "{answer:?}");
}

#[tokio::test]
async fn an_account_that_has_moved_to_another_server_is_left_alone() {
    let slapd = Slapd::start();
    let writer = writer(config(&[&slapd]));
    let anna = added(&writer, "anna", &[("mailHost", "Store1.test.")]).await;
    let mine = at_host("store1.test");
    let change = |text: &str| modify(&anna, mine.clone(), set("displayName", text));
    writer
        .write(&change("Mine"), &[])
        .await
        .expect("another spelling is the same host");
    slapd.modify(&format!(
        "dn: uid=anna,ou=Users,{SUFFIX}\nchangetype: modify\nreplace: mailHost\nmailHost: store2.test\n"
    ));
    let delete = Write::Delete {
        target: target(&anna),
        precondition: mine.clone(),
    };
    let rename = Write::Rename {
        target: target(&anna),
        precondition: mine.clone(),
        rdn: Rdn::new("uid", "other").expect("an RDN"),
        new_parent: None,
    };
    let by_value = AttributeChange::values("displayName", vec![value("Mine")], vec![value("Theirs")]);
    for write in [
        change("Theirs"),
        modify(&anna, mine.clone(), by_value),
        delete,
        rename,
    ] {
        let answer = writer.write(&write, &[]).await;
        assert!(
            matches!(&answer, Err(WriteError::NotMine(Some(host))) if host == "store2.test"),
            "{write:?}: {answer:?}"
        );
    }
    assert_eq!(slapd.values("anna", "displayName"), ["Mine"]);
    slapd.modify(&format!(
        "dn: uid=anna,ou=Users,{SUFFIX}\nchangetype: modify\ndelete: mailHost\n"
    ));
    assert!(matches!(
        writer.write(&change("x"), &[]).await,
        Err(WriteError::NotMine(None))
    ));
}

#[tokio::test]
async fn the_uuid_decides_and_not_the_name() {
    let slapd = Slapd::start();
    let writer = writer(config(&[&slapd]));
    let anna = added(&writer, "anna", &[]).await;
    // The name goes to somebody else.
    slapd.modify(&format!(
        "dn: uid=anna,ou=Users,{SUFFIX}\nchangetype: modrdn\nnewrdn: uid=anne\ndeleteoldrdn: 1\n\
         newsuperior: ou=Elsewhere,{SUFFIX}\n"
    ));
    slapd.person("anna", "");
    for (write, text) in [
        (set("displayName", "One"), "One"),
        (
            AttributeChange::values("displayName", vec![value("One")], vec![value("Two")]),
            "Two",
        ),
    ] {
        let now = writer
            .write(
                &modify(&anna, Precondition::default(), write),
                &names(&["displayName"]),
            )
            .await;
        let now = now.expect("found by its UUID");
        assert_eq!(now.dn, format!("uid=anne,ou=Elsewhere,{SUFFIX}"));
        assert_eq!(
            (now.uuid, now.entry.first_str("displayName")),
            (anna.uuid, Some(text))
        );
    }
    assert_eq!(slapd.values("anna", "displayName"), Vec::<String>::new());
    let delete = Write::Delete {
        target: target(&anna),
        precondition: Precondition::default(),
    };
    let gone = writer
        .write(&delete, &names(&["displayName"]))
        .await
        .expect("deleted");
    assert_eq!(
        (gone.csn, gone.entry.first_str("displayName")),
        (None, Some("Two"))
    );
    assert_eq!(slapd.values("anna", "uid"), ["anna"], "the namesake is there");
    assert!(matches!(
        writer.write(&delete, &[]).await,
        Err(WriteError::NoSuchObject)
    ));
    let change = modify(&anna, Precondition::default(), set("displayName", "x"));
    assert!(matches!(
        writer.write(&change, &[]).await,
        Err(WriteError::NoSuchObject)
    ));
}

#[tokio::test]
async fn renames_and_what_is_in_the_way() {
    let slapd = Slapd::start();
    let writer = writer(config(&[&slapd]));
    let anna = added(&writer, "anna", &[]).await;
    let bert = added(&writer, "bert", &[]).await;
    let again = writer
        .write(&Write::Add(person("bert", &[])), &names(&["mail"]))
        .await;
    let Err(WriteError::AlreadyExists(Some(there))) = again else {
        panic!("{again:?}");
    };
    assert_eq!(there.first_str("entryUUID"), Some(bert.uuid.to_string().as_str()));
    assert_eq!(there.first_str("mail"), Some("bert@localdomain.test"));
    let rename = |uid: &str, parent: Option<&str>| Write::Rename {
        target: target(&anna),
        precondition: Precondition::default(),
        rdn: Rdn::new("uid", uid).expect("an RDN"),
        new_parent: parent.map(|dn| Dn::parse(dn).expect("a DN")),
    };
    let taken = writer.write(&rename("bert", None), &names(&["mail"])).await;
    assert!(
        matches!(&taken, Err(WriteError::AlreadyExists(Some(there))) if there.first_str("mail") == Some("bert@localdomain.test")),
        "{taken:?}"
    );
    let parent = format!("ou=New,ou=Deep,{SUFFIX}");
    let now = writer
        .write(&rename("anne", Some(&parent)), &names(&["uid"]))
        .await
        .expect("moved");
    assert_eq!(
        (now.uuid, now.dn.as_str()),
        (anna.uuid, format!("uid=anne,{parent}").as_str())
    );
    assert_eq!(
        now.entry.first_str("uid"),
        Some("anne"),
        "the old value has left the entry"
    );
    assert_ne!(now.csn, anna.csn);
    let cased = writer
        .write(&rename("Anne", None), &names(&["uid"]))
        .await
        .expect("spelled anew");
    assert_eq!(cased.entry.first_str("uid"), Some("Anne"));
}

#[tokio::test]
async fn nobody_knows_what_became_of_a_write_whose_answer_is_lost() {
    let slapd = Slapd::start();
    let proxy = Proxy::to(slapd.address()).await;
    let mut config = config(&[&slapd]);
    config.uris = vec![proxy.uri()];
    let anna = added(&writer(self::config(&[&slapd])), "anna", &[]).await;
    let by_value = AttributeChange::values("displayName", Vec::new(), vec![value("Written")]);
    let write = modify(&anna, seen(&anna), by_value);
    let lossy = writer(config.clone());
    lossy.schema().await.expect("connected");
    proxy.lose_answers();
    let answer = lossy.write(&write, &[]).await;
    assert!(
        matches!(
            &answer,
            Err(WriteError::Unavailable {
                fate: Fate::Unknown,
                ..
            })
        ),
        "{answer:?}"
    );
    assert_eq!(
        slapd.values("anna", "displayName"),
        ["Written"],
        "this time it took place"
    );
    // A server that was never reached has done nothing.
    config.uris = vec!["ldap://127.0.0.1:1".to_owned()];
    let answer = writer(config).write(&write, &[]).await;
    assert!(
        matches!(
            &answer,
            Err(WriteError::Unavailable {
                fate: Fate::NotDone,
                ..
            })
        ),
        "{answer:?}"
    );
    assert!(answer.expect_err("unavailable").is_temporary());
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up_and_the_next_write_goes_elsewhere() {
    let slapd = Slapd::start();
    let proxy = Proxy::to(slapd.address()).await;
    let mut config = config(&[&slapd]);
    config.uris = vec![proxy.uri(), slapd.uri()];
    config.timeout = 1;
    let writer = writer(config);
    let anna = added(&writer, "anna", &[]).await;
    proxy.go_silent();
    let by_value = |text: &str| AttributeChange::values("description", Vec::new(), vec![value(text)]);
    let answer = writer
        .write(&modify(&anna, Precondition::default(), by_value("one")), &[])
        .await;
    assert!(
        matches!(
            &answer,
            Err(WriteError::Unavailable {
                fate: Fate::Unknown,
                ..
            })
        ),
        "{answer:?}"
    );
    let answer = writer
        .write(&modify(&anna, Precondition::default(), by_value("two")), &[])
        .await;
    answer.expect("the other server takes it");
}

#[tokio::test]
async fn who_may_not_write_is_told_so() {
    let slapd = Slapd::start();
    slapd.person("reader", "userPassword: read\n");
    slapd.person("anna", "");
    let mut config = config(&[&slapd]);
    config.bind_dn = Some(format!("uid=reader,ou=Users,{SUFFIX}"));
    config.bind_password = Some(Secret::from("read"));
    let add = Write::Add(person("bert", &[]));
    let refused = writer(config.clone()).write(&add, &[]).await;
    assert!(
        matches!(
            &refused,
            Err(WriteError::Refused {
                code: ResultCode::InsufficientAccessRights,
                ..
            })
        ),
        "without an identity for writes it is the service identity: {refused:?}"
    );
    config.write_bind_dn = Some(ROOT.to_owned());
    config.write_bind_password = Some(Secret::from("wrong"));
    let wrong = writer(config.clone()).write(&add, &[]).await;
    assert!(
        matches!(
            &wrong,
            Err(WriteError::Unavailable {
                fate: directory::write::Fate::NotDone,
                ..
            })
        ),
        "{wrong:?}"
    );
    config.write_bind_password = Some(Secret::from(ROOT_PASSWORD));
    writer(config)
        .write(&add, &[])
        .await
        .expect("the identity for writes may");
    let read_only = Slapd::read_only();
    let refused = writer(self::config(&[&read_only])).write(&add, &[]).await;
    assert!(
        matches!(
            &refused,
            Err(WriteError::Refused {
                code: ResultCode::UnwillingToPerform,
                ..
            })
        ),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_write_follows_a_reference_only_where_it_may() {
    let (here, there) = (Slapd::start(), Slapd::start());
    here.modify(&format!(
        "dn: ou=Moved,{SUFFIX}\nobjectClass: referral\nobjectClass: extensibleObject\nou: Moved\n\
         ref: {}/ou=Users,{SUFFIX}\n",
        there.uri()
    ));
    let mut new = person("anna", &[]);
    new.parent = Dn::parse(&format!("ou=Moved,{SUFFIX}")).expect("a DN");
    let add = Write::Add(new);
    let mut config = config(&[&here]);
    let is_referral = |answer: &Result<Written, WriteError>| {
        matches!(
            answer,
            Err(WriteError::Refused {
                code: ResultCode::Referral,
                ..
            })
        )
    };
    let answer = writer(config.clone()).write(&add, &[]).await;
    assert!(is_referral(&answer), "{answer:?}");
    config.referrals = Referrals::Writes;
    let answer = writer(config.clone()).write(&add, &[]).await;
    assert!(
        is_referral(&answer),
        "credentials go to no server that is not listed: {answer:?}"
    );
    config.uris.push(there.uri());
    let now = writer(config).write(&add, &[]).await.expect("added over there");
    assert_eq!(now.dn, format!("uid=anna,ou=Users,{SUFFIX}"));
    assert_eq!(there.values("anna", "entryUUID"), [now.uuid.to_string()]);
}
