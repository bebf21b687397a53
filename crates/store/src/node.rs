//! Who this server is: an identity that is made once, and the names that it has had.
//!
//! Its name may change in the configuration; what was agreed with directories under the former one is still this
//! server's. Never decides whose an account is: synchronisation does, by what each entry showed last.

use crate::codec::{Decoded, Reader, Writer};
use crate::engine::{Durability, Engine, Space};
use crate::{Store, StoreError, keys};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

const VERSION: u8 = 1;
/// Former names that are kept; the oldest go.
const MOST_FORMER: usize = 16;
/// Replica ids are three digits, and slapd has 0 for whoever says none.
const REPLICAS: u64 = 999;

/// The lasting identity of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    id: [u8; 16],
    name: String,
    former: Vec<String>,
}

impl Node {
    /// The id, as hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> String {
        self.id.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The name that it has now, canonical.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The names that it had before, canonical, the latest last.
    #[must_use]
    pub fn former_names(&self) -> &[String] {
        &self.former
    }

    /// The number by which a directory tells this server's feed from those of other servers: 1 to 999.
    #[must_use]
    pub fn replica_id(&self, connector: &str) -> u16 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.id).update(connector.as_bytes());
        let mut head = [0; 8];
        head.iter_mut()
            .zip(hasher.finalize().as_bytes())
            .for_each(|(slot, byte)| *slot = *byte);
        u16::try_from(u64::from_be_bytes(head) % REPLICAS + 1).unwrap_or(1)
    }

    /// The same server under another name. One that it had before is its own again.
    fn renamed(&self, name: &str) -> Self {
        let mut former = self.former.clone();
        former.push(self.name.clone());
        former.retain(|known| known != name);
        let surplus = former.len().saturating_sub(MOST_FORMER);
        former.drain(..surplus);
        Self {
            id: self.id,
            name: name.to_owned(),
            former,
        }
    }

    fn write(&self) -> Bytes {
        let mut row = Writer::new(VERSION);
        row.raw(&self.id)
            .text(&self.name)
            .list(self.former.iter(), |row, name| {
                row.text(name);
            })
            .done()
    }

    fn read(row: &[u8]) -> Decoded<Self> {
        let mut row = Reader::new(row, "node", VERSION)?;
        Ok(Self {
            id: row.array()?,
            name: row.text()?,
            former: row.list(Reader::text)?,
        })
    }
}

/// For people.
impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.id())?;
        match self.former.as_slice() {
            [] => Ok(()),
            former => write!(f, ", formerly {}", former.join(", ")),
        }
    }
}

/// What was stored.
pub(crate) fn load(engine: &Engine) -> Result<Option<Arc<Node>>, StoreError> {
    let row = engine.get(Space::Meta, keys::NODE)?;
    row.map(|row| Node::read(&row).map(Arc::new)).transpose()
}

impl Store {
    /// Who this server is; none before [`Store::take_name`] was called for the first time.
    #[must_use]
    pub fn node(&self) -> Option<Arc<Node>> {
        self.node_slot().read().clone()
    }

    /// The server has this name now. The first one makes its id; another one than before makes the one before a former
    /// name. Durable when it returns; it blocks, for the start only.
    pub fn take_name(&self, name: &str) -> Result<Arc<Node>, StoreError> {
        // Host names are compared without case and without the trailing dot (RFC 4343).
        let name = name.trim().trim_end_matches('.').to_ascii_lowercase();
        if name.is_empty() {
            return Err(StoreError::Invalid("a server needs a name".to_owned()));
        }
        let node = match self.node() {
            Some(known) if known.name == name => return Ok(known),
            Some(known) => known.renamed(&name),
            None => {
                let mut id = [0; 16];
                getrandom::fill(&mut id).map_err(|error| StoreError::Engine(error.to_string()))?;
                let former = Vec::new();
                Node { id, name, former }
            }
        };
        let row = (Space::Meta, keys::NODE.to_vec(), Some(node.write()));
        self.engine().write(vec![row], Durability::Disk)?;
        let node = Arc::new(node);
        *self.node_slot().write() = Some(Arc::clone(&node));
        Ok(node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StoreConfig;
    use model::ManualClock;

    #[tokio::test]
    async fn the_id_stays_and_names_that_were_given_up_are_former() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || {
            let clock = Arc::new(ManualClock::new(model::Timestamp::default()));
            Store::open(folder.path(), &StoreConfig::default(), clock).expect("opens")
        };
        let mut first = None;
        for (name, canonical, former) in [
            ("Mail1.Example.test.", "mail1.example.test", vec![]),
            ("mail1.example.test", "mail1.example.test", vec![]),
            ("mail2.test", "mail2.test", vec!["mail1.example.test"]),
            (
                "mail3.test",
                "mail3.test",
                vec!["mail1.example.test", "mail2.test"],
            ),
            (
                "mail1.example.test",
                "mail1.example.test",
                vec!["mail2.test", "mail3.test"],
            ),
        ] {
            // Each time by another process.
            let store = open();
            let node = store.take_name(name).expect("stored");
            assert_eq!(node.name(), canonical);
            assert_eq!(node.former_names(), former);
            assert_eq!(first.get_or_insert_with(|| node.id()), &node.id());
            store.close().await.expect("closes");
            drop(store);
            let store = open();
            assert_eq!(store.node().as_deref(), Some(&*node), "read back");
            store.close().await.expect("closes");
        }
        let store = open();
        assert!(store.take_name(" . ").is_err());
        for number in 0..40 {
            store.take_name(&format!("m{number}.test")).expect("stored");
        }
        let node = store.node().expect("there");
        assert_eq!(node.former_names().len(), MOST_FORMER);
        assert_eq!(node.former_names().last().map(String::as_str), Some("m38.test"));
    }

    #[test]
    fn replica_ids_follow_the_node_and_the_connector() {
        let node = |byte: u8| Node {
            id: [byte; 16],
            name: "a.test".to_owned(),
            former: Vec::new(),
        };
        let all: std::collections::BTreeSet<u16> =
            (0..20).map(|byte| node(byte).replica_id("people")).collect();
        assert!(all.len() > 15, "nearly all differ: {all:?}");
        assert!(all.iter().all(|id| (1..=999).contains(id)));
        assert_ne!(node(1).replica_id("people"), node(1).replica_id("staff"));
        assert_eq!(
            node(1).replica_id("people"),
            node(1).renamed("b.test").replica_id("people")
        );
        assert!(Node::read(b"\x01short").is_err());
        assert!(Node::read(&[]).is_err());
    }
}
