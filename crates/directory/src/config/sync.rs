//! The keys of a connector that govern synchronisation; `ldapsync` acts on them.

/// Which side is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// The directory is the source: accounts here follow it and nothing is written to it.
    #[default]
    LdapToLocal,
    /// Accounts here are the source: the directory follows them and nothing of it is taken over.
    LocalToLdap,
    /// Both are written; what changed on one side only goes to the other, and conflicts are decided.
    BothWays,
}

/// Who wins when the same thing changed on both sides; only with `direction = "both-ways"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictResolution {
    /// What is here goes to the directory.
    LocalWins,
    /// What is in the directory comes here.
    #[default]
    LdapWins,
    /// Neither: both sides go back to the last common state, and deletions wait for a person.
    NoChange,
}

/// What counts as the same thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConflictScope {
    /// The whole object: whoever loses, loses every change since the last common state.
    Entry,
    /// One attribute; aliases and members are even merged one by one.
    #[default]
    Attribute,
}

/// What a deletion in the directory does to the local account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnDelete {
    /// Login off, mail kept for `retention`.
    #[default]
    Disable,
    /// The account is deleted; its mail is kept for `retention`, then erased.
    Delete,
    /// Nothing happens to the local account.
    Ignore,
}

/// What happens when an attribute that was seen before is absent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Absent {
    /// The local value stays: rights may have changed, not the person.
    #[default]
    Keep,
    /// The local value is cleared.
    Clear,
}

/// What the new home does with an account that arrives from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnHostChange {
    /// It waits for the mail: temporary answers until then.
    #[default]
    Hold,
    /// It opens empty at once.
    StartEmpty,
}

/// When to stop and ask before many accounts lose something: `guard`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GuardConfig {
    /// Destructive changes in one hour that trip the guard whatever the size of the directory; 1 to 1000000,
    /// default 1000.
    pub limit: u64,
    /// Up to this many are always let through; 0 to 1000000, default 50.
    pub floor: u64,
    /// Above the floor, this percentage of the linked accounts and groups trips the guard; 1 to 100, default 5.
    pub percent: u64,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            limit: 1000,
            floor: 50,
            percent: 5,
        }
    }
}
