//! The whole product from outside: a cluster of real servers, the demo's steps, and the system tests.
//!
//! Owns the cluster (one slapd, one front end, two back ends), the steps that the demo shows and the tests
//! check, and the sample messages. Speaks to the product only over the wire and through its command line.

mod cluster;
mod corpus;
pub mod steps;

pub use cluster::{Cluster, ClusterOptions, DOMAIN, FRONT, HOMES, Ports};
pub use corpus::{Message, corpus};
