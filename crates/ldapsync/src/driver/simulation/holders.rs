//! Who has an address in the directory, and what it means that this cannot be told.

use super::*;
use crate::driver::journal::{holders_there, newcomer};
use crate::engine::Trouble;
use directory::feed::FeedError;
use directory::{Lookup, Untold};
use model::Unavailable;

/// What comes of asking for an address, of a server that refuses these.
async fn asked(refuses: fn(&Address) -> bool) -> String {
    let mut world = World::new(34, config(1000, false)).await;
    let parts = Arc::get_mut(&mut world.engine).expect("nobody else has it");
    parts.remotes.holder = Arc::new(move |wanted| {
        let refused = Unavailable("rights are loaded anew (50)".to_owned());
        let answer = match refuses(&wanted) {
            true => Err(Untold(refused)),
            false => Ok(Lookup::NotFound),
        };
        Box::pin(async move { answer })
    });
    let shared = address("shared@example.test");
    let (new, by) = (NewAccount::new(shared.clone()), admin());
    let new = parts.local.store.create_account(new, &by).await;
    let new = crate::local::own_id(LocalId::Account(new.expect("created")));
    let of_one = holders_there(parts, &shared)
        .await
        .expect("no trouble of the round");
    assert_eq!(of_one.is_err(), refuses(&shared));
    match newcomer(parts, new).await.map(|new| new.expect("has no entry")) {
        Ok(new) if new.untold.is_none() => format!("{} have it", new.found.len()),
        Ok(new) => new.untold.map_or_else(String::new, |reason| reason.to_string()),
        Err(Trouble::Feed(FeedError::Unavailable(why))) => format!("unavailable: {why}"),
        Err(trouble) => panic!("{trouble}"),
    }
}

#[tokio::test]
async fn one_address_is_not_told_or_none_is() {
    assert_eq!(asked(|_| false).await, "0 have it");
    let one = asked(|wanted| wanted.local_part() == "shared").await;
    assert!(one.starts_with("whether shared@example.test is free"), "{one}");
    // Nobody has the address that is asked for then, and it is refused all the same.
    let none = asked(|_| true).await;
    assert!(none.starts_with("unavailable: "), "{none}");
}
