//! Cookies, and the messages of a refresh.

use super::cookie::csn_vector;
use super::round::Round;
use super::*;
use crate::config::ConnectorConfig;
use crate::patterns::Patterns;
use ldap::control::{SyncDone, SyncInfo, SyncState, SyncStateKind};
use ldap::{LdapResult, ResultCode};
use model::Timestamp;
use proptest::prelude::*;

const A: &str = "20260101000000.000000Z#000000#001#000000";
const A2: &str = "20260102000000.000000Z#000000#001#000000";
const B: &str = "20260101120000.000000Z#000000#002#000000";

fn cookie(text: &str) -> Cookie {
    Cookie::new(text.as_bytes().to_vec()).expect("a cookie")
}

#[test]
fn a_damaged_cookie_never_reaches_the_wire() {
    let whole = cookie(&format!("rid=001,csn={A}"));
    let stored = whole.to_stored();
    assert_eq!(Cookie::from_stored(&stored), Ok(whole));
    for index in 0..stored.len() {
        let mut damaged = stored.clone();
        damaged[index] ^= 1;
        assert_eq!(Cookie::from_stored(&damaged), Err(CookieDamaged));
        assert_eq!(Cookie::from_stored(&stored[..index]), Err(CookieDamaged));
    }
    assert_eq!(Cookie::new(Vec::new()), None);
    assert_eq!(Cookie::new(vec![b'x'; 100_000]), None);
}

#[test]
fn a_cookie_goes_out_under_the_replica_id() {
    for (stored, replica, sent) in [
        (format!("rid=000,csn={A}"), Some(7), format!("rid=007,csn={A}")),
        (
            format!("rid=000,sid=002,csn={A};{B}"),
            Some(999),
            format!("rid=999,sid=002,csn={A};{B}"),
        ),
        (format!("csn={A}"), Some(12), format!("rid=012,csn={A}")),
        (format!("rid=001,csn={A}"), None, format!("rid=001,csn={A}")),
        ("opaque".to_owned(), Some(7), "opaque".to_owned()),
    ] {
        let sent_now = cookie(&stored).under(replica);
        assert_eq!(String::from_utf8(sent_now).expect("text"), sent);
        // What it says of the servers is the same.
        assert_eq!(cookie(&sent).csns(), cookie(&stored).csns());
    }
}

#[test]
fn csns_by_server() {
    let both = cookie(&format!("rid=001,sid=002,csn={A};{B}"));
    assert_eq!(both.csns().len(), 2);
    assert!(both.is_final());
    assert!(!cookie(&format!("rid=001,csn={A},delcsn={A}")).is_final());
    assert!(cookie("opaque").csns().is_empty());
    let merged = both.merged(&cookie(&format!("rid=001,csn={A2}")));
    assert_eq!(merged.as_bytes(), format!("rid=001,csn={A2};{B}").as_bytes());
    let backwards = cookie(&format!("rid=001,csn={A2}")).merged(&both);
    assert_eq!(
        backwards.csns()["001"],
        A2,
        "a lagging server does not take us back"
    );
    assert_eq!(both.merged(&cookie("opaque")), cookie("opaque"));
    let server = |csns: &[&str]| {
        Fingerprint::new(
            "dc=test".to_owned(),
            EntryUuid::from_bytes([0; 16]),
            csns.iter().copied(),
        )
    };
    assert!(server(&[A2, B]).has_caught_up(&both));
    assert!(
        !server(&[A2]).has_caught_up(&both),
        "it knows nothing of the second writer"
    );
    assert!(!server(&[A, B]).has_caught_up(&merged));
    assert!(server(&[]).has_caught_up(&cookie("opaque")));
    assert!(csn_vector(["", "#", "a#b"].into_iter()).is_empty());
}

fn patterns() -> Patterns {
    let config = ConnectorConfig::openldap(
        "c",
        vec!["ldap://127.0.0.1".to_owned()],
        vec!["dc=test".to_owned()],
    );
    Patterns::new(&config).expect("good patterns")
}

fn round<'a>(patterns: &'a Patterns, with: Option<&str>) -> Round<'a> {
    Round::new(patterns, with.map(cookie), Timestamp::from_millis(0))
}

fn done(cookie: Option<&str>, refresh_deletes: bool) -> [ldap::Control; 1] {
    let cookie = cookie.map(|text| text.as_bytes().to_vec().into());
    [SyncDone {
        cookie,
        refresh_deletes,
    }
    .to_control()]
}

