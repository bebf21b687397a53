//! What a new account's or group's entry consists of.

use super::{ACCOUNT_DISABLED, Place, Property, Schema, Vocabulary, account_names, auxiliary_class};
use crate::config::{EnabledKind, ServerType};
use crate::export::Disabled;
use crate::patterns::EntryKind;
use crate::placeholder;
use crate::write::NewEntry;
use bytes::Bytes;
use ldap::{Attribute, Dn, DnError, Entry, Rdn, Slots, Values};
use model::{Address, Domain};

/// `userAccountControl` of a person's account (NORMAL_ACCOUNT), MS-ADTS section 2.2.16.
const NORMAL_ACCOUNT: u32 = 512;
/// `groupType` of a universal distribution group, MS-ADTS section 2.2.12.
const UNIVERSAL_GROUP: &str = "8";

/// An account or a group in the mail system's words.
#[derive(Debug, Clone)]
pub struct MailObject {
    /// Which of the two.
    pub kind: EntryKind,
    /// Its address.
    pub address: Address,
    /// Its other addresses.
    pub aliases: Vec<Address>,
    /// The name shown to people.
    pub display_name: Option<String>,
    /// Given name.
    pub given_name: Option<String>,
    /// Surname.
    pub surname: Option<String>,
    /// Storage limit in bytes; 0 is none.
    pub quota: u64,
    /// Whether it is switched off.
    pub disabled: Disabled,
    /// The server that holds its mail, where the entry shall say so.
    pub host: Option<String>,
    /// The DNs of a group's members.
    pub members: Vec<String>,
}

impl MailObject {
    /// An account or group with nothing but an address.
    #[must_use]
    pub fn new(kind: EntryKind, address: Address) -> Self {
        Self {
            kind,
            address,
            aliases: Vec::new(),
            display_name: None,
            given_name: None,
            surname: None,
            quota: 0,
            disabled: Disabled::No,
            host: None,
            members: Vec::new(),
        }
    }
}

/// A new entry, and what could not be said in it.
#[derive(Debug, Clone)]
pub struct NewObject {
    /// The entry.
    pub entry: NewEntry,
    /// Attributes that were left out, because the server's schema does not know them or no value is known. The
    /// properties stay local.
    pub left_out: Vec<String>,
}

/// Why something cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// The connector says nothing about where groups are.
    #[error("groups.base_dn is not set, so there is no place for groups")]
    NoPlace,
    /// The address does not fit the template of DNs.
    #[error("{0} fits no DN: {1}")]
    NoName(String, String),
    /// The attribute's value is not what the mapping says.
    #[error("{attribute}: {problem}")]
    Value {
        /// The attribute.
        attribute: String,
        /// What is wrong.
        problem: &'static str,
    },
}

impl Unwritable {
    pub(super) fn not_a_number(attribute: &str) -> Self {
        Self::Value {
            attribute: attribute.to_owned(),
            problem: "its value is not a number",
        }
    }

    pub(super) fn unknown_value(attribute: &str) -> Self {
        Self::Value {
            attribute: attribute.to_owned(),
            problem: "the mapping says that its presence disables, and no value to write is known",
        }
    }
}

impl Vocabulary {
    /// The entry of a new account or group. `domains` are all whose objects are written through this connector:
    /// with several in one place, the RDN is the whole address. `schema` is the server's.
    ///
    /// On Active Directory an account begins disabled, whatever the object says: it is enabled with
    /// its first password ([`crate::Connector::change_password`]).
    pub fn entry(
        &self,
        object: &MailObject,
        domains: &[Domain],
        schema: &Schema,
    ) -> Result<NewObject, Unwritable> {
        let place = self.place(object.kind).ok_or(Unwritable::NoPlace)?;
        let address = object.address.as_str();
        let slots = Slots {
            address: Some(address),
            local_part: Some(object.address.local_part()),
            domain: Some(object.address.domain_str()),
        };
        let nameless = |why: &str| Unwritable::NoName(address.to_owned(), why.to_owned());
        let parent = place
            .under
            .fill(&slots)
            .ok_or_else(|| nameless("create_under needs more than it has"))?;
        let rdn = self.rdn(place, object, &slots, domains)?;
        let mut draft = Draft {
            schema,
            classes: self.classes(place, object.kind),
            attributes: Vec::new(),
            left_out: Vec::new(),
        };
        for part in rdn.parts() {
            draft.set(part.attribute(), vec![Bytes::copy_from_slice(part.value())]);
        }
        match object.kind {
            EntryKind::Account => self.account(object, &mut draft),
            EntryKind::Group => self.group(object, place, &mut draft),
        }
        self.common(object, &mut draft);
        self.auxiliaries(object.kind, &mut draft);
        Ok(draft.finish(parent, rdn, object.kind, self.server))
    }

