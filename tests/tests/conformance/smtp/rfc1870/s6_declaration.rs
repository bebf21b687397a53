//! Section 6: declared sizes.

use crate::smtp::{expect, keyword, refused};
use crate::subject::Server;
use anyhow::{Context, Result};

against_both!(Smtp: a_declared_size_is_judged_before_the_message);

fn a_declared_size_is_judged_before_the_message(server: &Server) -> Result<()> {
    let mut client = server.smtp()?;
    let limit: u64 = keyword(&mut client, "SIZE")?
        .context("SIZE is not announced")?
        .parse()?;
    expect(&mut client, "MAIL FROM:<erika@example.test> SIZE=1000", 250)?;
    expect(&mut client, "RSET", 250)?;
    if limit > 0 {
        // Section 6.1: 552 for what can never fit.
        expect(
            &mut client,
            &format!("MAIL FROM:<erika@example.test> SIZE={}", limit + 1),
            552,
        )?;
    }
    refused(&mut client, "MAIL FROM:<erika@example.test> SIZE=abc")?;
    expect(&mut client, "RSET", 250)?;
    expect(&mut client, "MAIL FROM:<erika@example.test> SIZE=1000", 250)?;
    Ok(())
}
