//! The bodies of the fuzz targets, over a bounded number of mutations of the kept seeds.

#![cfg(test)]

#[path = "../../../../fuzz/bodies/mutations.rs"]
mod mutations;
#[path = "../../../../fuzz/bodies/proxy_protocol.rs"]
mod proxy_protocol;

#[test]
fn proxy_protocol_survives_mutations() {
    mutations::each("proxy_protocol", 2000, proxy_protocol::run);
}
