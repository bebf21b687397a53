//! System tests: the demo's steps, faults, and crash safety, with real servers.

mod crash;
mod demo;
mod faults;
