//! The figures of a comparison, a row for each load and way.

use std::time::Duration;

use crate::cases::Way;
use crate::compare::{Comparison, Pair, Ruling, Seen};
use crate::load::Load;
use crate::table;

/// How wide bounds may be, in milliseconds: median and 99th percentile.
fn bar(load: Load) -> Option<(f64, f64)> {
    match load {
        Load::Idle => Some((1.0, 5.0)),
        Load::Moderate => Some((2.0, 10.0)),
        Load::Saturated => None,
    }
}

/// Prints it.
pub fn print(compared: &Comparison) {
    let mut rows = Vec::new();
    for load in Load::ALL {
        for way in Way::ALL.map(|(way, _)| Some(way)).into_iter().chain([None]) {
            rows.extend(row(compared, load, way));
        }
    }
    table::print(
        [
            "load",
            "path",
            "steps",
            "holds",
            "not hit",
            "unmatched",
            "contained",
            "wrong",
            "unproven",
            "width p50",
            "p99",
            "true holds",
            "bars of width",
        ],
        &rows,
    );
}

fn row(compared: &Comparison, load: Load, way: Option<Way>) -> Option<[String; 13]> {
    let here = |a: Load, b: Way| a == load && way.is_none_or(|way| way == b);
    let pairs: Vec<&Pair> = compared
        .pairs
        .iter()
        .filter(|pair| here(pair.load, pair.way))
        .collect();
    let rulings: Vec<&Ruling> = compared
        .rulings
        .iter()
        .filter(|ruling| here(ruling.load, ruling.way))
        .collect();
    if rulings.is_empty() {
        return None;
    }
    let unmatched = compared
        .unmatched
        .iter()
        .filter(|(a, b)| here(*a, *b))
        .count();
    let count = |matches: &dyn Fn(&Pair) -> bool| pairs.iter().filter(|pair| matches(pair)).count();
    let unproven = rulings
        .iter()
        .filter(|ruling| ruling.verdict == "unproven")
        .count();
    let wrong = rulings.iter().filter(|ruling| ruling.is_wrong()).count();
    let mut widths: Vec<f64> = pairs
        .iter()
        .map(|pair| pair.width().map_or(f64::INFINITY, millis))
        .collect();
    widths.sort_by(f64::total_cmp);
    let (p50, p99) = (quantile(&widths, 0.5), quantile(&widths, 0.99));
    let lasted = pairs.iter().map(|pair| millis(pair.lasted.least));
    let range = (
        lasted.clone().fold(f64::INFINITY, f64::min),
        lasted.fold(0.0, f64::max),
    );
    let met = match bar(load) {
        Some((middle, high)) if way.is_none() => {
            let word = |met: bool| if met { "met" } else { "NOT MET" };
            format!(
                "≤ {middle} {}, ≤ {high} {}",
                word(p50 <= middle),
                word(p99 <= high)
            )
        }
        _ => String::new(),
    };
    Some([
        load.name().to_owned(),
        way.map_or("all", Way::name).to_owned(),
        rulings.len().to_string(),
        pairs.len().to_string(),
        count(&|pair| pair.seen == Seen::No).to_string(),
        unmatched.to_string(),
        share(count(&Pair::is_contained), pairs.len()),
        wrong.to_string(),
        share(unproven, rulings.len()),
        format!("{p50:.2} ms"),
        format!("{p99:.2} ms"),
        format!("{:.2}–{:.0} ms", range.0, range.1),
        met,
    ])
}

fn share(part: usize, whole: usize) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let percent = 100.0 * part as f64 / whole as f64;
    // Nearly all is not all.
    if part < whole && percent > 99.9 {
        return "< 100 %".to_owned();
    }
    format!("{percent:.1} %")
}

/// The smallest that so much of the whole does not exceed.
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
}

/// In milliseconds.
pub fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
