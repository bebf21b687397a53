//! From a directory entry to fields and scope: whose entry is it, and what does it say.

use crate::field::{Field, Image, Values};
use crate::plan::{self, Kind, Reason, Remote, RemoteObject, Switch};
use directory::config::{Direction, ServerType};
use directory::feed::ChangedEntry;
use directory::{AccountState, ConnectorConfig, DirectoryAccount, EntryKind, Host};
use model::{Address, Domain};

/// The members of a group as they were resolved: what is no entry is told apart, what has no address is pending.
pub(crate) type Members = directory::ResolvedMembers;

/// What decides whether an entry is ours.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    /// With `clustered`: the spellings of this server's name, canonical. None: every entry is ours.
    hosts: Option<Vec<String>>,
    enabled_attribute: String,
    /// Whether an entry that never had a password says nothing by being off: on Active Directory, where such entries
    /// are made.
    unborn: Unborn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unborn {
    Disabled,
    Says,
}

/// Whether the entry of a switch shows it.
enum Shown {
    Yes,
    No,
    /// It is off because it never had a password.
    Unborn,
}

impl Scope {
    pub(crate) fn new(config: &ConnectorConfig, server_name: &str, host_aliases: &[String]) -> Self {
        let names = std::iter::once(server_name)
            .chain(host_aliases.iter().map(String::as_str))
            .chain(config.host_aliases.iter().map(String::as_str));
        Self {
            hosts: config.clustered.then(|| names.map(canonical_host).collect()),
            enabled_attribute: config.attributes.enabled_attribute(config.server_type),
            unborn: match (config.server_type, config.direction) {
                (ServerType::Openldap, _) | (_, Direction::LdapToLocal) => Unborn::Disabled,
                (ServerType::ActiveDirectory, _) => Unborn::Says,
            },
        }
    }

    /// With `clustered`: the spellings of this server in the host attribute.
    pub(crate) fn hosts(&self) -> &[String] {
        self.hosts.as_deref().unwrap_or_default()
    }

    /// The addresses of an entry that a look-up found.
    pub(crate) fn addresses_of(account: &DirectoryAccount) -> Image {
        Self::address_image(&account.address).with(Field::Aliases, Values::addresses(&account.aliases))
    }

    /// An image with an address and nothing else.
    pub(crate) fn address_image(address: &Address) -> Image {
        Image::default().with(Field::Address, Values::addresses([address]))
    }

    /// Places an entry: ours, another home's, or nobody's. Groups belong to every server.
    pub(crate) fn place(&self, account: &DirectoryAccount) -> Place {
        let (Some(hosts), EntryKind::Account) = (&self.hosts, account.kind) else {
            return Place::Here;
        };
        match &account.host {
            Host::None => Place::NoHome,
            Host::Several(hosts) => Place::Several(hosts.clone()),
            Host::One(host) => {
                let host = canonical_host(host);
                if hosts.contains(&host) {
                    Place::Here
                } else {
                    Place::Elsewhere(host)
                }
            }
        }
    }

    /// Maps an entry of the feed. `is_local` tells the domains of this server.
    pub(crate) fn remote(
        &self,
        changed: &ChangedEntry,
        members: Members,
        is_local: &dyn Fn(&Domain) -> bool,
    ) -> Remote {
        if changed.kind.is_none() {
            return Remote::OutOfScope;
        }
        let account = match &changed.account {
            Ok(account) => account,
            Err(problem) => {
                return Remote::Broken(Reason::Unusable {
                    message: problem.to_string(),
                });
            }
        };
        // An attribute that is absent is no value; "absent means enabled" is the plan's to say.
        let there = changed.entry.first_str(&self.enabled_attribute).is_some();
        // MS-ADTS section 3.1.1.3.1.5: a user is made without a password, off; pwdLastSet is 0 until it has one.
        let never_set = changed
            .entry
            .first_str("pwdLastSet")
            .is_none_or(|time| time == "0");
        let shown = match self.unborn {
            Unborn::Says if never_set && account.state == AccountState::Disabled => Shown::Unborn,
            _ if there => Shown::Yes,
            _ => Shown::No,
        };
        self.remote_account(account, &shown, members, is_local)
    }

