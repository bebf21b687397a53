//! What stands beside a connector on this server: other connectors, perhaps of the same directory, and homes.
//!
//! Two connectors that both make entries must not make two of one object. One of the same directory (its suffix entry has
//! the same UUID) that is linked to the object, wherever the entry is and whether this connector sees it or not, has
//! made it. Of two that begin at once, each writes its intent down first and looks then: whoever comes later in the
//! order of names gives way, and writes none before the other one has ended.

use super::SyncEngine;
use super::worker::{Worker, store_trouble};
use crate::engine::{Outcome, Trouble};
use crate::link;
use crate::local::{is_gone, store_id};
use crate::plan::{Creation, LocalId, Standing};
use bytes::Bytes;
use directory::write::Write;
use store::{IntentKind, StoreError};

/// What else this server is configured with, as far as synchronisation depends on it.
#[derive(Debug, Clone, Default)]
pub struct Beside {
    /// The names of all connectors.
    pub connectors: Vec<String>,
    /// The names of all homes, and the spellings that lead to them.
    pub homes: Vec<String>,
}

/// When somebody looks for others who make the same entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before the intent is written: who comes first in the order of names is not stopped by those after it.
    Before,
    /// The intent is durable, so that of two who look now one sees the other.
    Begun,
}

impl SyncEngine {
    /// Where the link of an object with another connector of this directory stands, if its entry is there.
    pub(super) fn standing_beside(&self, object: LocalId) -> Result<Option<Standing>, StoreError> {
        for other in self.local.of_the_same_directory()? {
            let link = self.local.store.association(other, store_id(object))?;
            if let Some(link) = link.filter(|link| !is_gone(&link.data.state)) {
                return Ok(Some(link::standing(&link.data.state)));
            }
        }
        Ok(None)
    }

    /// What keeps a new entry from being sent: another connector of this directory has made one since the object was
    /// read, or is about to.
    pub(super) async fn gives_way(
        &self,
        object: LocalId,
        moment: Moment,
    ) -> Result<Option<Outcome>, StoreError> {
        let (store, own) = (&self.local.store, self.config.name.as_str());
        let (mut made, mut maker) = (false, None);
        for other in self.local.of_the_same_directory()? {
            let intent = store.intent(other, store_id(object))?;
            let link = store.association(other, store_id(object))?;
            if link.is_some_and(|link| !is_gone(&link.data.state)) {
                (made, maker) = (true, Some(other));
            } else if intent.is_some_and(|intent| intent.kind == IntentKind::Create)
                && (other < own || moment == Moment::Begun)
            {
                maker = maker.or(Some(other));
            }
        }
        let Some(maker) = maker else { return Ok(None) };
        // Who comes first in the order of names keeps its intent and waits: the other one has sent its own, or sees this
        // one and gives way.
        if (made || maker < own) && store.intent(&self.config.name, store_id(object))?.is_some() {
            self.local.drop_intents(&[object]).await?;
        }
        Ok(Some(Outcome::GivesWay(maker.to_owned())))
    }
}

impl Worker<'_> {
    /// Writes down which directory this is before anything is written there, so that others know.
    pub(super) async fn note_directory(&mut self) -> Result<(), Trouble> {
        let Some(server) = self
            .server
            .as_ref()
            .filter(|_| !self.parts.local.others.is_empty())
        else {
            return Ok(());
        };
        let (store, name) = (&self.parts.local.store, &self.parts.config.name);
        let mut state = store.connector_state(name).map_err(store_trouble)?;
        if state.server_fingerprint.is_some() {
            // Another one is written down when everything was compared with it.
            return Ok(());
        }
        state.server_fingerprint = Some(Bytes::copy_from_slice(server.suffix_uuid.as_bytes()));
        store
            .put_connector_state(name, &state)
            .await
            .map_err(store_trouble)
    }
}

/// New entries without those that another connector makes, and these with what becomes of them.
pub(super) async fn apart_from_others(
    parts: &SyncEngine,
    births: Vec<(Creation, Write)>,
    moment: Moment,
) -> (Vec<(Creation, Write)>, Vec<(Creation, Outcome)>) {
    let (mut ours, mut ended) = (Vec::with_capacity(births.len()), Vec::new());
    for (creation, write) in births {
        match parts.gives_way(creation.local, moment).await {
            Ok(None) => ours.push((creation, write)),
            Ok(Some(outcome)) => ended.push((creation, outcome)),
            Err(error) => ended.push((creation, Outcome::Temporary(error.to_string()))),
        }
    }
    (ours, ended)
}
