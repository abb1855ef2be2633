//! What the probes cost the server: the same work with them and without, by turns. Nothing is
//! subtracted anywhere: a hold that the probes lengthen really was that long.

use crate::Outcome;
use crate::ground::Ground;
use crate::load::rate;
use crate::numbers::{median, spread};
use crate::probes::Probes;
use crate::table::Table;

const ROUNDS: usize = 4;

/// Measures it, with pgbench.
pub fn run(ground: &Ground, server: u32, table: &mut Table) -> Outcome {
    let script = ground.folder.path().join("lock.sql");
    std::fs::write(&script, "BEGIN;\nLOCK TABLE cost;\nCOMMIT;\n")?;
    let script = script.display().to_string();
    let works: [(&str, Vec<&str>); 2] = [
        (
            "LOCK TABLE in a transaction",
            vec!["-n", "-f", &script, "-T", "1"],
        ),
        (
            "reading by key, both processors",
            vec!["-n", "-S", "-c", "2", "-j", "2", "-T", "1"],
        ),
    ];
    let mut rates = vec![[vec![], vec![]]; works.len()];
    for round in 0..ROUNDS {
        for side in [round % 2, (round + 1) % 2] {
            let probes = (side == 1)
                .then(|| Probes::attach(ground, server))
                .transpose()?;
            for (work, rates) in works.iter().zip(&mut rates) {
                rates[side].push(rate(ground, &work.1)?);
            }
            drop(probes);
        }
    }
    for ((name, _), [without, with]) in works.iter().zip(&rates) {
        let ratios: Vec<f64> = without.iter().zip(with).map(|(off, on)| off / on).collect();
        let micros = |rates: &[f64]| 1e6 / median(rates);
        table.info(
            format!("time of a transaction with probes ÷ without: {name}"),
            format!(
                "{}  ({:.0} µs ÷ {:.0} µs)",
                spread(&ratios),
                micros(with),
                micros(without)
            ),
        );
    }
    Ok(())
}