const OK: LdapResult = LdapResult::new(ResultCode::Success);

#[test]
fn what_absence_means() {
    let patterns = patterns();
    let old = format!("rid=000,csn={A}");
    let new = format!("rid=000,csn={A2}");
    let end = |with: Option<&str>, refresh_deletes, present_phase: bool| {
        let mut round = round(&patterns, with);
        if present_phase {
            let info = SyncInfo::RefreshPresent {
                cookie: None,
                refresh_done: false,
            };
            assert!(
                round
                    .on_intermediate(&info.to_intermediate())
                    .expect("read")
                    .is_empty()
            );
        }
        round
            .on_done(&OK, &done(Some(&new), refresh_deletes))
            .expect("a good end")
    };
    assert_eq!(end(None, false, false).coverage, Coverage::Everything);
    // slapd answers a cookie it does not understand so, too; without one it must mean everything.
    assert_eq!(end(None, true, false).coverage, Coverage::Everything);
    assert_eq!(end(Some(&old), false, false).coverage, Coverage::Everything);
    assert_eq!(end(Some(&old), true, true).coverage, Coverage::Everything);
    let named = end(Some(&old), true, false);
    assert_eq!(named.coverage, Coverage::NamedDeletes);
    assert_eq!(named.cookie, Some(cookie(&new)));
    let none = round(&patterns, Some(&old))
        .on_done(&OK, &done(None, true))
        .expect("an end");
    assert_eq!(none.cookie, None);
    let halfway = format!("rid=000,csn={A2},delcsn={A}");
    let end = round(&patterns, Some(&old))
        .on_done(&OK, &done(Some(&halfway), true))
        .expect("an end");
    assert_eq!(end.cookie, None, "a cookie of a delete phase is not stored");
}

#[test]
fn errors_are_told_apart() {
    let patterns = patterns();
    let end = |code, with| {
        round(&patterns, with)
            .on_done(&LdapResult::new(code), &[])
            .expect_err("an error")
    };
    let some = Some("rid=000");
    assert_eq!(
        end(ResultCode::SyncRefreshRequired, some),
        FeedError::RefreshRequired
    );
    assert!(matches!(
        end(ResultCode::UnwillingToPerform, some),
        FeedError::CookieTooNew(_)
    ));
    assert!(matches!(
        end(ResultCode::UnwillingToPerform, None),
        FeedError::Protocol(_)
    ));
    assert!(matches!(end(ResultCode::Busy, some), FeedError::Unavailable(_)));
    for code in [
        ResultCode::SizeLimitExceeded,
        ResultCode::TimeLimitExceeded,
        ResultCode::AdminLimitExceeded,
    ] {
        assert!(
            matches!(end(code, some), FeedError::Protocol(_)),
            "a cut answer is no end: {code}"
        );
    }
    assert!(
        matches!(end(ResultCode::Success, some), FeedError::Protocol(_)),
        "no Sync Done, no end"
    );
}

#[test]
fn messages() {
    let patterns = patterns();
    let mut round = round(&patterns, Some("rid=000"));
    let uuid = EntryUuid::from_bytes([9; 16]);
    let state = |kind| {
        [SyncState {
            kind,
            uuid,
            cookie: None,
        }
        .to_control()]
    };
    let person = || {
        let text = |text: &'static str| vec![bytes::Bytes::from_static(text.as_bytes())];
        Entry::new("uid=a,dc=test")
            .with("objectClass", text("inetOrgPerson"))
            .with("entryUUID", text("09090909-0909-0909-0909-090909090909"))
            .with("mail", text("a@x.test"))
    };
    let mut entry = |kind| round.on_entry(person(), &state(kind)).expect("a change");
    assert!(matches!(entry(SyncStateKind::Add), Change::Entry(entry) if entry.account.is_ok()));
    assert!(matches!(entry(SyncStateKind::Modify), Change::Entry(_)));
    assert!(matches!(entry(SyncStateKind::Present), Change::Present(found) if found == uuid));
    assert!(matches!(entry(SyncStateKind::Delete), Change::Deleted(found) if found == uuid));
    let bare = round
        .on_entry(Entry::new("uid=b,dc=test"), &state(SyncStateKind::Add))
        .expect("a change");
    assert!(matches!(bare, Change::Entry(entry) if entry.kind.is_none() && entry.account.is_err()));
    assert!(
        round.on_entry(person(), &[]).is_err(),
        "an entry without a state is nothing we asked for"
    );
    let mut set = |refresh_deletes| {
        let info = SyncInfo::IdSet {
            cookie: None,
            refresh_deletes,
            uuids: vec![uuid, uuid],
        };
        round.on_intermediate(&info.to_intermediate()).expect("changes")
    };
    assert!(matches!(set(true)[..], [Change::Deleted(_), Change::Deleted(_)]));
    assert!(matches!(set(false)[..], [Change::Present(_), Change::Present(_)]));
}

