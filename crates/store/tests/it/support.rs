//! Small helpers for the tests of this crate.

use ::model::{AccountId, Address, Clock, Domain, MailboxName, ManualClock, Timestamp, Uid};
use std::sync::Arc;
use store::{NewAccount, Origin, Store, StoreConfig, StoreError};

/// A clock at some moment of 2025.
pub(crate) fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_millis(1_750_000_000_000)))
}

pub(crate) fn memory() -> Store {
    Store::in_memory(clock()).expect("opens")
}

pub(crate) fn embedded(folder: &std::path::Path, clock: Arc<dyn Clock>) -> Store {
    let config = StoreConfig {
        free_space_reserve: ::model::ByteSize(0),
        ..StoreConfig::default()
    };
    Store::open(folder, &config, clock).expect("opens")
}

pub(crate) fn admin() -> Origin {
    Origin::Admin("test".into())
}

pub(crate) fn address(text: &str) -> Address {
    Address::parse(text).expect("address")
}

pub(crate) fn domain(text: &str) -> Domain {
    Domain::parse(text).expect("domain")
}

pub(crate) fn name(text: &str) -> MailboxName {
    MailboxName::parse(text).expect("mailbox name")
}

pub(crate) fn uid(number: u32) -> Uid {
    Uid::new(number).expect("uid")
}

/// An account in `example.test`, with the domain when it is missing.
pub(crate) async fn account(store: &Store, local: &str) -> AccountId {
    let domain = domain("example.test");
    if !store.is_local_domain(&domain).expect("reads") {
        store.create_domain(&domain, &admin()).await.expect("domain");
    }
    let new = NewAccount::new(address(&format!("{local}@example.test")));
    store.create_account(new, &admin()).await.expect("account")
}

/// Creates them together, as a connector does.
pub(crate) async fn create_together(
    store: &Store,
    new: Vec<NewAccount>,
    origin: &Origin,
) -> Result<Vec<Option<AccountId>>, StoreError> {
    let mut staged = store.staging(origin, new.len());
    // Ids come a few at a time, as the accounts do.
    for part in new.chunks(2) {
        store.reserve_ids(&mut staged, part.len()).await?;
        for one in part {
            store.stage(&mut staged, one.clone())?;
        }
    }
    store.create_accounts(staged).await
}
