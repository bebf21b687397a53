//! The body of a fuzz target over mutations of the kept seeds.

#[path = "../../../../fuzz/bodies/mutations.rs"]
mod mutations;

#[path = "../../../../fuzz/bodies/feed_cookie.rs"]
mod feed_cookie;

#[test]
fn cookies_of_the_feed() {
    assert!(!mutations::seeds("feed_cookie").is_empty());
    mutations::each("feed_cookie", 500, feed_cookie::run);
}
