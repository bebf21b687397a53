//! RFC 3501, IMAP4rev1.

mod s2_3_1_message_numbers;
mod s4_3_strings;
mod s5_1_mailbox_names;
mod s5_5_several_commands;
mod s6_1_any_state;
mod s6_2_authentication;
mod s6_3_10_status;
mod s6_3_11_append;
mod s6_3_1_select;
mod s6_3_3_create_delete_rename;
mod s6_3_6_subscriptions;
mod s6_3_8_list;
mod s6_4_2_close;
mod s6_4_3_expunge;
mod s6_4_4_search;
mod s6_4_5_fetch;
mod s6_4_6_store;
mod s6_4_7_copy;
mod s6_4_8_uid;
mod s7_4_mailbox_changes;
mod s9_syntax;

pub(super) use s6_2_authentication::plain;
