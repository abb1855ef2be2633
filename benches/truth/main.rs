//! `make bench-truth`: the bounds and verdicts that lockproof reports beside the true holds, which a
//! witness sees that shares nothing with it: kernel uprobes on the server's lock functions.
//!
//! Prints a table for each stage: how many of the true holds lie inside their reported bounds, how many
//! verdicts are wrong, how many steps are unproven, how wide the bounds are. Ends with another code than 0
//! where a claim about the truth does not hold; widths are printed beside their bars and asserted nowhere.
//!
//! `STAGES=local,container`, `LOADS=idle,moderate,saturated`, `HOLDS` (of a stage), `REPEATS` (of the same
//! step), `SEED`, `IMAGE` (of the container), `WITNESS=probes` or `clock`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    missing_docs,
    reason = "a program for developers: it prints"
)]

mod cases;
mod compare;
mod cost;
#[path = "../bench/ground.rs"]
#[allow(dead_code, reason = "shared with the other bench")]
mod ground;
mod load;
mod marks;
#[path = "../bench/numbers.rs"]
#[allow(dead_code, reason = "shared with the other bench")]
mod numbers;
mod probes;
mod product;
mod readers;
mod server;
mod stability;
mod stage;
#[path = "../bench/table.rs"]
#[allow(dead_code, reason = "shared with the other bench")]
mod table;
mod tables;
mod truth;
mod witness;

use std::process::ExitCode;

use ground::Ground;
use load::Load;
use numbers::setting;
use stage::Asked;

/// Whatever goes wrong ends the bench.
pub type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Outcome<ExitCode> {
    let word = |name: &str, default: &str| {
        std::env::var(name)
            .ok()
            .filter(|word| !word.is_empty())
            .unwrap_or(default.to_owned())
    };
    let mut loads = Vec::new();
    for name in word("LOADS", "idle,moderate,saturated").split(',') {
        let load = Load::ALL.into_iter().find(|load| load.name() == name);
        loads.push(load.ok_or_else(|| format!("no load `{name}`: idle, moderate, saturated"))?);
    }
    let asked = Asked {
        loads,
        holds: setting("HOLDS", 1_050),
        repeats: setting("REPEATS", 20),
        seed: setting("SEED", rand::random::<u32>().into()),
        witness: match word("WITNESS", "probes").as_str() {
            "probes" => witness::Wanted::Probes,
            "clock" => witness::Wanted::Clock,
            other => return Err(format!("no witness `{other}`: probes, clock").into()),
        },
    };
    let image = word("IMAGE", "lockproof/postgres:17");
    let mut contradicted = 0;
    for name in word("STAGES", "local,container").split(',') {
        let ground = match name {
            "local" => Ground::start()?,
            "container" => match Ground::container(&image) {
                Ok(ground) => ground,
                // Only where nobody asked for it by name.
                Err(error) if std::env::var_os("STAGES").is_none() => {
                    println!("\ncontainer: not measured, there is none: {error}");
                    continue;
                }
                Err(error) => return Err(error),
            },
            other => return Err(format!("no stage `{other}`: local, container").into()),
        };
        let title = match name {
            "container" => format!("container of {image}"),
            _ => name.to_owned(),
        };
        let measured = stage::measure(&ground, &title, &asked);
        ground.stop()?;
        contradicted += measured?;
    }
    if contradicted > 0 {
        println!("\n{contradicted} contradictions of the claims, see above");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}
