//! Sections 6.3.6, 6.3.7 and 6.3.9: SUBSCRIBE, UNSUBSCRIBE, LSUB.

use crate::imap::{alice, delimiter, listed, names};
use crate::subject::Server;
use anyhow::{Result, ensure};

against_both!(Imap: subscriptions_are_a_list_of_their_own);

fn subscriptions_are_a_list_of_their_own(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    let d = delimiter(&mut client)?;
    client.ok(&format!("CREATE top{d}below"))?;
    client.ok("CREATE plain")?;
    client.ok(&format!("SUBSCRIBE top{d}below"))?;
    client.ok("SUBSCRIBE plain")?;
    let all = names(&mut client, "LSUB \"\" *")?;
    ensure!(all.contains(&"plain".to_owned()), "{all:?}");
    ensure!(all.contains(&format!("top{d}below")), "{all:?}");
    // Section 6.3.9: with % a name that is not subscribed itself stands for what is below it.
    let first_level = listed(&mut client, "LSUB \"\" %")?;
    let top = first_level.iter().find(|(name, _)| name == "top");
    ensure!(
        top.is_some_and(|(_, attributes)| attributes.contains("\\noselect")),
        "{first_level:?}"
    );
    // Section 6.3.6: a subscription outlives the mailbox.
    client.ok("DELETE plain")?;
    let all = names(&mut client, "LSUB \"\" *")?;
    ensure!(all.contains(&"plain".to_owned()), "{all:?}");
    client.ok("UNSUBSCRIBE plain")?;
    client.ok(&format!("UNSUBSCRIBE top{d}below"))?;
    let all = names(&mut client, "LSUB \"\" *")?;
    ensure!(
        !all.contains(&"plain".to_owned()) && !all.contains(&format!("top{d}below")),
        "{all:?}"
    );
    Ok(())
}
