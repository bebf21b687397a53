//! Writing to the directory: one entry at a time under conditions, many at once in transactions, the layout's
//! containers, and what a new account's or group's entry consists of.
//!
//! Owns [`Writer`], which keeps its connections with the identity for writes, and [`Vocabulary`], the attribute
//! mapping read in the direction of the directory. A write says by whom it must still be unchanged
//! ([`Precondition`]); an answer tells "no" ([`WriteError::Refused`]), "no longer" ([`WriteError::Stale`]),
//! "later", and "nobody knows" ([`Fate::Unknown`]) apart.
//!
//! Never sends a modification that changes nothing, never repeats a write whose fate is unknown, never sends
//! credentials to a server that is not listed, and never changes a container that exists.
//!
//! Follows RFC 4511 sections 4.6 to 4.9, RFC 4527 (post-read), RFC 4528 (assertion), RFC 5805 (transactions).
//! Passwords are not written here: [`Connector::change_password`] takes them at once or refuses them.

mod active_directory;
mod budget;
mod bulk;
mod facts;
mod lane;
mod openldap;
mod outcome;
mod request;
mod tree;
mod types;
mod vocabulary;

pub use bulk::Answered;
pub use types::{AttributeChange, Edit, Fate, NewEntry, Precondition, Target, Write, WriteError, Written};
pub use vocabulary::{
    Before, MailObject, NewObject, Property, Schema, Unwritable, Vocabulary, account_names,
};

use crate::Connector;
use crate::config::ServerType;
use crate::connector::writing::WriteConnections;
use lane::Lanes;
use model::ConfigProblem;
use std::sync::Arc;

/// Writes to the servers of one connector. Shared by everybody who writes there, so that its limits hold.
pub struct Writer {
    connector: Arc<Connector>,
    vocabulary: Vocabulary,
    lanes: Lanes,
}

impl Writer {
    /// A writer for this connector. Connects to nothing yet.
    pub fn new(connector: Arc<Connector>) -> Result<Arc<Self>, Vec<ConfigProblem>> {
        let connections: WriteConnections = connector.write_connections()?;
        let vocabulary = Vocabulary::of(connector.config(), connector.patterns())?;
        Ok(Arc::new(Self {
            vocabulary,
            connector,
            lanes: Lanes::new(connections),
        }))
    }

    /// Carries out one write. `read_back` names the attributes that the answer shall hold, as they are afterwards.
    ///
    /// When a connection that worked ends beside it, and the write was not sent over it, it is begun anew on another
    /// one: what ended the connection was not this write.
    pub async fn write(&self, write: &Write, read_back: &[String]) -> Result<Written, WriteError> {
        let before = self.lanes.ended();
        match self.write_once(write, read_back).await {
            Err(WriteError::Unavailable {
                fate: Fate::NotDone, ..
            }) if self.lanes.ended() != before => self.write_once(write, read_back).await,
            answer => answer,
        }
    }

    async fn write_once(&self, write: &Write, read_back: &[String]) -> Result<Written, WriteError> {
        match self.server_type() {
            ServerType::Openldap => self.write_openldap(write, read_back).await,
            ServerType::ActiveDirectory => self.write_active_directory(write, read_back).await,
        }
    }

    /// How accounts and groups are said in this directory.
    #[must_use]
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The classes and attributes that the server knows, for [`Vocabulary::entry`].
    pub async fn schema(&self) -> Result<Arc<Schema>, WriteError> {
        let lane = self.lanes.main().await?;
        let read = lane.facts.schema(&lane.client).await;
        read.map_err(|error| self.lanes.lost(&lane, &error))
    }

    fn server_type(&self) -> ServerType {
        self.connector.config().server_type
    }
}

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Writer({})", self.connector.name())
    }
}
