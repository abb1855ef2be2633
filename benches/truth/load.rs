//! What else the server and the machine are doing.

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::Outcome;
use crate::ground::Ground;
use crate::server::DATABASE;

/// How busy the server and the machine are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Load {
    /// Not at all, as far as this bench knows.
    Idle,
    /// pgbench at a third of what it gets alone.
    Moderate,
    /// More clients than processors, each as fast as it can, and a busy thread for each processor beside.
    Saturated,
}

impl Load {
    /// All.
    pub const ALL: [Self; 3] = [Self::Idle, Self::Moderate, Self::Saturated];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Moderate => "moderate",
            Self::Saturated => "saturated",
        }
    }
}

/// A load that is on.
pub struct On {
    pgbench: Option<Child>,
    stop: Arc<AtomicBool>,
    spinners: Vec<JoinHandle<()>>,
}

/// Makes pgbench's tables; what it gets alone, in transactions a second.
pub fn prepare(ground: &Ground) -> Outcome<f64> {
    let status = ground
        .program("pgbench", DATABASE)
        .args(["-i", "-q", "-s", "5"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    if !status.success() {
        return Err(format!("pgbench -i: {status}").into());
    }
    rate(ground, &["-n", "-c", "4", "-T", "3"])
}

/// Transactions a second of a run of pgbench.
pub fn rate(ground: &Ground, args: &[&str]) -> Outcome<f64> {
    let output = ground
        .program("pgbench", DATABASE)
        .args(args)
        .stderr(Stdio::null())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let rate = text.lines().find_map(|line| {
        let rest = line.strip_prefix("tps = ")?;
        rest.split(' ').next()?.parse().ok()
    });
    rate.ok_or_else(|| format!("pgbench {args:?} told no rate: {}", output.status).into())
}

/// Begins a load; `alone` is what pgbench gets alone. Says what it is.
pub fn begin(ground: &Ground, load: Load, alone: f64) -> Outcome<(On, String)> {
    let cores = std::thread::available_parallelism()?.get();
    let mut on = On {
        pgbench: None,
        stop: Arc::new(AtomicBool::new(false)),
        spinners: Vec::new(),
    };
    let args = match load {
        Load::Idle => return Ok((on, "nothing else".to_owned())),
        Load::Moderate => format!("-n -c 4 -T 3600 -R {:.0}", (alone / 3.0).max(1.0)),
        Load::Saturated => format!("-n -S -c {} -j {cores} -T 3600", 2 * cores),
    };
    on.pgbench = Some(
        ground
            .program("pgbench", DATABASE)
            .args(args.split(' '))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?,
    );
    let mut words = format!("pgbench {args}");
    if load == Load::Saturated {
        words += &format!(", {cores} busy threads");
        for _ in 0..cores {
            let stop = Arc::clone(&on.stop);
            on.spinners.push(std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            }));
        }
    }
    Ok((on, words))
}

impl On {
    /// Ends it.
    pub fn end(mut self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        for spinner in self.spinners.drain(..) {
            let _ = spinner.join();
        }
        if let Some(mut pgbench) = self.pgbench.take() {
            if let Some(status) = pgbench.try_wait()? {
                return Err(format!("pgbench ended by itself: {status}").into());
            }
            pgbench.kill()?;
            pgbench.wait()?;
        }
        Ok(())
    }
}

impl Drop for On {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(pgbench) = &mut self.pgbench {
            let _ = pgbench.kill();
        }
    }
}
