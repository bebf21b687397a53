//! System tests: the demo's steps, faults, and crash safety, with real servers.

#![allow(clippy::indexing_slicing)] // A wrong index fails the test, as it should.

mod ad;
mod anew;
mod book;
mod crash;
mod demo;
mod directory_cli;
mod domain_aliases;
mod farewell;
mod faults;
mod floods;
mod front;
mod front_door;
mod front_end;
mod http;
mod local;
mod login;
mod logins;
mod mail_domains;
mod matrix;
mod one_tier;
mod other_schema;
mod reload;
mod scenarios;
mod scripts_and_mail;
mod smtp_extensions;
mod spill;
mod sync_commands;
mod sync_groups;
mod sync_operations;
mod sync_orders;
mod takeover;
mod tls;
