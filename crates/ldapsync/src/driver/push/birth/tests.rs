//! New entries of objects whose former entry is gone: what stays known of an attempt that was never answered.

use super::super::send::Answer;
use super::*;
use crate::driver::simulation::config;
use crate::driver::{Beside, Remotes, sessions::Sessions};
use crate::field::{Image, Values};
use crate::plan::Kind;
use directory::feed::ChangeSource;
use directory::write::{NewEntry, Schema, Vocabulary};
use directory::{Lookup, PasswordSeen, ResolvedMembers};
use ldap::{Dn, Rdn, ResultCode};
use model::{AccountId, BoxFuture, Clock, EntryUuid, ManualClock, Unavailable};
use store::{IntentKind, Store};

/// A directory that answers every write with the same.
struct Says(fn() -> WriteError);

impl Outlet for Says {
    fn vocabulary(&self) -> &Vocabulary {
        panic!("the write is made already")
    }

    fn schema(&self) -> BoxFuture<'_, Result<Arc<Schema>, WriteError>> {
        panic!("the write is made already")
    }

    fn write<'a>(&'a self, _: &'a Write) -> BoxFuture<'a, Answer> {
        Box::pin(async { Err((self.0)()) })
    }

    fn write_all(&self, writes: Vec<Write>) -> BoxFuture<'_, Vec<Answer>> {
        Box::pin(async move { writes.iter().map(|_| Err((self.0)())).collect() })
    }
}

fn engine(beside: &Beside) -> Arc<SyncEngine> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
    let store = Store::in_memory(Arc::clone(&clock)).expect("opens");
    let remotes = Remotes {
        source: Arc::new(|| -> Box<dyn ChangeSource> { panic!("nothing is read") }),
        members: Arc::new(|_| Box::pin(async { Ok(ResolvedMembers::default()) })),
        address: Arc::new(|_| Box::pin(async { Lookup::NotFound })),
        holder: Arc::new(|_| Box::pin(async { Ok(Lookup::NotFound) })),
        passwords: Arc::new(|_, _| PasswordSeen::default()),
        sessions: Sessions {
            changed: Arc::new(|_| {}),
            ended: Arc::new(|_, _, _| {}),
        },
        outlet: None,
    };
    SyncEngine::with_remotes(
        config(1000, false),
        remotes,
        store,
        clock,
        ("a.test", &[]),
        beside,
    )
}

fn creation(name: &str) -> Creation {
    let address = Address::parse("anna@example.test").expect("an address");
    let name_of = Values::text(name);
    Creation {
        local: LocalId::Account(AccountId::new(1).expect("not zero")),
        subject: address.to_string(),
        kind: Kind::Account,
        image: Image::default()
            .with(Field::Address, Values::addresses([&address]))
            .with(Field::DisplayName, name_of),
        waiting: Vec::new(),
        former: Some(EntryUuid::from_bytes([9; 16])),
    }
}

const DN: &str = "uid=anna,ou=people,dc=test";

/// The intent that is left when the directory has said this to a new entry, and one with this name was open before.
async fn left(before: Option<&str>, answer: fn() -> WriteError) -> Intent {
    let engine = engine(&Beside::default());
    begin_earlier(&engine.local, before).await;
    let outlet: Arc<dyn Outlet> = Arc::new(Says(answer));
    let ended = give_birth(&engine, &outlet, vec![(creation("Later"), write())]).await;
    assert!(!matches!(ended.as_slice(), [(_, Outcome::Done)]), "{ended:?}");
    kept(&engine.local)
}

fn write() -> Write {
    Write::Add(NewEntry {
        parent: Dn::parse("ou=people,dc=test").expect("a name"),
        rdn: Rdn::new("uid", "anna").expect("an RDN"),
        attributes: Vec::new(),
    })
}

async fn begin_earlier(local: &Local, dn: Option<&str>) {
    if let Some(dn) = dn {
        let begun = local.birth(&creation("Earlier"), dn.to_owned());
        let rows = [store::SyncChange::Intent(Box::new(begun))];
        local.begin_births(&rows).await.expect("begun");
    }
}