    /// Maps an entry that a look-up by address found. It does not tell whether the switch is there, so only
    /// a switch that is off counts; the next round sees the rest.
    pub(crate) fn remote_of_lookup(
        &self,
        account: &DirectoryAccount,
        members: Members,
        is_local: &dyn Fn(&Domain) -> bool,
    ) -> Remote {
        let shown = match account.state {
            AccountState::Disabled => Shown::Yes,
            _ => Shown::No,
        };
        self.remote_account(account, &shown, members, is_local)
    }

    fn remote_account(
        &self,
        account: &DirectoryAccount,
        shown: &Shown,
        members: Members,
        is_local: &dyn Fn(&Domain) -> bool,
    ) -> Remote {
        match self.place(account) {
            Place::Here => {}
            #[cfg(test)]
            Place::Elsewhere(_) if crate::broken::is(crate::broken::Broken::MoveIsDelete) => {
                return Remote::Gone;
            }
            Place::Elsewhere(host) => {
                let addresses = addresses_here(account, is_local);
                return Remote::Elsewhere { host, addresses };
            }
            Place::NoHome => return Remote::NoHome,
            Place::Several(hosts) => return Remote::Broken(Reason::SeveralHosts { hosts }),
        }
        let domain = account.address.domain();
        if !is_local(&domain) {
            return Remote::Broken(Reason::ForeignDomain {
                domain: domain.to_string(),
            });
        }
        let name = account.display_name.as_deref().map(Values::text);
        let mut image = addresses_here(account, is_local).with(Field::DisplayName, name.unwrap_or_default());
        let kind = match account.kind {
            EntryKind::Account => {
                image.set(
                    Field::Quota,
                    account.quota.map(Values::number).unwrap_or_default(),
                );
                if matches!(shown, Shown::Yes) {
                    image.set(
                        Field::Enabled,
                        Values::switch(account.state != AccountState::Disabled),
                    );
                }
                Kind::Account
            }
            EntryKind::Group => {
                let known = members
                    .members
                    .iter()
                    .filter_map(|(uuid, address)| Some((*uuid, address.as_ref()?)));
                let pending = members.members.iter().filter(|(_, address)| address.is_none());
                image.set(Field::Members, Values::members(known));
                image.set(
                    Field::PendingMembers,
                    Values::entries(pending.map(|(uuid, _)| *uuid)),
                );
                Kind::Group
            }
        };
        // What was mapped from no value at all may be hidden; a placeholder is a value.
        let members = if account.members.is_empty() {
            plan::Members::Withheld
        } else {
            plan::Members::Shown
        };
        Remote::Here(RemoteObject {
            kind,
            image,
            members,
            password: plan::RemotePassword::default(),
            switch: match shown {
                Shown::Unborn => Switch::Unborn,
                Shown::Yes | Shown::No => Switch::Said,
            },
            until: account.state_until.map(|end| end.at),
        })
    }
}

/// The addresses that the entry can have on this server.
fn addresses_here(account: &DirectoryAccount, is_local: &dyn Fn(&Domain) -> bool) -> Image {
    if !is_local(&account.address.domain()) {
        return Image::default();
    }
    // An alias of a domain that is not ours cannot receive mail here; it is no reason to refuse the rest.
    let aliases = account.aliases.iter().filter(|alias| is_local(&alias.domain()));
    Scope::address_image(&account.address).with(Field::Aliases, Values::addresses(aliases))
}

/// Whose an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Here,
    Elsewhere(String),
    NoHome,
    Several(Vec<String>),
}

/// Host names are compared without case and without the trailing dot (RFC 4343).
pub(crate) fn canonical_host(host: &str) -> String {
    host.trim().trim_end_matches('.').to_ascii_lowercase()
}
