//! Accounts, groups and domains as values, and the changes that can be asked for.

use crate::sync::{NewAssociation, RemovedBy, SyncChange};
use model::{AccountId, Address, ByteSize, Domain, EntryUuid, GroupId, Secret, Timestamp};

/// Who asked for a change: it stands in the journal, so that a connector skips its own echo, and in the
/// audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// An administrator, by the name that the admin surface authenticated (`uid:0`, a login, ...).
    Admin(String),
    /// The connector of this name.
    Connector(String),
    /// The account's own user.
    User(AccountId),
    /// The server itself (retention, set-up).
    System,
}

/// An account or a group of this server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LocalId {
    /// An account.
    Account(AccountId),
    /// A group.
    Group(GroupId),
}

/// A hosted domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainInfo {
    /// Its name.
    pub domain: Domain,
    /// Where mail for unknown names of this domain goes; none: it is refused.
    pub catch_all: Option<Address>,
    /// When it was created here.
    pub created: Timestamp,
}

/// Where an account stands between existing and not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountState {
    /// In use; `enabled` decides about login and delivery.
    Active,
    /// Deleted, mail kept until then. Its addresses are free for others; setting it `Active` again
    /// takes them back.
    SoftDeleted {
        /// When retention ends.
        until: Timestamp,
        /// Who took it out of use: a person's deletion is carried to directories, a connector's never is.
        by: RemovedBy,
    },
    /// Its home is another server now: login off, mail kept, never purged by retention.
    MovedAway {
        /// The new home, as the directory names it.
        to: String,
    },
    /// Its home is here now, but its earlier mail is still on the other server.
    AwaitingMail {
        /// The earlier home, as the directory names it.
        from: String,
    },
}

/// An account as stored. Read-only: every change goes through [`crate::Store::update_account`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its lasting id.
    pub id: AccountId,
    /// Its primary address.
    pub address: Address,
    /// Further addresses that lead here.
    pub aliases: Vec<Address>,
    /// Name for people.
    pub display_name: Option<String>,
    /// Most octets of mail; none: no limit.
    pub quota: Option<ByteSize>,
    /// False: no login, and mail is refused.
    pub enabled: bool,
    /// Deleted, moved and so on.
    pub state: AccountState,
    /// Raised by every change; expected back by [`crate::Store::update_account`].
    pub version: u64,
    /// When it was created here.
    pub created: Timestamp,
    pub(crate) password_hash: Option<Hash>,
}

/// A stored password hash; `Debug` does not show it.
#[derive(Clone)]
pub(crate) struct Hash(pub(crate) Secret);

impl PartialEq for Hash {
    fn eq(&self, other: &Self) -> bool {
        self.0.expose() == other.0.expose()
    }
}
impl Eq for Hash {}
impl std::fmt::Debug for Hash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hash(..)")
    }
}

impl Account {
    /// The stored `userPassword` value (`{SSHA}...`), for checking and for digests; none: local login is off.
    #[must_use]
    pub fn password_hash(&self) -> Option<&Secret> {
        self.password_hash.as_ref().map(|hash| &hash.0)
    }

    /// The primary address and the aliases.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.address).chain(&self.aliases)
    }

    /// Whether the user may log in and read mail here now.
    #[must_use]
    pub fn can_log_in(&self) -> bool {
        self.enabled && self.state == AccountState::Active
    }
}

/// An account to create. Fill the fields after [`NewAccount::new`].
#[derive(Debug, Clone)]
pub struct NewAccount {
    /// Primary address; its domain must exist.
    pub address: Address,
    /// Further addresses, in existing domains.
    pub aliases: Vec<Address>,
    /// Name for people.
    pub display_name: Option<String>,
    /// Hash made by crate `password`; none: no local login.
    pub password_hash: Option<Secret>,
    /// Most octets of mail.
    pub quota: Option<ByteSize>,
    /// Default true.
    pub enabled: bool,
    /// Default [`AccountState::Active`].
    pub state: AccountState,
    /// Stored in the same batch.
    pub association: Option<NewAssociation>,
    /// Further rows of the connector, in the same batch.
    pub sync: Vec<SyncChange>,
}

impl NewAccount {
    /// An enabled account without a password.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            aliases: Vec::new(),
            display_name: None,
            password_hash: None,
            quota: None,
            enabled: true,
            state: AccountState::Active,
            association: None,
            sync: Vec::new(),
        }
    }
}

/// What to change of an account; `None` leaves as is, `Some(None)` clears.
#[derive(Debug, Clone, Default)]
pub struct AccountChange {
    /// New primary address (a rename; mail stays).
    pub address: Option<Address>,
    /// The whole new list of aliases.
    pub aliases: Option<Vec<Address>>,
    /// Name for people.
    pub display_name: Option<Option<String>>,
    /// Hash made by crate `password`.
    pub password_hash: Option<Option<Secret>>,
    /// Most octets of mail.
    pub quota: Option<Option<ByteSize>>,
    /// Login and delivery on or off.
    pub enabled: Option<bool>,
    /// Soft delete, move, revive.
    pub state: Option<AccountState>,
    /// Stored in the same batch: a new base, or a new link.
    pub association: Option<NewAssociation>,
    /// Further rows of the connector, in the same batch.
    pub sync: Vec<SyncChange>,
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// An address without a known directory entry: an account or group here, or anywhere else.
    Local(Address),
    /// A directory entry; it may live on this server or on another home.
    Remote {
        /// The entry.
        uuid: EntryUuid,
        /// Its address when last seen.
        address: Address,
    },
}

