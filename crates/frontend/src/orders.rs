//! Which homes an administrator has taken out of service: they get no new sessions.
//!
//! The orders outlive a restart in a file of lines, `NAME REASON`.

use crate::durable;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

/// Orders that may be given.
const MAX_ORDERS: usize = 10_000;

/// The orders in force.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    /// None keeps them in memory only.
    path: Option<PathBuf>,
    drained: Mutex<BTreeMap<String, String>>,
}

impl Orders {
    /// Reads the orders that were given before.
    pub(crate) fn load(path: PathBuf) -> io::Result<Self> {
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let parse = |line: &str| {
            let (name, reason) = line.split_once(' ').unwrap_or((line, ""));
            (!name.is_empty()).then(|| (name.to_owned(), reason.to_owned()))
        };
        Ok(Self {
            path: Some(path),
            drained: Mutex::new(text.lines().filter_map(parse).collect()),
        })
    }

    /// Why this home is drained; none when it is in service.
    pub(crate) fn reason(&self, home: &str) -> Option<String> {
        self.drained.lock().get(home).cloned()
    }

    pub(crate) fn list(&self) -> Vec<(String, String)> {
        let drained = self.drained.lock();
        drained
            .iter()
            .map(|(name, reason)| (name.clone(), reason.clone()))
            .collect()
    }

    pub(crate) fn drain(&self, home: &str, reason: &str) -> io::Result<()> {
        let reason: String = reason.chars().filter(|c| !c.is_control()).take(200).collect();
        self.change(|drained| {
            if drained.len() < MAX_ORDERS || drained.contains_key(home) {
                drained.insert(home.to_owned(), reason);
            }
        })
    }

    /// Gives the home back; false when it was in service.
    pub(crate) fn enable(&self, home: &str) -> io::Result<bool> {
        let mut was_drained = false;
        self.change(|drained| was_drained = drained.remove(home).is_some())?;
        Ok(was_drained)
    }

    /// The order holds only once it is written.
    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, String>)) -> io::Result<()> {
        let mut drained = self.drained.lock();
        let mut next = drained.clone();
        change(&mut next);
        if let Some(path) = &self.path {
            let lines = next.iter().map(|(name, reason)| format!("{name} {reason}\n"));
            let draft = path.with_extension("new");
            durable::replace(path, &draft, lines.collect::<String>().as_bytes())?;
        }
        *drained = next;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_outlive_a_restart() {
        let dir = tempfile::tempdir().expect("a scratch folder");
        let path = dir.path().join("drained-homes");
        let orders = Orders::load(path.clone()).expect("none yet");
        orders.drain("store1", "new disks\nstore2 x").expect("written");
        orders.drain("store2", "").expect("written");
        let again = Orders::load(path.clone()).expect("readable");
        assert_eq!(again.list(), orders.list());
        assert_eq!(again.reason("store1").as_deref(), Some("new disksstore2 x"));
        assert!(again.enable("store1").expect("written") && !again.enable("store1").expect("written"));
        assert_eq!(
            Orders::load(path).expect("readable").list(),
            [("store2".to_owned(), String::new())]
        );
        std::fs::remove_dir_all(dir.path()).expect("gone");
        assert!(again.drain("store3", "").is_err() && again.reason("store3").is_none());
    }
}