#[test]
fn cookies_of_a_search_that_stays_open() {
    use super::persist::{Persist, Said};
    let patterns = patterns();
    let now = Timestamp::from_millis(0);
    let uuid = EntryUuid::from_bytes([9; 16]);
    let state = |kind, cookie: Option<&str>| {
        [SyncState {
            kind,
            uuid,
            cookie: cookie.map(|text| text.as_bytes().to_vec().into()),
        }
        .to_control()]
    };
    let entry = || ldap::Entry::new("uid=a,dc=test");
    let info = |info: SyncInfo| info.to_intermediate();
    let old = format!("rid=000,csn={A};{B}");
    let new = format!("rid=000,csn={A2}");
    let bytes = || Some(bytes::Bytes::from(new.clone()));
    let mut persist = Persist::new(&patterns, Some(cookie(&old)));
    let said = persist.on_entry(entry(), &state(SyncStateKind::Add, Some(&new)), now);
    assert!(matches!(said, Ok(Said::Refreshing(list)) if list.len() == 1));
    let middle = SyncInfo::RefreshPresent {
        cookie: bytes(),
        refresh_done: false,
    };
    assert!(matches!(persist.on_intermediate(&info(middle)), Ok(Said::Refreshing(list)) if list.is_empty()));
    let gone = SyncInfo::IdSet {
        cookie: bytes(),
        refresh_deletes: true,
        uuids: vec![uuid],
    };
    assert!(matches!(persist.on_intermediate(&info(gone)), Ok(Said::Refreshing(list)) if list.len() == 1));
    assert!(!persist.is_live());
    let end = SyncInfo::RefreshDelete {
        cookie: bytes(),
        refresh_done: true,
    };
    let merged = cookie(&format!("rid=000,csn={A2};{B}"));
    match persist.on_intermediate(&info(end)) {
        Ok(Said::Refreshed(end)) => {
            assert_eq!(end.coverage, Coverage::Everything, "there was a present phase");
            assert_eq!(
                end.cookie,
                Some(merged.clone()),
                "the second writer is not forgotten"
            );
        }
        other => panic!("{other:?}"),
    }
    assert!(persist.is_live());
    let mut live = |kind, cookie: Option<&str>| match persist.on_entry(entry(), &state(kind, cookie), now) {
        Ok(Said::Live(changes, cookie)) => (changes.len(), cookie),
        other => panic!("{other:?}"),
    };
    let half = format!("rid=000,csn={A2},delcsn={A}");
    assert_eq!(live(SyncStateKind::Modify, None), (1, None));
    assert_eq!(live(SyncStateKind::Delete, Some(&half)), (1, None));
    let stale = format!("rid=000,csn={A}");
    assert_eq!(live(SyncStateKind::Delete, Some(&stale)), (1, Some(merged)));
    let elsewhere = persist.on_intermediate(&info(SyncInfo::NewCookie(new.into())));
    assert!(matches!(elsewhere, Ok(Said::Live(list, None)) if list.is_empty()));
}

#[tokio::test]
async fn a_source_that_vanishes_is_no_end() {
    let (sender, mut changes) = Changes::channel();
    assert!(sender.send(Ok(Step::Changes(Vec::new()))).await);
    drop(sender);
    assert!(matches!(changes.next().await, Some(Ok(Step::Changes(_)))));
    assert!(matches!(
        changes.next().await,
        Some(Err(FeedError::Unavailable(_)))
    ));
    assert!(changes.next().await.is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn cookies_of_any_form(old in "(rid=[0-9]{3},)?(csn=[0-9#;Z]{0,40})?,?[a-z=]{0,9}", new in "csn=[0-9#;Z]{0,60}") {
        if let (Some(old), Some(new)) = (Cookie::new(old), Cookie::new(new)) {
            let merged = old.merged(&new);
            for (sid, csn) in new.csns() {
                prop_assert!(merged.csns().get(&sid).is_some_and(|found| *found >= csn));
            }
            prop_assert_eq!(Cookie::from_stored(&merged.to_stored()), Ok(merged));
        }
    }
}
