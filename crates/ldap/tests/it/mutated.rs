//! The bodies of the fuzz targets over mutations of the kept seeds.

#[path = "../../../../fuzz/bodies/mutations.rs"]
mod mutations;

#[path = "../../../../fuzz/bodies/ldap_message.rs"]
mod ldap_message;

#[path = "../../../../fuzz/bodies/ldap_filter.rs"]
mod ldap_filter;

#[path = "../../../../fuzz/bodies/ldap_dn.rs"]
mod ldap_dn;

#[path = "../../../../fuzz/bodies/ldap_ldif.rs"]
mod ldap_ldif;

pub(crate) use mutations::{each, seeds};

#[test]
fn messages() {
    each("ldap_message", 300, ldap_message::run);
}

#[test]
fn filters() {
    each("ldap_filter", 500, ldap_filter::run);
}

#[test]
fn names() {
    each("ldap_dn", 500, ldap_dn::run);
}

#[test]
fn ldif() {
    each("ldap_ldif", 500, ldap_ldif::run);
}
