//! What the names of servers mean, apart from what the engines make of it.

use super::engines::NAMES;
use super::server::Server;
use model::EntryUuid;
use std::collections::BTreeMap;
use store::{LinkState, Store};

#[derive(Debug, Default)]
pub(super) struct Homes {
    /// Which of its names each server has.
    pub(super) names: [usize; 2],
    /// The entries that were a server's when it got another name, and of which nobody has said otherwise since.
    pub(super) ours: BTreeMap<EntryUuid, usize>,
    /// What somebody wrote as the home of an entry, where it was no server's name at that moment.
    pub(super) said: BTreeMap<EntryUuid, String>,
}

impl Homes {
    /// The name of a server.
    pub(super) const fn of(&self, node: usize) -> &'static str {
        NAMES[node][self.names[node]]
    }

    /// Somebody gives an entry another home.
    pub(super) fn say(&mut self, stores: &[Store], uuid: EntryUuid, host: Option<&str>) {
        self.ours.remove(&uuid);
        self.said.remove(&uuid);
        let former =
            |node: &usize| host.is_some_and(|host| NAMES[*node][..self.names[*node]].contains(&host));
        let Some(node) = (0..NAMES.len()).find(former) else {
            return;
        };
        let link = stores[node].association_by_uuid("people", uuid).expect("reads");
        let shown = link
            .as_ref()
            .and_then(|link| crate::link::home(&link.data.digests));
        // Whoever has not seen what it said in between cannot know.
        if shown != host {
            self.said.extend(host.map(|host| (uuid, host.to_owned())));
        }
    }

    /// A server has its next name now. What is linked there and says the one before stays its own.
    pub(super) fn rename(&mut self, node: usize, store: &Store, server: &Server) {
        let before = self.of(node);
        let links = store.list_associations("people", None, 256).expect("reads");
        for link in links.iter().filter(|link| link.data.state == LinkState::Linked) {
            let entry = server.live.entries.get(&link.remote);
            // What a crash or an outage has kept from it, it cannot know either.
            let known = crate::link::home(&link.data.digests) == Some(before);
            if known && entry.is_some_and(|entry| entry.host.as_deref() == Some(before)) {
                self.ours.insert(link.remote, node);
            }
            self.said.remove(&link.remote);
        }
        self.names[node] += 1;
    }
}
