//! System tests: the demo's steps, faults, and crash safety, with real servers.

#![allow(clippy::indexing_slicing)] // A wrong index fails the test, as it should.

mod ad;
mod crash;
mod demo;
mod directory_cli;
mod faults;
mod floods;
mod front;
mod front_end;
mod local;
mod login;
mod one_tier;
mod reload;
mod spill;
mod tls;
