//! Keeping a table as fresh as its file.

use super::table::{Match, Table};
use crate::watched::{Reader, Watched};
use model::{Address, Clock, DomainAliases};
use std::path::PathBuf;
use std::sync::Arc;

/// A table and the file it came from.
pub(crate) struct FileMap {
    aliases: DomainAliases,
    table: Watched<Table>,
}

impl FileMap {
    /// Reads the file; called at start, before anything is served.
    pub(crate) fn open(path: PathBuf, aliases: DomainAliases, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let known = aliases.clone();
        let reader = Reader {
            what: "user map",
            parse: Box::new(move |text| Table::parse_for(text, &known)),
            count: Table::len,
        };
        Ok(Self {
            aliases,
            table: Watched::open(path, reader, clock)?,
        })
    }

    /// What the file says about an address, after a look at whether it changed.
    pub(crate) async fn find(&self, address: &Address) -> Option<Match> {
        let table = self.table.fresh().await;
        table.find(&self.aliases.address(address.clone()))
    }

    pub(crate) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.now())
    }

    /// What is wrong with the file as it is now, while an older table is in force.
    pub(crate) fn problem(&self) -> Option<String> {
        self.table.problem()
    }
}
