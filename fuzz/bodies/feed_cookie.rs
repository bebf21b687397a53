//! Any bytes as cookies of the change feed: what a server sent, or what was kept of it. A newline stands between the
//! older and the newer one.

use directory::feed::Cookie;

/// A stored cookie is the one that was written, or none. Two that are put together cover what each covers of a
/// server, and never mean less than the newer one.
pub(crate) fn run(data: &[u8]) {
    if let Ok(cookie) = Cookie::from_stored(data) {
        assert_eq!(cookie.to_stored(), data);
    }
    let end = data.iter().position(|byte| *byte == b'\n');
    let (old, new) = data.split_at(end.unwrap_or(data.len()));
    let new = new.strip_prefix(b"\n").unwrap_or(old);
    let (Some(old), Some(new)) = (Cookie::new(old), Cookie::new(new)) else {
        return;
    };
    for cookie in [&old, &new] {
        assert_eq!(Cookie::from_stored(&cookie.to_stored()).as_ref(), Ok(cookie));
    }
    let merged = old.merged(&new);
    assert_eq!(Cookie::from_stored(&merged.to_stored()).as_ref(), Ok(&merged));
    let covered = merged.csns();
    for (server, number) in new.csns() {
        assert!(covered.get(&server).is_some_and(|found| *found >= number));
    }
    let is_own = |cookie: &Cookie| cookie.as_bytes().starts_with(b"\0AD1");
    if is_own(&old) || is_own(&new) {
        // The octets of a domain controller are not put together with anything.
        assert_eq!(merged, new);
    }
}
