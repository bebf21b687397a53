//! What was observed of slapd and Samba and what synchronisation rests on, read off the wire message by message. A server
//! version that behaves otherwise fails here first. The numbers are those of docs/proof-sync.md; facts about what the
//! engine makes of it stand in `ldapsync`'s own tests.

mod samba;
mod slapd;
mod wire;
