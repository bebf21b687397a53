//! Sections 2 and 3: UID EXPUNGE, APPENDUID, COPYUID.

use crate::imap::{alice, append, code, code_number, ensure_announces, text, uids, with_messages};
use crate::subject::Server;
use anyhow::{Context, Result, ensure};

against_both!(Imap: append_and_copy_tell_the_uids, uid_expunge_removes_only_those_named);

fn append_and_copy_tell_the_uids(server: &Server) -> Result<()> {
    let mut client = alice(server)?;
    ensure_announces(&mut client, "UIDPLUS")?;
    client.ok("CREATE work")?;
    let mut told = Vec::new();
    for subject in ["one", "two", "three"] {
        let reply = append(&mut client, "INBOX", &text(subject))?;
        let value = code(&[reply], "APPENDUID").context("no APPENDUID")?.to_owned();
        let (validity, uid) = value.split_once(' ').context("APPENDUID")?;
        told.push((validity.parse::<u32>()?, uid.parse::<u32>()?));
    }
    let selected = client.ok("SELECT INBOX")?;
    let validity = code_number(&selected, "UIDVALIDITY")?;
    let real: Vec<(u32, u32)> = uids(&mut client)?
        .into_iter()
        .map(|uid| (validity, uid))
        .collect();
    ensure!(told == real, "APPENDUID {told:?}, but {real:?}");

    let (_, tagged) = client.command("COPY 1,3 work")?;
    ensure!(tagged.starts_with("OK"), "{tagged}");
    let value = code(&[tagged], "COPYUID").context("no COPYUID")?.to_owned();
    let selected = client.ok("SELECT work")?;
    let parts: Vec<&str> = value.split(' ').collect();
    let copied = uids(&mut client)?;
    ensure!(parts.len() == 3, "COPYUID {value}");
    ensure!(
        parts[0] == code_number(&selected, "UIDVALIDITY")?.to_string(),
        "COPYUID {value}"
    );
    ensure!(
        parts[1] == format!("{},{}", told[0].1, told[2].1),
        "COPYUID {value}"
    );
    let (comma, colon) = (
        format!("{},{}", copied[0], copied[1]),
        format!("{}:{}", copied[0], copied[1]),
    );
    ensure!(
        parts[2] == comma || parts[2] == colon,
        "COPYUID {value}, but {copied:?}"
    );
    Ok(())
}

fn uid_expunge_removes_only_those_named(server: &Server) -> Result<()> {
    let mut client = with_messages(server, 4)?;
    let all = uids(&mut client)?;
    client.ok("STORE 1:3 +FLAGS.SILENT (\\Deleted)")?;
    // Named and deleted: 2 and 3. Named but not deleted: 4. Deleted but not named: 1.
    client.ok(&format!("UID EXPUNGE {}:{}", all[1], all[3]))?;
    let left = uids(&mut client)?;
    ensure!(left == [all[0], all[3]], "{all:?}, then {left:?}");
    Ok(())
}
