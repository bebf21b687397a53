//! What the chapter `sync.md` shows from the first start of a connector on.

use super::super::sync_operations::{Site, person};
use super::transcript::{Terminal, chapter};
use anyhow::{Context, Result};

const PARTS: [&str; 3] = [
    "Beginning with a domain that holds accounts already",
    "A conflict, and what can be done about it",
    "Why is this account as it is?",
];

#[test]
fn the_chapter_on_synchronisation_is_true() -> Result<()> {
    let mut site = Site::start("direction = \"both-ways\"", &[])?;
    site.followed()?;
    site.expect(&["sync", "stop"], 0, "stopped")?;
    let mut create = vec!["account", "create", "alice@example.test", "--password-stdin"];
    create.extend(["--display-name", "Alice Here"]);
    site.homing.command_with_input(&create, b"alice-secret\n")?;
    site.slapd
        .add(&person("alice").replace("displayName: alice", "displayName: Alice There"))?;
    let config = site.homing.config();
    let text = std::fs::read_to_string(&config)?;
    std::fs::write(&config, text.replace("name = \"corp\"", "name = \"new\""))?;
    site.homing.restart()?;
    let chapter = chapter("sync.md")?;
    let mut terminal = Terminal::new(site.binary.path(), &config);
    for part in PARTS {
        let typed = chapter.get(part).filter(|typed| !typed.is_empty());
        for typed in typed.with_context(|| format!("nothing below {part:?}"))? {
            terminal.type_in(typed)?;
        }
    }
    Ok(())
}