    fn rdn(
        &self,
        place: &Place,
        object: &MailObject,
        slots: &Slots<'_>,
        domains: &[Domain],
    ) -> Result<Rdn, Unwritable> {
        let nameless = |why: &str| Unwritable::NoName(object.address.to_string(), why.to_owned());
        if let Some(template) = &place.rdn {
            let dn = template
                .fill(slots)
                .ok_or_else(|| nameless("rdn needs more than it has"))?;
            return match dn.rdns() {
                [rdn] => Ok(rdn.clone()),
                _ => Err(nameless("rdn is not one RDN")),
            };
        }
        let shared = place.is_shared(domains);
        let attribute = match (object.kind, self.server) {
            (EntryKind::Group, _) | (_, ServerType::ActiveDirectory) => "cn",
            (EntryKind::Account, ServerType::Openldap) if shared => &self.map.mail,
            (EntryKind::Account, ServerType::Openldap) => &self.map.login,
        };
        let value = if shared {
            object.address.as_str()
        } else {
            object.address.local_part()
        };
        Rdn::new(attribute, value.as_bytes()).map_err(|error: DnError| nameless(error.problem))
    }

    /// The structural class, and the one that entries are found by.
    fn classes(&self, place: &Place, kind: EntryKind) -> Vec<String> {
        let structural: &[&str] = match (self.server, kind) {
            (ServerType::Openldap, EntryKind::Account) => &["inetOrgPerson"],
            (ServerType::ActiveDirectory, EntryKind::Account) => {
                &["top", "person", "organizationalPerson", "user"]
            }
            (ServerType::ActiveDirectory, EntryKind::Group) => &["top", "group"],
            (ServerType::Openldap, EntryKind::Group) => &[],
        };
        let mut all: Vec<String> = structural.iter().map(|class| (*class).to_owned()).collect();
        all.push(place.object_class.clone());
        all
    }

    /// The classes that our attributes need now or may need later. Of a server that is not known, only those that are
    /// needed now: it may not have the others.
    fn auxiliaries(&self, kind: EntryKind, draft: &mut Draft<'_>) {
        if self.server == ServerType::ActiveDirectory {
            return;
        }
        let map = &self.map;
        let names = [&map.mail, &map.aliases].into_iter();
        let names = names.chain(&map.host).chain(&map.quota);
        for name in names.chain([&map.display_name, &map.enabled.attribute]) {
            if let Some(class) = auxiliary_class(name, kind)
                && (draft.schema.is_readable() || draft.has(name))
            {
                draft.classes.push(class.to_owned());
            }
        }
    }

    fn account(&self, object: &MailObject, draft: &mut Draft<'_>) {
        let map = &self.map;
        let local = object.address.local_part();
        let name = object.display_name.as_deref().unwrap_or(local);
        if self.server == ServerType::ActiveDirectory {
            draft.set_if_absent("sAMAccountName", account_names(local).next().unwrap_or_default());
            draft.set("userPrincipalName", one(object.address.as_str()));
            let control = NORMAL_ACCOUNT | ACCOUNT_DISABLED;
            draft.set("userAccountControl", one(&control.to_string()));
        } else {
            draft.set_if_absent(&map.login, local.to_owned());
            // RFC 4519 section 3.12: a person must have cn and sn.
            draft.set_if_absent("cn", name.to_owned());
            let surname = name.split_whitespace().next_back().unwrap_or(local);
            draft.set_if_absent("sn", object.surname.clone().unwrap_or_else(|| surname.to_owned()));
        }
        for (attribute, value) in [
            (&map.given_name, &object.given_name),
            (&map.surname, &object.surname),
        ] {
            if let Some(value) = value {
                draft.set(attribute, one(value));
            }
        }
        if object.quota > 0
            && let Some(quota) = &map.quota
        {
            draft.set(quota, one(&object.quota.to_string()));
        }
    }