fn kept(local: &Local) -> Intent {
    let intent = local.store.intent(&local.connector, store_id(creation("").local));
    intent
        .expect("reads")
        .expect("it is what keeps it from strangers")
}

// Of two connectors that begin at once neither sends anything, so nothing that appears later is what was to be made now.
#[tokio::test]
async fn who_gives_way_keeps_what_was_sent_before() {
    for (before, dn, sent) in [(None, "", None), (Some(DN), DN, Some("Earlier"))] {
        let beside = Beside {
            connectors: vec!["people".to_owned(), "zoo".to_owned()],
            homes: Vec::new(),
        };
        let engine = engine(&beside);
        let local = &engine.local;
        for name in ["people", "zoo"] {
            let mut state = local.store.connector_state(name).expect("reads");
            state.server_fingerprint = Some(bytes::Bytes::from_static(&[1; 16]));
            local.store.put_connector_state(name, &state).await.expect("kept");
        }
        begin_earlier(local, before).await;
        let theirs = Intent {
            connector: "zoo".to_owned(),
            ..local.birth(&creation("Theirs"), DN.to_owned())
        };
        let rows = [store::SyncChange::Intent(Box::new(theirs))];
        local.begin_births(&rows).await.expect("begun");
        let outlet: Arc<dyn Outlet> = Arc::new(Says(|| panic!("it is not sent")));
        let ended = give_birth(&engine, &outlet, vec![(creation("Later"), write())]).await;
        let gives_way = |(_, outcome): &(Creation, Outcome)| *outcome == Outcome::GivesWay("zoo".to_owned());
        assert!(ended.iter().all(gives_way) && ended.len() == 1, "{ended:?}");
        let intent = kept(local);
        let brings = crate::outbox::sent(&intent).brings;
        let name = brings.get(Field::DisplayName).first().map(str::to_owned);
        assert_eq!((intent.dn.as_str(), name.as_deref()), (dn, sent));
    }
}

#[tokio::test]
async fn an_entry_that_is_there_already_may_be_our_own() {
    let taken: fn() -> WriteError = || WriteError::AlreadyExists(None);
    let refused: fn() -> WriteError = || WriteError::Refused {
        code: ResultCode::ObjectClassViolation,
        text: String::new(),
    };
    let silent: fn() -> WriteError = || WriteError::Unavailable {
        why: Unavailable("no answer".to_owned()),
        fate: Fate::Unknown,
    };
    let away: fn() -> WriteError = || WriteError::Unavailable {
        why: Unavailable("nobody there".to_owned()),
        fate: Fate::NotDone,
    };
    let other = "uid=berta,ou=people,dc=test";
    for (before, answer, dn, sent) in [
        // A late Add of our own is known again, by what that one sent.
        (Some("UID=Anna, ou=people,dc=test"), taken, DN, Some("Earlier")),
        // No other entry is.
        (None, taken, "", None),
        (Some(""), taken, "", None),
        (Some(other), taken, "", None),
        // Nothing was made now, and a server that checks first would have said that the name is taken.
        (Some(DN), refused, "", None),
        (Some(DN), silent, DN, Some("Later")),
        (None, silent, DN, Some("Later")),
        // It was never sent, so nothing that appears later is ours; an earlier one may still appear.
        (None, away, "", None),
        (Some(DN), away, DN, Some("Earlier")),
    ] {
        let case = format!("{before:?} {}", answer());
        let intent = left(before, answer).await;
        assert_eq!(intent.kind, IntentKind::Create, "{case}");
        assert_eq!(intent.former, creation("").former, "{case}");
        assert!(
            is_same_name(&intent.dn, dn) || intent.dn == dn,
            "{case}: {}",
            intent.dn
        );
        let brings = crate::outbox::sent(&intent).brings;
        let name = brings.get(Field::DisplayName).first().map(str::to_owned);
        assert_eq!(name.as_deref(), sent, "{case}");
    }
}