impl Member {
    /// Where mail for this member goes.
    #[must_use]
    pub fn address(&self) -> &Address {
        match self {
            Self::Local(address) | Self::Remote { address, .. } => address,
        }
    }
}

/// A distribution list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its lasting id.
    pub id: GroupId,
    /// Its primary address.
    pub address: Address,
    /// Further addresses that lead here.
    pub aliases: Vec<Address>,
    /// Name for people.
    pub display_name: Option<String>,
    /// False: mail to it is refused.
    pub enabled: bool,
    /// Who gets its mail.
    pub members: Vec<Member>,
    /// Raised by every change.
    pub version: u64,
    /// When it was created here.
    pub created: Timestamp,
}

impl Group {
    /// The primary address and the aliases.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        std::iter::once(&self.address).chain(&self.aliases)
    }
}

/// A group to create.
#[derive(Debug, Clone)]
pub struct NewGroup {
    /// Primary address; its domain must exist.
    pub address: Address,
    /// Further addresses.
    pub aliases: Vec<Address>,
    /// Name for people.
    pub display_name: Option<String>,
    /// Default true.
    pub enabled: bool,
    /// Who gets its mail.
    pub members: Vec<Member>,
    /// Stored in the same batch.
    pub association: Option<NewAssociation>,
    /// Further rows of the connector, in the same batch.
    pub sync: Vec<SyncChange>,
}

impl NewGroup {
    /// An enabled group without members.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self {
            address,
            aliases: Vec::new(),
            display_name: None,
            enabled: true,
            members: Vec::new(),
            association: None,
            sync: Vec::new(),
        }
    }
}

/// What to change of a group; `None` leaves as is.
#[derive(Debug, Clone, Default)]
pub struct GroupChange {
    /// New primary address.
    pub address: Option<Address>,
    /// The whole new list of aliases.
    pub aliases: Option<Vec<Address>>,
    /// Name for people.
    pub display_name: Option<Option<String>>,
    /// Mail on or off.
    pub enabled: Option<bool>,
    /// The whole new list of members.
    pub members: Option<Vec<Member>>,
    /// Stored in the same batch.
    pub association: Option<NewAssociation>,
    /// Further rows of the connector, in the same batch.
    pub sync: Vec<SyncChange>,
}

/// What an address leads to.
#[derive(Debug, Clone)]
pub enum Recipient {
    /// An account that takes mail.
    Account(std::sync::Arc<Account>),
    /// A group, already expanded.
    Group(Expansion),
    /// The domain is hosted here and nobody has that name.
    NoSuchName,
    /// The domain is not hosted here.
    NotLocalDomain,
    /// A disabled group: mail is refused.
    Disabled,
    /// A disabled account: nobody logs in, and whether it takes mail is for the receiver to say.
    DisabledAccount(std::sync::Arc<Account>),
    /// The account's home is another server now.
    MovedAway(std::sync::Arc<Account>),
    /// The account is here, its mail is not yet: try later.
    AwaitingMail(std::sync::Arc<Account>),
}

/// Where mail to a group goes, without repeats. Groups that contain each other end once.
#[derive(Debug, Clone, Default)]
pub struct Expansion {
    /// Accounts here that take mail.
    pub accounts: Vec<std::sync::Arc<Account>>,
    /// Addresses whose home is not here: other domains, moved accounts, members on other homes.
    pub elsewhere: Vec<Address>,
    /// Accounts here whose mail is still on its way.
    pub awaiting: Vec<std::sync::Arc<Account>>,
    /// Accounts here that are disabled.
    pub disabled: Vec<std::sync::Arc<Account>>,
    /// Members that no longer lead anywhere, and disabled groups.
    pub dead: Vec<Address>,
}

/// One row of the change journal. The sequence is assigned in commit order and has no gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalEntry {
    /// Position in the journal.
    pub seq: u64,
    /// When.
    pub time: Timestamp,
    /// What changed; none for a domain.
    pub object: Option<LocalId>,
    /// Which attributes: bits of [`Touched`].
    pub touched: Touched,
    /// Who asked.
    pub origin: Origin,
    /// One line for the audit log, without secrets.
    pub note: String,
}

/// Which attributes a change touched, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Touched(pub u32);

impl Touched {
    /// The object was created.
    pub const CREATED: Self = Self(1);
    /// The object was deleted for good.
    pub const DELETED: Self = Self(2);
    /// The primary address.
    pub const ADDRESS: Self = Self(4);
    /// The aliases.
    pub const ALIASES: Self = Self(8);
    /// The display name.
    pub const DISPLAY_NAME: Self = Self(16);
    /// The password.
    pub const PASSWORD: Self = Self(32);
    /// The quota.
    pub const QUOTA: Self = Self(64);
    /// Enabled or disabled.
    pub const ENABLED: Self = Self(128);
    /// The state: soft delete, move, revive.
    pub const STATE: Self = Self(256);
    /// The members of a group.
    pub const MEMBERS: Self = Self(512);
    /// The catch-all of a domain.
    pub const CATCH_ALL: Self = Self(1024);
    /// The association.
    pub const ASSOCIATION: Self = Self(2048);

    /// Whether all bits of `other` are set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
