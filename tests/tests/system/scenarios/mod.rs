//! One suite of scenarios of synchronisation, against a real slapd and a real Samba domain controller: the whole
//! product, and SIGKILL of `homing serve` and of the directory between the steps ([`site::Site`]).

mod conflicts;
mod directory;
mod edits;
mod guards;
mod identity;
mod moves;
mod one_way;
mod site;

use directory::Kind;

/// Each scenario is a test of its own on either kind of directory.
macro_rules! scenarios {
    ($($module:ident :: $name:ident),* $(,)?) => {
        mod openldap {
            $(#[test]
            fn $name() -> anyhow::Result<()> {
                super::$module::$name(super::Kind::Openldap)
            })*
        }
        mod active_directory {
            $(#[test]
            fn $name() -> anyhow::Result<()> {
                super::$module::$name(super::Kind::ActiveDirectory)
            })*
        }
    };
}

scenarios!(
    edits::edits_go_both_ways_and_are_made_once,
    edits::members_come_and_go_on_both_sides,
    edits::a_name_that_is_cleared_uncovers_the_cn,
    conflicts::the_attribute_decides,
    conflicts::the_entry_decides,
    conflicts::deleted_here_and_edited_there,
    identity::renames_and_new_places,
    identity::somebody_new_with_an_old_name,
    identity::an_address_that_two_want,
    guards::deletions_wait_for_approval_and_come_back,
    moves::there_and_back,
    one_way::the_directory_is_the_source,
    one_way::the_mail_server_is_the_source,
);
