//! What can go wrong in the store, typed by who is to blame.

use model::AccountId;

/// An error of the store. "No" ([`StoreError::NotFound`] and its like) and "try later"
/// ([`StoreError::is_temporary`]) are different variants; protocol crates map them to replies in one file.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The named thing does not exist.
    #[error("{0} does not exist")]
    NotFound(&'static str),
    /// The name or address is taken.
    #[error("{0} exists already")]
    AlreadyExists(String),
    /// Somebody else changed the object since it was read: read again and decide again.
    #[error("the object changed since it was read")]
    Conflict,
    /// The object cannot go because something depends on it.
    #[error("{0}")]
    InUse(String),
    /// The request can never be carried out as it stands.
    #[error("{0}")]
    Invalid(String),
    /// A limit of the store (mailboxes, keywords, members, ...) would be exceeded.
    #[error("too many {0}")]
    Limit(&'static str),
    /// The account's quota would be exceeded.
    #[error("the account is over its quota")]
    OverQuota,
    /// The disk is nearly full; reads go on.
    #[error("the disk is full, or less is free than [store] free_space_reserve keeps back")]
    Full,
    /// A write failed earlier; the store reads but does not write until it is opened again.
    #[error("the store is read-only after a failed write: {0}")]
    ReadOnly(String),
    /// The store is shutting down.
    #[error("the store is closed")]
    Closed,
    /// Another process has the data folder open.
    #[error("the data folder is in use by another process")]
    Locked,
    /// The data folder was written by a newer Homing.
    #[error("the data folder has schema {found}, this program knows up to {known}")]
    Schema {
        /// The version found.
        found: u32,
        /// The newest version that this program reads.
        known: u32,
    },
    /// A stored row or body does not decode or does not match its digest. Others are not affected.
    #[error("corrupt {what} (account {})", account.map_or_else(|| "none".to_owned(), |id| id.to_string()))]
    Corrupt {
        /// Whose row it is, when it is an account's.
        account: Option<AccountId>,
        /// Which row.
        what: String,
    },
    /// The engine or the file system failed.
    #[error("the storage engine failed: {0}")]
    Engine(String),
}

impl StoreError {
    /// True when the same request may succeed later: SMTP 4xx, IMAP `[UNAVAILABLE]`, POP3 `[SYS/TEMP]`.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Conflict
            | Self::Full
            | Self::ReadOnly(_)
            | Self::Closed
            | Self::Engine(_)
            | Self::Corrupt { .. }
            | Self::Locked => true,
            Self::NotFound(_)
            | Self::AlreadyExists(_)
            | Self::InUse(_)
            | Self::Invalid(_)
            | Self::Limit(_)
            | Self::OverQuota
            | Self::Schema { .. } => false,
        }
    }

    /// Names the account whose row is corrupt.
    pub(crate) fn of(self, id: AccountId) -> Self {
        match self {
            Self::Corrupt { account: None, what } => Self::Corrupt {
                account: Some(id),
                what,
            },
            other => other,
        }
    }
}
