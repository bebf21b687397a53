//! From a directory entry to fields and scope: whose entry is it, and what does it say.

use crate::field::{Field, Image, Values};
use crate::plan::{self, Home, Kind, Reason, Remote, RemoteObject, Switch};
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
    /// The names that this server had before, canonical. None of them is one of the above.
    former: Vec<String>,
    /// The name that new entries say, and those that say a former one are told.
    name: String,
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
    pub(crate) fn new(
        config: &ConnectorConfig,
        server_name: &str,
        host_aliases: &[String],
        node: Option<&store::Node>,
    ) -> Self {
        let names = std::iter::once(server_name)
            .chain(host_aliases.iter().map(String::as_str))
            .chain(config.host_aliases.iter().map(String::as_str));
        let names: Vec<String> = names.map(canonical_host).collect();
        let former = node.filter(|node| node.name() == canonical_host(server_name));
        let former = former.map(store::Node::former_names).unwrap_or_default();
        let former = former.iter().filter(|name| !names.contains(name));
        Self {
            former: former.cloned().collect(),
            name: server_name.to_owned(),
            hosts: config.clustered.then_some(names),
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

    /// The names that this server had before, without those of homes that there are.
    pub(crate) fn former_beside(&self, homes: &[String]) -> Vec<String> {
        let homes: Vec<String> = homes.iter().map(|home| canonical_host(home)).collect();
        let former = self.former.iter().filter(|name| !homes.contains(name));
        former.cloned().collect()
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
                } else if self.former.contains(&host) {
                    Place::Former(host)
                } else {
                    Place::Elsewhere(host)
                }
            }
        }
    }

    /// What a link is to remember of the home of an entry that is plainly ours; none of one that is not.
    pub(crate) fn plain_home(&self, account: &DirectoryAccount) -> Option<Option<String>> {
        let ours = self.place(account) == Place::Here;
        ours.then(|| self.home(account).map(|home| home.shown))
    }

    /// Whether the entry has a switch of its own.
    pub(crate) fn has_switch(&self, entry: &ldap::Entry) -> bool {
        entry.first_str(&self.enabled_attribute).is_some()
    }

    /// Maps an entry of the feed.
    pub(crate) fn remote(&self, changed: &ChangedEntry, members: Members, known: &Known<'_>) -> Remote {
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
        let there = self.has_switch(&changed.entry);
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
        self.remote_account(account, &shown, members, known)
    }

    /// Maps an entry that a look-up by address found. It does not tell whether the switch is there, so only
    /// a switch that is off counts; the next round sees the rest.
    pub(crate) fn remote_of_lookup(
        &self,
        account: &DirectoryAccount,
        members: Members,
        known: &Known<'_>,
    ) -> Remote {
        let shown = match account.state {
            AccountState::Disabled => Shown::Yes,
            _ => Shown::No,
        };
        self.remote_account(account, &shown, members, known)
    }

    /// What the entry of an account here says of its home, and what it is to say instead.
    fn home(&self, account: &DirectoryAccount) -> Option<Home> {
        let (Some(_), EntryKind::Account, Host::One(written)) = (&self.hosts, account.kind, &account.host)
        else {
            return None;
        };
        let shown = canonical_host(written);
        Some(Home {
            becomes: self.former.contains(&shown).then(|| self.name.clone()),
            written: written.clone(),
            shown,
        })
    }

    fn remote_account(
        &self,
        account: &DirectoryAccount,
        shown: &Shown,
        members: Members,
        known: &Known<'_>,
    ) -> Remote {
        let is_local = known.is_local;
        let place = match self.place(account) {
            Place::Former(host) if (known.is_still_ours)(&host) => Place::Here,
            // The name is somebody else's now.
            Place::Former(host) => Place::Elsewhere(host),
            place => place,
        };
        match place {
            Place::Here | Place::Former(_) => {}
            #[cfg(test)]
            Place::Elsewhere(_) if crate::broken::is(crate::broken::Broken::MoveIsDelete) => {
                return Remote::Gone;
            }
            Place::Elsewhere(host) => {
                let image = image_here(account, shown, is_local);
                return Remote::Elsewhere { host, image };
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
        if let Some(message) = members.unusable {
            return Remote::Broken(Reason::Unusable { message });
        }
        let mut image = image_here(account, shown, is_local);
        let kind = match account.kind {
            EntryKind::Account => Kind::Account,
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
            home: self.home(account),
        })
    }
}

/// What is known here of whoever an entry is about.
pub(crate) struct Known<'a> {
    /// Whether a domain is this server's.
    pub(crate) is_local: &'a dyn Fn(&Domain) -> bool,
    /// Whether an entry that says this former name of ours is still ours: it is linked to an account that lives here,
    /// and has said nothing else since.
    pub(crate) is_still_ours: &'a dyn Fn(&str) -> bool,
}

/// The fields of an entry as this server would have them, without members.
fn image_here(account: &DirectoryAccount, shown: &Shown, is_local: &dyn Fn(&Domain) -> bool) -> Image {
    let name = account.display_name.as_deref().map(Values::text);
    let image = addresses_here(account, is_local).with(Field::DisplayName, name.unwrap_or_default());
    if account.kind == EntryKind::Group {
        return image;
    }
    let enabled = match shown {
        Shown::Yes => Values::switch(account.state != AccountState::Disabled),
        Shown::No | Shown::Unborn => Values::NONE,
    };
    image
        .with(
            Field::Quota,
            account.quota.map(Values::number).unwrap_or_default(),
        )
        .with(Field::Enabled, enabled)
}

/// The addresses that the entry can have on this server.
fn addresses_here(account: &DirectoryAccount, is_local: &dyn Fn(&Domain) -> bool) -> Image {
    let domain = account.address.domain();
    if !is_local(&domain) {
        return Image::default();
    }
    // An alias of a domain that is not ours cannot receive mail here; it is no reason to refuse the rest.
    let aliases = account
        .aliases
        .iter()
        .filter(|alias| alias.domain_str() == domain.as_str() || is_local(&alias.domain()));
    Scope::address_image(&account.address).with(Field::Aliases, Values::addresses(aliases))
}

/// Whose an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    Here,
    /// It says a name that this server had before: whose it is depends on what it said last.
    Former(String),
    Elsewhere(String),
    NoHome,
    Several(Vec<String>),
}

/// Host names are compared without case and without the trailing dot (RFC 4343).
pub(crate) fn canonical_host(host: &str) -> String {
    host.trim().trim_end_matches('.').to_ascii_lowercase()
}
