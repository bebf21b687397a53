//! The proxies from outside: real sockets on loopback, homes that follow a script.

mod imap;
mod pop3;
mod smtp;
mod support;
