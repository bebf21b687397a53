//! The steps that `./demo` shows, in its order.

use anyhow::{Context, Result};
use system_tests::{Cluster, ClusterOptions, steps};

#[test]
fn every_step_of_the_demo_holds() -> Result<()> {
    let mut cluster = Cluster::start(&ClusterOptions::default())?;
    for step in steps::STEPS {
        let seen = (step.run)(&mut cluster)
            .with_context(|| format!("step \"{}\"\n{}", step.title, cluster.log_tails()))?;
        println!("{}: {seen}", step.title);
    }
    Ok(())
}
