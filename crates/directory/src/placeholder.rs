//! The member that a group without members has, because `groupOfNames` must have one (RFC 4519 section 3.5).

use ldap::{Dn, Rdn};

/// Its common name. It names no entry, so whoever resolves members finds nobody.
const NAME: &str = "no-member";

/// Its RDN.
pub(crate) const RDN: &str = "cn=no-member";

/// The placeholder of groups below this entry.
pub(crate) fn below(base: &Dn) -> Dn {
    match Rdn::new("cn", NAME) {
        Ok(rdn) => base.child(rdn),
        // `cn` is an attribute type.
        Err(_) => base.clone(),
    }
}

/// Whether a member is a placeholder, wherever it was put.
pub(crate) fn is_placeholder(member: &str) -> bool {
    // Most members are recognised as somebody without parsing the DN.
    let named = member
        .get(..RDN.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(RDN));
    named
        && Dn::parse(member).is_ok_and(|dn| dn.rdn().is_some_and(|rdn| rdn.value("cn").is_some_and(is_name)))
}

fn is_name(value: &str) -> bool {
    value.eq_ignore_ascii_case(NAME)
}

/// Whether the class must have a member (RFC 4519 sections 3.5 and 3.6).
pub(crate) fn is_needed(object_class: &str) -> bool {
    ["groupOfNames", "groupOfUniqueNames"]
        .iter()
        .any(|class| class.eq_ignore_ascii_case(object_class))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders() {
        let base = Dn::parse("ou=Groups,dc=t").expect("a DN");
        assert_eq!(below(&base).to_string(), "cn=no-member,ou=Groups,dc=t");
        for (member, is) in [
            ("cn=no-member,ou=Groups,dc=t", true),
            ("CN=No-Member,dc=t", true),
            ("cn=no-member", true),
            ("cn=no-members,dc=t", false),
            ("cn=no-member+uid=x,dc=t", true),
            ("uid=no-member,dc=t", false),
            ("cn=no-member\\2cx,dc=t", false),
            ("é", false),
            ("", false),
        ] {
            assert_eq!(is_placeholder(member), is, "{member}");
        }
        assert!(is_needed("groupofnames") && !is_needed("groupOfMembers"));
    }
}
