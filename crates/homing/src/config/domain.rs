//! `[[domain]]`: who authenticates the accounts of a domain.

use model::Domain;

/// One domain that this server hosts; it is created when it is not there yet.
#[derive(Debug, Clone, serde::Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DomainConfig {
    /// The domain's name. Required, unique.
    pub(crate) name: Domain,
    /// Other names of the domain, such as one that it had before. An address in one of them is the same address in
    /// `name`: for mail, logins, user maps and lookups in directories (see also `search_domain_aliases`). Every front
    /// end and back end needs them. Default: none.
    #[serde(default)]
    pub(crate) aliases: Vec<Domain>,
    /// Who is asked for a login, in order: `ldap-password`, `ldap-bind`, `local`. Only "no such account" goes on
    /// to the next; "wrong" and "cannot say now" end it. Default: `ldap-bind` when there is a connector, then
    /// `local` on a server that holds accounts.
    #[serde(default)]
    pub(crate) auth: Vec<AuthMethod>,
    /// The `[[connector]]` that the `ldap-` methods ask. Default: the only connector, if there is exactly one.
    #[serde(default)]
    pub(crate) connector: Option<String>,
}

/// One source of authentication.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AuthMethod {
    /// Read the password attribute with the service identity and check it here.
    LdapPassword,
    /// Bind as the account's entry.
    LdapBind,
    /// The account's own password in this server's store.
    Local,
}
