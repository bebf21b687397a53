//! Attributes that a server hands out in parts: `member;range=0-1499` (MS-ADTS section 3.1.1.3.1.3.3).
//!
//! A part must never be taken for the whole: everybody beyond it would leave the group.

use ldap::{Attribute, Client, Entry, Filter, LdapError, Scope, SearchRequest, Values};

/// More values than any group has; a server that never comes to an end is broken.
const MAX_VALUES: usize = 10_000_000;

/// Fetches the rest of an attribute, so that the entry holds all of it under its plain name.
pub(crate) async fn complete(client: &Client, entry: &mut Entry, attribute: &str) -> Result<(), LdapError> {
    let Some((mut values, mut next)) = take(entry, attribute) else {
        return Ok(());
    };
    while let Some(start) = next {
        let broken = |what: &str| LdapError::Protocol(format!("{} of {}: {what}", attribute, entry.dn));
        if values.len() >= MAX_VALUES {
            return Err(broken("the ranges have no end"));
        }
        let request = SearchRequest::new(
            entry.dn.as_str(),
            Scope::Base,
            Filter::Present("objectClass".to_owned()),
        )
        .attributes([format!("{attribute};range={start}-*")]);
        let mut found = client.search_all(request, 1).await?;
        let part = found.first_mut().and_then(|entry| take(entry, attribute));
        let Some((more, after)) = part else {
            return Err(broken("the server gave the first part and not the next"));
        };
        if after.is_some_and(|after| after <= start) {
            return Err(broken("the ranges go in circles"));
        }
        values.extend(more.iter().cloned());
        next = after;
    }
    entry
        .attributes
        .push(Attribute::new(attribute, Values::from(values)));
    Ok(())
}

/// Takes the parts of the attribute out of the entry: the values, and where the next part starts. None when the
/// attribute is whole already.
fn take(entry: &mut Entry, attribute: &str) -> Option<(Vec<bytes::Bytes>, Option<u64>)> {
    let part = |known: &Attribute| range(known.name.as_str(), attribute);
    let (end, values) = entry
        .attributes
        .iter()
        .find_map(|known| Some((part(known)?, known.values.to_vec())))?;
    // Beside a part, Active Directory gives the plain name without values.
    let plain = |known: &Attribute| known.name.as_str().eq_ignore_ascii_case(attribute);
    entry
        .attributes
        .retain(|known| !plain(known) && part(known).is_none());
    Some((values, end.map(|end| end.saturating_add(1))))
}

/// The end of `NAME;range=START-END`, none for `*`; nothing when it is another attribute.
fn range(name: &str, attribute: &str) -> Option<Option<u64>> {
    let (base, options) = name.split_once(';')?;
    if !base.eq_ignore_ascii_case(attribute) {
        return None;
    }
    let option = options.split(';').find_map(|option| {
        let (key, value) = option.split_once('=')?;
        key.eq_ignore_ascii_case("range").then_some(value)
    })?;
    let (start, end) = option.split_once('-')?;
    start.parse::<u64>().ok()?;
    match end {
        "*" => Some(None),
        end => end.parse().ok().map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges() {
        for (name, end) in [
            ("member;range=0-1499", Some(Some(1499))),
            ("MEMBER;lang-de;Range=1500-*", Some(None)),
            ("member", None),
            ("member;binary", None),
            ("members;range=0-1", None),
            ("member;range=0", None),
            ("member;range=x-1", None),
            ("member;range=0-x", None),
            ("member;range=0-99999999999999999999", None),
        ] {
            assert_eq!(range(name, "member"), end, "{name}");
        }
    }
}