    fn group(&self, object: &MailObject, place: &Place, draft: &mut Draft<'_>) {
        let local = object.address.local_part();
        if self.server == ServerType::ActiveDirectory {
            draft.set_if_absent("sAMAccountName", account_names(local).next().unwrap_or_default());
            draft.set("groupType", one(UNIVERSAL_GROUP));
        } else {
            draft.set_if_absent("cn", local.to_owned());
        }
        let mut members: Vec<Bytes> = object.members.iter().map(|dn| Bytes::from(dn.clone())).collect();
        if members.is_empty() && placeholder::is_needed(&place.object_class) {
            members.push(Bytes::from(placeholder::below(&place.base).to_string()));
        }
        draft.set(&self.map.members, members);
    }

    /// What accounts and groups have in common.
    fn common(&self, object: &MailObject, draft: &mut Draft<'_>) {
        draft.set(&self.map.mail, one(object.address.as_str()));
        if let Some(name) = &object.display_name {
            draft.set(&self.map.display_name, one(name));
        }
        let aliases = object.aliases.iter();
        let aliases = aliases.map(|alias| self.value(Property::Aliases, alias.as_str()));
        draft.set(&self.map.aliases, aliases.collect());
        if let (Some(attribute), Some(host)) = (&self.map.host, &object.host) {
            draft.set(attribute, one(host));
        }
        let ad_account =
            self.server == ServerType::ActiveDirectory && self.map.enabled.kind == EnabledKind::Bitmask;
        if object.disabled == Disabled::Yes && !ad_account {
            match self.switch(&Entry::default(), Disabled::Yes) {
                Ok(Some(change)) => {
                    if let super::Edit::Values { add, .. } = change.edit {
                        draft.set(&change.attribute, add);
                    }
                }
                Ok(None) => {}
                Err(_) => draft.left_out.push(self.map.enabled.attribute.clone()),
            }
        }
    }
}

/// An entry that grows.
struct Draft<'a> {
    schema: &'a Schema,
    classes: Vec<String>,
    attributes: Vec<(String, Vec<Bytes>)>,
    left_out: Vec<String>,
}

impl Draft<'_> {
    /// One attribute may be mapped twice, as `mail` for the login; it is written once.
    fn set(&mut self, attribute: &str, values: Vec<Bytes>) {
        if values.is_empty() {
            return;
        }
        if !self.schema.has_attribute(attribute) {
            self.left_out.push(attribute.to_owned());
            return;
        }
        let known = self
            .attributes
            .iter_mut()
            .find(|(name, _)| name.eq_ignore_ascii_case(attribute));
        match known {
            Some((_, present)) => {
                let new = values
                    .into_iter()
                    .filter(|value| !present.iter().any(|old| old.eq_ignore_ascii_case(value)));
                let new: Vec<Bytes> = new.collect();
                present.extend(new);
            }
            None => self.attributes.push((attribute.to_owned(), values)),
        }
    }

    fn has(&self, attribute: &str) -> bool {
        let mut names = self.attributes.iter().map(|(name, _)| name);
        names.any(|name| name.eq_ignore_ascii_case(attribute))
    }

    fn set_if_absent(&mut self, attribute: &str, value: String) {
        if !self.has(attribute) {
            self.set(attribute, vec![Bytes::from(value)]);
        }
    }

    fn finish(mut self, parent: Dn, rdn: Rdn, kind: EntryKind, server: ServerType) -> NewObject {
        let mut classes: Vec<String> = Vec::new();
        for class in std::mem::take(&mut self.classes) {
            let known = classes.iter().any(|other| other.eq_ignore_ascii_case(&class));
            if !known && self.schema.has_class(&class) {
                classes.push(class);
            }
        }
        // Without our schema no class of groups allows an address (RFC 4519 section 3.5), so any attribute is
        // allowed (RFC 4512 section 4.3).
        let ours = classes
            .iter()
            .any(|class| class.eq_ignore_ascii_case("homingGroup"));
        if server == ServerType::Openldap && kind == EntryKind::Group && !ours {
            classes.push("extensibleObject".to_owned());
        }
        let classes: Values = classes.into_iter().map(Bytes::from).collect::<Vec<_>>().into();
        let mut attributes = vec![Attribute::new("objectClass", classes)];
        let others = self.attributes.into_iter();
        attributes.extend(others.map(|(name, values)| Attribute::new(name, Values::from(values))));
        NewObject {
            entry: NewEntry {
                parent,
                rdn,
                attributes,
            },
            left_out: self.left_out,
        }
    }
}

fn one(text: &str) -> Vec<Bytes> {
    vec![Bytes::copy_from_slice(text.as_bytes())]
}
