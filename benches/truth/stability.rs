//! The same step again and again, near the budget: does its verdict flip?

use std::collections::BTreeMap;

use crate::Outcome;
use crate::compare::{Comparison, Ruling};
use crate::load::Load;
use crate::stage::Stage;
use crate::table;
use crate::tables::{millis, quantile};

/// True holds that are aimed at, in milliseconds.
const AIMS: [f64; 3] = [40.0, 50.0, 60.0];
/// Steps to learn from how much longer a transaction holds than it is at work.
const LEARNERS: usize = 7;

/// Runs it and prints its table.
pub fn run(stage: &mut Stage<'_>, repeats: usize, compared: &mut Comparison) -> Outcome {
    let mut learnt = Comparison::default();
    let cases = stage.maker.same(LEARNERS, AIMS[0]);
    stage.run(Load::Idle, &cases, &mut learnt)?;
    let mut longer: Vec<f64> = truly(&learnt.rulings).map(|ms| ms - AIMS[0]).collect();
    longer.sort_by(f64::total_cmp);
    let longer = quantile(&longer, 0.5);
    let mut rows = Vec::new();
    for aim in AIMS {
        let mut here = Comparison::default();
        let cases = stage.maker.same(repeats, aim - longer);
        stage.run(Load::Idle, &cases, &mut here)?;
        rows.push(row(aim, &here.rulings));
        // Its counterexamples count; its holds would distort the other table.
        compared.counterexamples.append(&mut here.counterexamples);
    }
    println!("\nstability: the same step {repeats} times, one transaction, idle");
    table::print(
        [
            "true hold aimed at",
            "true holds",
            "within",
            "exceeded",
            "unproven",
            "flips",
            "contradicting",
            "wrong",
        ],
        &rows,
    );
    Ok(())
}

fn row(aim: f64, rulings: &[Ruling]) -> [String; 8] {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for ruling in rulings {
        *counts.entry(&ruling.verdict).or_default() += 1;
    }
    let count = |verdict: &str| counts.get(verdict).copied().unwrap_or_default();
    let majority = counts.values().max().copied().unwrap_or_default();
    let least = truly(rulings).fold(f64::INFINITY, f64::min);
    let most = truly(rulings).fold(0.0, f64::max);
    let percent =
        |part: usize| format!("{:.0} %", 100.0 * part as f64 / rulings.len().max(1) as f64);
    [
        format!("{aim:.0} ms"),
        format!("{least:.2}–{most:.2} ms"),
        count("within").to_string(),
        count("exceeded").to_string(),
        count("unproven").to_string(),
        percent(rulings.len() - majority),
        count("within").min(count("exceeded")).to_string(),
        rulings
            .iter()
            .filter(|ruling| ruling.is_wrong())
            .count()
            .to_string(),
    ]
}

fn truly(rulings: &[Ruling]) -> impl Iterator<Item = f64> {
    rulings
        .iter()
        .filter_map(|ruling| Some(millis(ruling.longest?.least)))
}
