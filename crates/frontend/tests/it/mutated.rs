//! The body of a fuzz target over mutations of the kept seeds.

#[path = "../../../../fuzz/bodies/mutations.rs"]
mod mutations;

#[path = "../../../../fuzz/bodies/assertion.rs"]
mod assertion;

#[path = "../../../../fuzz/bodies/http_request.rs"]
mod http_request;

#[test]
fn http_requests() {
    assert!(!mutations::seeds("http_request").is_empty());
    mutations::each("http_request", 60, http_request::run);
}

#[test]
fn assertions() {
    assert!(!mutations::seeds("assertion").is_empty());
    mutations::each("assertion", 300, assertion::run);
}
