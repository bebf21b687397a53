//! Any text as a distinguished name.

use ldap::Dn;

/// Parses; what is accepted must come back from its text as it was, and be consistent about its parent.
pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(dn) = Dn::parse(text) else { return };
    assert_eq!(Dn::parse(&dn.to_string()).as_ref(), Ok(&dn), "{text:?}");
    if let Some(parent) = dn.parent() {
        assert!(dn.is_below(&parent) && !parent.is_below(&dn), "{text:?}");
        assert_eq!(parent.rdns().len() + 1, dn.rdns().len(), "{text:?}");
    }
}
