//! A real directory of either kind, in the words of the scenarios.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::fmt::Write;
use testkit::{HomingBinary, Samba, Slapd, SlapdOptions};

pub(super) const DOMAIN: &str = "example.test";
/// Everybody's.
pub(super) const PASSWORD: &str = "secret of everybody 1";
/// NORMAL_ACCOUNT and ACCOUNTDISABLE of `userAccountControl` (MS-ADTS section 2.2.16).
const NORMAL: u32 = 512;
const DISABLED: u32 = 2;

/// Which directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Openldap,
    ActiveDirectory,
}

/// What an entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Name,
    Mail,
    Alias,
    Quota,
    Home,
    /// Whoever has one is none of ours: the filter of accounts leaves them out.
    Title,
}

pub(super) enum Directory {
    Slapd(Box<Slapd>),
    Samba(Box<Samba>),
}

/// An entry: attributes and their values.
pub(super) type Entry = BTreeMap<String, Vec<String>>;

pub(super) fn address(name: &str) -> String {
    format!("{name}@{DOMAIN}")
}

impl Directory {
    pub(super) fn start(binary: &HomingBinary, kind: Kind) -> Result<Self> {
        Ok(match kind {
            Kind::Openldap => {
                let options = SlapdOptions {
                    suffix: "dc=example,dc=test".to_owned(),
                    port: 0,
                };
                Self::Slapd(Box::new(Slapd::start(binary, &options, "")?))
            }
            Kind::ActiveDirectory => Self::Samba(Box::new(Samba::start("")?)),
        })
    }

    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Slapd(_) => Kind::Openldap,
            Self::Samba(_) => Kind::ActiveDirectory,
        }
    }

    fn users(&self) -> String {
        match self {
            Self::Slapd(slapd) => format!("ou=Users,o=example,{}", slapd.suffix),
            Self::Samba(samba) => samba.people_dn(),
        }
    }

    fn groups(&self) -> String {
        match self {
            Self::Slapd(slapd) => format!("ou=Groups,o=example,{}", slapd.suffix),
            Self::Samba(samba) => samba.groups_dn(),
        }
    }

    /// The connector, as far as the directory decides.
    pub(super) fn connector(&self) -> String {
        let own = match self {
            Self::Slapd(slapd) => format!(
                "server_type = \"openldap\"\nuris = [\"{}\"]\nbind_dn = \"{}\"\nbind_password = \"{}\"\n\
                 write_bind_dn = \"{}\"\nwrite_bind_password = \"{}\"\n",
                slapd.uri(),
                slapd.reader.dn,
                slapd.reader.password,
                slapd.writer.dn,
                slapd.writer.password,
            ),
            Self::Samba(samba) => format!(
                "server_type = \"active-directory\"\nuris = [\"{}\"]\nca_file = \"{}\"\nbind_dn = \"{}\"\n\
                 bind_password = \"{}\"\nattributes.quota = \"{}\"\nattributes.host = \"{}\"\n",
                samba.tls_uri(),
                samba.certificate().certificate.display(),
                samba.administrator.dn,
                samba.administrator.password,
                self.attribute(Word::Quota),
                self.attribute(Word::Home),
            ),
        };
        format!(
            "{own}domains = [\"{DOMAIN}\"]\naccounts.base_dn = [\"{}\"]\naccounts.filter = \"(!(title=*))\"\n\
             groups.base_dn = [\"{}\"]\n",
            self.users(),
            self.groups()
        )
    }

    pub(super) fn attribute(&self, word: Word) -> &'static str {
        match (word, self.kind()) {
            (Word::Name, _) => "displayName",
            (Word::Mail, _) => "mail",
            (Word::Title, _) => "title",
            (Word::Alias, Kind::Openldap) => "mailLocalAddress",
            (Word::Alias, Kind::ActiveDirectory) => "proxyAddresses",
            (Word::Quota, Kind::Openldap) => "homingQuota",
            (Word::Quota, Kind::ActiveDirectory) => "msDS-cloudExtensionAttribute2",
            (Word::Home, Kind::Openldap) => "mailHost",
            (Word::Home, Kind::ActiveDirectory) => "msDS-cloudExtensionAttribute1",
        }
    }

    fn written(&self, word: Word, value: &str) -> String {
        match (word, self.kind()) {
            (Word::Alias, Kind::ActiveDirectory) => format!("smtp:{}", address(value)),
            (Word::Alias | Word::Mail, _) => address(value),
            _ => value.to_owned(),
        }
    }

    fn rdn(&self, name: &str) -> String {
        match self.kind() {
            Kind::Openldap => format!("uid={name}"),
            Kind::ActiveDirectory => format!("CN={name}"),
        }
    }

    /// Where somebody is; below `branch`, when one is named.
    pub(super) fn dn(&self, name: &str, branch: Option<&str>) -> String {
        let branch = branch.map(|branch| format!("ou={branch},")).unwrap_or_default();
        format!("{},{branch}{}", self.rdn(name), self.users())
    }

    /// A branch for people.
    pub(super) fn branch(&self, name: &str) -> Result<()> {
        self.add_ldif(&format!(
            "dn: ou={name},{}\nobjectClass: organizationalUnit\nou: {name}\n\n",
            self.users()
        ))
    }

    /// Somebody new with an address of this name.
    pub(super) fn add(&self, name: &str, more: &[(Word, &str)]) -> Result<()> {
        self.add_below(name, None, more)
    }

    pub(super) fn add_below(&self, name: &str, branch: Option<&str>, more: &[(Word, &str)]) -> Result<()> {
        let mut lines = String::new();
        for (word, value) in more {
            writeln!(lines, "{}: {}", self.attribute(*word), self.written(*word, value))?;
        }
        let mail = address(name);
        let dn = self.dn(name, branch);
        let ldif = match self {
            Self::Slapd(_) => format!(
                "dn: {dn}\nobjectClass: inetOrgPerson\nobjectClass: inetLocalMailRecipient\n\
                 objectClass: homingAccount\nuid: {name}\ncn: {name}\nsn: {name}\nmail: {mail}\n\
                 userPassword: {PASSWORD}\n{lines}\n"
            ),
            Self::Samba(samba) => {
                let ldif = samba.user_ldif(name, &mail, PASSWORD, &lines);
                ldif.replace(&samba.user_dn(name), &dn)
            }
        };
        self.add_ldif(&ldif)
    }

    /// A group with these members.
    pub(super) fn team(&self, name: &str, members: &[&str]) -> Result<()> {
        let members = members.iter().map(|member| self.dn(member, None));
        let members: Vec<String> = members.collect();
        let ldif = match self {
            Self::Slapd(_) => {
                let lines: String = members.iter().map(|dn| format!("member: {dn}\n")).collect();
                format!(
                    "dn: cn={name},{}\nobjectClass: groupOfNames\nobjectClass: homingGroup\ncn: {name}\n\
                     mail: {}\n{lines}\n",
                    self.groups(),
                    address(name)
                )
            }
            Self::Samba(samba) => samba.group_ldif(name, &address(name), &members),
        };
        self.add_ldif(&ldif)
    }

    /// `add` or `delete` a member of a group.
    pub(super) fn member(&self, what: &str, team: &str, name: &str) -> Result<()> {
        self.modify(&format!(
            "dn: cn={team},{}\nchangetype: modify\n{what}: member\nmember: {}\n\n",
            self.groups(),
            self.dn(name, None)
        ))
    }

    /// `add`, `delete` or `replace` a value.
    pub(super) fn change(&self, name: &str, what: &str, word: Word, value: &str) -> Result<()> {
        let (attribute, value) = (self.attribute(word), self.written(word, value));
        self.modify(&format!(
            "dn: {}\nchangetype: modify\n{what}: {attribute}\n{attribute}: {value}\n\n",
            self.where_is(name)?
        ))
    }

    pub(super) fn set(&self, name: &str, word: Word, value: &str) -> Result<()> {
        self.change(name, "replace", word, value)
    }

    pub(super) fn clear(&self, name: &str, word: Word) -> Result<()> {
        let attribute = self.attribute(word);
        let dn = self.where_is(name)?;
        self.modify(&format!("dn: {dn}\nchangetype: modify\ndelete: {attribute}\n\n"))
    }

    pub(super) fn switch(&self, name: &str, on: bool) -> Result<()> {
        let (attribute, value) = match (self.kind(), on) {
            (Kind::Openldap, true) => ("homingEnabled", "TRUE".to_owned()),
            (Kind::Openldap, false) => ("homingEnabled", "FALSE".to_owned()),
            (Kind::ActiveDirectory, true) => ("userAccountControl", NORMAL.to_string()),
            (Kind::ActiveDirectory, false) => ("userAccountControl", (NORMAL | DISABLED).to_string()),
        };
        let dn = self.where_is(name)?;
        self.modify(&format!(
            "dn: {dn}\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n\n"
        ))
    }

    /// Whether somebody is switched on.
    pub(super) fn is_on(&self, name: &str) -> Result<bool> {
        let entry = self.read(name)?.context("nobody")?;
        let first = |attribute: &str| entry.get(attribute).and_then(|values| values.first());
        Ok(match self.kind() {
            Kind::Openldap => first("homingEnabled").is_none_or(|text| text != "FALSE"),
            Kind::ActiveDirectory => {
                first("userAccountControl").context("no switch")?.parse::<u32>()? & DISABLED == 0
            }
        })
    }

    /// Another name, another place, or both.
    pub(super) fn rename(&self, name: &str, to: &str, branch: Option<&str>) -> Result<()> {
        let dn = self.where_is(name)?;
        let new = self.dn(to, branch);
        let (rdn, parent) = new.split_once(',').context("a DN")?;
        self.modify(&format!(
            "dn: {dn}\nchangetype: modrdn\nnewrdn: {rdn}\ndeleteoldrdn: 1\nnewsuperior: {parent}\n\n"
        ))
    }

    pub(super) fn rename_branch(&self, name: &str, to: &str) -> Result<()> {
        self.modify(&format!(
            "dn: ou={name},{}\nchangetype: modrdn\nnewrdn: ou={to}\ndeleteoldrdn: 1\n\n",
            self.users()
        ))
    }

    pub(super) fn delete(&self, name: &str) -> Result<()> {
        let dn = self.where_is(name)?;
        match self {
            Self::Slapd(slapd) => slapd.delete(&dn),
            Self::Samba(samba) => samba.delete(&dn),
        }
    }

    /// The entry of this name, wherever it is.
    pub(super) fn read(&self, name: &str) -> Result<Option<Entry>> {
        self.search(&format!("({})", self.rdn(name)))
    }

    /// The entry with this address.
    pub(super) fn read_address(&self, name: &str) -> Result<Option<Entry>> {
        self.search(&format!("(mail={})", address(name)))
    }

    /// The name of the entry with this address.
    pub(super) fn called(&self, name: &str) -> Result<String> {
        let entry = self
            .read_address(name)?
            .with_context(|| format!("nobody is {name}"))?;
        let found = ["uid", "cn"].iter().find_map(|key| entry.get(*key));
        found
            .and_then(|values| values.first().cloned())
            .context("no name")
    }

    fn search(&self, filter: &str) -> Result<Option<Entry>> {
        let text = match self {
            Self::Slapd(slapd) => slapd.search(&slapd.suffix, filter, &["*", "entryCSN", "entryUUID"])?,
            Self::Samba(samba) => samba.search(&samba.suffix, filter, &["*"])?,
        };
        let mut entry = Entry::new();
        // A domain controller adds references to other parts of the domain; they have no attributes of ours.
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some((name, value)) = line.split_once(": ") {
                entry
                    .entry(name.trim_end_matches(':').to_owned())
                    .or_default()
                    .push(value.to_owned());
            }
        }
        Ok(Some(entry).filter(|entry| entry.contains_key("dn")))
    }

    fn where_is(&self, name: &str) -> Result<String> {
        let entry = self
            .read(name)?
            .with_context(|| format!("nobody is called {name}"))?;
        let dn = entry.get("dn").and_then(|values| values.first());
        dn.cloned().context("no DN")
    }

    /// What an entry says; aliases and addresses without their domain.
    pub(super) fn says(&self, name: &str, word: Word) -> Result<Vec<String>> {
        let entry = self.read(name)?.unwrap_or_default();
        let values = entry.get(self.attribute(word)).cloned().unwrap_or_default();
        let bare = |value: &String| {
            let value = value.trim_start_matches("smtp:");
            value.trim_end_matches(&format!("@{DOMAIN}")).to_owned()
        };
        let mut values: Vec<String> = values.iter().map(bare).collect();
        values.sort();
        Ok(values)
    }

    /// Members of a group, by the names of their entries. The placeholder of an empty one is nobody.
    pub(super) fn members(&self, team: &str) -> Result<Vec<String>> {
        let entry = self
            .search(&format!("(&(cn={team})(mail=*))"))?
            .unwrap_or_default();
        let people = self.users().to_lowercase();
        let mut names: Vec<String> = entry
            .get("member")
            .into_iter()
            .flatten()
            .filter(|dn| dn.to_lowercase().ends_with(&people))
            .filter_map(|dn| Some(dn.split_once(',')?.0.split_once('=')?.1.to_owned()))
            .collect();
        names.sort();
        Ok(names)
    }

    /// Raised by every change of an entry.
    pub(super) fn version(&self, name: &str) -> Result<String> {
        let entry = self
            .read(name)?
            .with_context(|| format!("nobody is called {name}"))?;
        let found = ["entryCSN", "uSNChanged"].iter().find_map(|key| entry.get(*key));
        found
            .and_then(|values| values.first().cloned())
            .context("no version")
    }

    pub(super) fn kill(&mut self) -> Result<()> {
        match self {
            Self::Slapd(slapd) => slapd.kill(),
            Self::Samba(samba) => samba.kill(),
        }
    }

    /// Starts it again. A slapd that was killed has forgotten how far it had come (its contextCSN is that of the last
    /// checkpoint), and while anything is in quarantine nobody believes it until somebody writes: so an entry that is
    /// none of ours is written.
    pub(super) fn restart(&mut self) -> Result<()> {
        match self {
            Self::Slapd(slapd) => {
                slapd.restart()?;
                slapd.modify(&format!(
                    "dn: o=example,{}\nchangetype: modify\nreplace: description\ndescription: here again\n\n",
                    slapd.suffix
                ))
            }
            Self::Samba(samba) => samba.restart(),
        }
    }

    fn add_ldif(&self, ldif: &str) -> Result<()> {
        match self {
            Self::Slapd(slapd) => slapd.add(ldif),
            Self::Samba(samba) => samba.add(ldif),
        }
    }

    fn modify(&self, ldif: &str) -> Result<()> {
        match self {
            Self::Slapd(slapd) => slapd.modify(ldif),
            Self::Samba(samba) => samba.modify(ldif),
        }
    }
}
