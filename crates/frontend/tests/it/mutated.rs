//! The body of a fuzz target over mutations of the kept seeds.

#[path = "../../../../fuzz/bodies/mutations.rs"]
mod mutations;

#[path = "../../../../fuzz/bodies/assertion.rs"]
mod assertion;

#[test]
fn assertions() {
    assert!(!mutations::seeds("assertion").is_empty());
    mutations::each("assertion", 300, assertion::run);
}
