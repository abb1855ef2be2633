//! Medians and sizes.

use std::str::FromStr;

/// The middle one.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 0 => f64::midpoint(values[n / 2 - 1], values[n / 2]),
        n => values[n / 2],
    }
}

/// The median, then the lowest and the highest in brackets.
pub fn spread(values: &[f64]) -> String {
    let (low, high) = ends(values);
    format!("{:.3} [{low:.2}, {high:.2}]", median(values))
}

/// The same with so many places behind the point.
pub fn spread_by(values: &[f64], places: usize) -> String {
    let (low, high) = ends(values);
    let middle = median(values);
    format!("{middle:.places$} [{low:.places$}, {high:.places$}]")
}

fn ends(values: &[f64]) -> (f64, f64) {
    (
        values.iter().copied().fold(f64::INFINITY, f64::min),
        values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
    )
}

/// How busy the machine was in the last 1, 5 and 15 minutes.
pub fn load() -> String {
    let told = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    told.split_whitespace()
        .take(3)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A number from the environment.
pub fn setting<T: FromStr>(name: &str, default: T) -> T {
    std::env::var(name)
        .ok()
        .and_then(|text| text.replace('_', "").parse().ok())
        .unwrap_or(default)
}

/// The peak resident memory of a process, in MiB; None: it is gone.
pub fn peak_mib(pid: &str) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

/// Time on a processor, in nanoseconds, of a task by its folder in /proc.
pub fn on_cpu(task: &str) -> Option<f64> {
    let stat = std::fs::read_to_string(format!("{task}/schedstat")).ok()?;
    stat.split_whitespace().next()?.parse().ok()
}
