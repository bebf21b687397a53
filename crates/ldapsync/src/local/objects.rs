//! Accounts and groups of the store as fields, and back.

use crate::field::{Field, Image, Values};
use crate::plan::LocalState;
use model::{Address, ByteSize};
use store::{Account, AccountState, Group, Member, NewAccount, NewAssociation, NewGroup, StoreError};

pub(super) fn account_state(state: &AccountState) -> LocalState {
    match state {
        AccountState::Active => LocalState::Active,
        AccountState::SoftDeleted { .. } => LocalState::Deleted,
        AccountState::MovedAway { to } => LocalState::MovedAway { to: to.clone() },
        AccountState::AwaitingMail { from } => LocalState::AwaitingMail { from: from.clone() },
    }
}

pub(crate) fn account_image(account: &Account) -> Image {
    Image::default()
        .with(Field::Address, Values::addresses([&account.address]))
        .with(Field::Aliases, Values::addresses(&account.aliases))
        .with(
            Field::DisplayName,
            account
                .display_name
                .as_deref()
                .map(Values::text)
                .unwrap_or_default(),
        )
        // "No limit" is a value: the directory writes it as 0.
        .with(
            Field::Quota,
            Values::number(account.quota.map_or(0, |quota| quota.0)),
        )
        .with(Field::Enabled, Values::switch(account.enabled))
}

pub(super) fn group_image(group: &Group) -> Image {
    let members = group.members.iter().filter_map(|member| match member {
        Member::Remote { uuid, address } => Some((*uuid, address)),
        // Added here by hand; a group that follows the directory loses it at the next change.
        Member::Local(_) => None,
    });
    Image::default()
        .with(Field::Address, Values::addresses([&group.address]))
        .with(Field::Aliases, Values::addresses(&group.aliases))
        .with(
            Field::DisplayName,
            group
                .display_name
                .as_deref()
                .map(Values::text)
                .unwrap_or_default(),
        )
        .with(Field::Members, Values::members(members))
}

pub(super) fn address_of(values: &Values) -> Result<Address, StoreError> {
    let address = values.to_addresses().next();
    address.ok_or_else(|| StoreError::Invalid("an object needs an address".into()))
}

pub(super) fn quota_of(values: &Values) -> Option<ByteSize> {
    let bytes = values.first().and_then(|text| text.parse().ok()).unwrap_or(0);
    (bytes > 0).then_some(ByteSize(bytes))
}

pub(super) fn members_of(values: &Values) -> Vec<Member> {
    values
        .to_members()
        .map(|(uuid, address)| Member::Remote { uuid, address })
        .collect()
}

pub(super) fn new_account(
    image: &Image,
    state: &LocalState,
    link: Option<NewAssociation>,
) -> Result<NewAccount, StoreError> {
    let mut new = NewAccount::new(address_of(image.get(Field::Address))?);
    new.aliases = image.get(Field::Aliases).to_addresses().collect();
    new.display_name = image.get(Field::DisplayName).first().map(str::to_owned);
    new.quota = quota_of(image.get(Field::Quota));
    new.enabled = image.get(Field::Enabled).first() != Some("FALSE");
    if let LocalState::AwaitingMail { from } = state {
        new.state = AccountState::AwaitingMail { from: from.clone() };
    }
    new.association = link;
    Ok(new)
}

pub(super) fn new_group(image: &Image, link: Option<NewAssociation>) -> Result<NewGroup, StoreError> {
    let mut new = NewGroup::new(address_of(image.get(Field::Address))?);
    new.aliases = image.get(Field::Aliases).to_addresses().collect();
    new.display_name = image.get(Field::DisplayName).first().map(str::to_owned);
    new.members = members_of(image.get(Field::Members));
    new.association = link;
    Ok(new)
}
