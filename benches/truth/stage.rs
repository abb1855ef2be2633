//! All that is measured on one server.

use std::path::Path;

use crate::Outcome;
use crate::cases::{Case, Maker};
use crate::compare::Comparison;
use crate::cost;
use crate::ground::Ground;
use crate::load::{self, Load};
use crate::product;
use crate::readers::Readers;
use crate::server::{self, Catalogue, DATABASE, Resident};
use crate::stability;
use crate::table::Table;
use crate::tables;
use crate::witness::{Wanted, Witness};

/// What is asked for.
pub struct Asked {
    pub loads: Vec<Load>,
    /// Of one stage, all loads together.
    pub holds: usize,
    /// Of the same step; 0 leaves that out.
    pub repeats: usize,
    pub seed: u64,
    pub witness: Wanted,
}

/// A server with its witness.
pub struct Stage<'a> {
    ground: &'a Ground,
    witness: Witness,
    catalogue: Catalogue,
    pub maker: Maker,
    /// Recordings that contradict the claims are kept.
    kept: usize,
}

/// Measures and prints; how many contradictions there were.
pub fn measure(ground: &Ground, title: &str, asked: &Asked) -> Outcome<usize> {
    server::fill(ground)?;
    let alone = load::prepare(ground)?;
    let resident = Resident::open(ground).ok();
    let process = resident.as_ref().map(|resident| resident.pid);
    let witness = Witness::call(ground, process, asked.witness);
    let version = ground.sql(DATABASE, "SHOW server_version")?;
    println!("\n{title}, PostgreSQL {version}");
    println!("witness: {}", witness.describe());
    println!("seed {}", asked.seed);
    let mut facts = Table::default();
    let mut stage = Stage {
        ground,
        catalogue: Catalogue::read(ground)?,
        maker: Maker::new(asked.seed, witness.marks()),
        witness,
        kept: 0,
    };
    let mut compared = Comparison::default();
    for load in asked.loads.iter().copied() {
        let (on, words) = load::begin(ground, load, alone)?;
        eprintln!("truth: {title}, {} ({words})", load.name());
        let goal = compared.pairs.len() + asked.holds.div_ceil(asked.loads.len());
        while compared.pairs.len() < goal {
            let cases = stage.maker.run();
            stage.run(load, &cases, &mut compared)?;
            eprintln!(
                "  {} of {goal} holds, {} counterexamples",
                compared.pairs.len(),
                compared.counterexamples.len()
            );
        }
        on.end()?;
    }
    tables::print(&compared);
    if compared.unwitnessed > 0 {
        println!(
            "{} reported holds are on relations that the clock does not bracket, and are compared with nothing",
            compared.unwitnessed
        );
    }
    if asked.repeats > 0 {
        stability::run(&mut stage, asked.repeats, &mut compared)?;
    }
    let probed = matches!(stage.witness, Witness::Probes(_));
    drop(stage);
    if let (true, Some(process)) = (probed, process) {
        cost::run(ground, process, &mut facts)?;
        facts.print();
    }
    if let Some(resident) = resident {
        resident.close();
    }
    for counterexample in &compared.counterexamples {
        println!("\nCOUNTEREXAMPLE {counterexample}");
    }
    Ok(compared.counterexamples.len())
}

impl Stage<'_> {
    /// Runs cases as one scenario and compares.
    pub fn run(&mut self, load: Load, cases: &[Case], compared: &mut Comparison) -> Outcome {
        let endpoint = self.ground.endpoint().in_database(DATABASE);
        let readers = Readers::begin(&endpoint, cases)?;
        let told = product::run(self.ground, cases);
        readers.end()?;
        let told = told?;
        let truths = self.witness.holds(self.ground, &self.catalogue)?;
        let sight = self.witness.sight();
        if compared.add(load, cases, &told, truths, &self.catalogue, sight) {
            self.kept += 1;
            let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("truth");
            std::fs::create_dir_all(&folder)?;
            let name = format!(
                "{}-{}-{}.jsonl",
                self.ground.major(),
                std::process::id(),
                self.kept
            );
            let copy = folder.join(name);
            std::fs::copy(&told.recording, &copy)?;
            if let Some(last) = compared.counterexamples.last_mut() {
                *last += &format!("\n  the recording is kept as {}", copy.display());
            }
        }
        Ok(())
    }
}
