//! Which attribute of an entry says what: `attributes.*`.

use super::ServerType;

/// The mapping from an entry's attributes to an account's. Every key names one attribute; the defaults follow
/// `server_type`.
#[derive(Debug, Clone, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AttributesConfig {
    /// The address; default `mail`.
    pub mail: Option<String>,
    /// Further addresses; default `mailLocalAddress` on OpenLDAP, `proxyAddresses` on Active Directory.
    pub aliases: Option<String>,
    /// The password or its hash, for `ldap-password`; default `userPassword`.
    pub password: Option<String>,
    /// How the password attribute is written: `plain` or `base64`; default `plain`.
    pub password_encoding: PasswordEncoding,
    /// The home's host name; default `mailHost` on OpenLDAP. Active Directory has no default: a connector
    /// that is used for routing or is `clustered` must name it.
    pub host: Option<String>,
    /// The name shown to people; default `displayName`, and when an entry has none `cn`, unless that only repeats the
    /// local-part of the address.
    pub display_name: Option<String>,
    /// Given name; default `givenName`.
    pub given_name: Option<String>,
    /// Surname; default `sn`.
    pub surname: Option<String>,
    /// Storage limit in bytes; default `homingQuota` on OpenLDAP, none on Active Directory.
    pub quota: Option<String>,
    /// Whether the account may log in; default `homingEnabled` on OpenLDAP, bit 2 of `userAccountControl` on
    /// Active Directory.
    pub enabled: Option<EnabledConfig>,
    /// A group's members: DNs (`member`, `uniqueMember`), login names (`memberUid`), addresses
    /// (`rfc822MailMember`) or LDAP URLs of searches (`memberURL`, within the connector's own bases); default
    /// `member`.
    pub members: Option<String>,
    /// The attribute that holds a group's address, where it is another than an account's. A value without `@`
    /// stands for an address in `default_domain`, as the `cn` of a `nisMailAlias` does; default: as `mail`.
    pub group_mail: Option<String>,
    /// The name that a bare login is compared with; default `uid` on OpenLDAP, `sAMAccountName` on Active
    /// Directory.
    pub login: Option<String>,
}

/// How the password attribute's value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PasswordEncoding {
    /// The password or a hash with its scheme.
    #[default]
    Plain,
    /// Base64 text of it.
    Base64,
}

impl From<PasswordEncoding> for password::Encoding {
    fn from(encoding: PasswordEncoding) -> Self {
        match encoding {
            PasswordEncoding::Plain => Self::Plain,
            PasswordEncoding::Base64 => Self::Base64,
        }
    }
}

/// How an attribute says whether the account may log in. An entry without the attribute is enabled.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EnabledConfig {
    /// The attribute's name.
    pub attribute: String,
    /// How its value is read: `bool`, `bitmask`, `generalized-time` or `present`; default `bool`.
    #[serde(default)]
    pub kind: EnabledKind,
    /// For `bitmask`: the account is disabled when one of these bits is set; default 2.
    #[serde(default = "default_mask")]
    pub mask: u32,
    /// Reverses the meaning, as `nsAccountLock` needs; default false.
    #[serde(default)]
    pub invert: bool,
}

fn default_mask() -> u32 {
    2
}

/// How the value of the `enabled` attribute is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EnabledKind {
    /// `TRUE`: enabled.
    #[default]
    Bool,
    /// Disabled when a bit of `mask` is set.
    Bitmask,
    /// Disabled from that time on.
    GeneralizedTime,
    /// Disabled when the attribute is there.
    Present,
}

impl AttributesConfig {
    /// The mapping with every default filled in.
    #[must_use]
    pub(crate) fn resolve(&self, server: ServerType) -> AttributeMap {
        let pick = |key: &Option<String>, openldap: &str, ad: &str| {
            key.clone().unwrap_or_else(|| match server {
                ServerType::Openldap => openldap.to_owned(),
                ServerType::ActiveDirectory => ad.to_owned(),
            })
        };
        let filled = |text: String| (!text.is_empty()).then_some(text);
        let enabled = self.enabled.clone().unwrap_or_else(|| match server {
            ServerType::Openldap => EnabledConfig {
                attribute: "homingEnabled".to_owned(),
                kind: EnabledKind::Bool,
                mask: default_mask(),
                invert: false,
            },
            ServerType::ActiveDirectory => EnabledConfig {
                attribute: "userAccountControl".to_owned(),
                kind: EnabledKind::Bitmask,
                mask: default_mask(),
                invert: false,
            },
        });
        AttributeMap {
            mail: pick(&self.mail, "mail", "mail"),
            aliases: pick(&self.aliases, "mailLocalAddress", "proxyAddresses"),
            password: pick(&self.password, "userPassword", "userPassword"),
            host: filled(pick(&self.host, "mailHost", "")),
            display_name: pick(&self.display_name, "displayName", "displayName"),
            given_name: pick(&self.given_name, "givenName", "givenName"),
            surname: pick(&self.surname, "sn", "sn"),
            quota: filled(pick(&self.quota, "homingQuota", "")),
            members: pick(&self.members, "member", "member"),
            login: pick(&self.login, "uid", "sAMAccountName"),
            group_mail: self.group_mail.clone(),
            enabled,
        }
    }
}

/// [`AttributesConfig`] with its defaults filled in.
#[derive(Debug, Clone)]
pub(crate) struct AttributeMap {
    pub(crate) mail: String,
    pub(crate) aliases: String,
    pub(crate) password: String,
    pub(crate) host: Option<String>,
    pub(crate) display_name: String,
    pub(crate) given_name: String,
    pub(crate) surname: String,
    pub(crate) quota: Option<String>,
    pub(crate) members: String,
    pub(crate) login: String,
    /// None when groups have theirs where accounts have it.
    pub(crate) group_mail: Option<String>,
    pub(crate) enabled: EnabledConfig,
}
