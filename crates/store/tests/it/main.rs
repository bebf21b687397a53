//! The store from outside: against a simple model, across reopening, and across kill -9.

mod accounts;
mod auth;
mod crash;
mod mailboxes;
mod model;
mod support;
mod views;
