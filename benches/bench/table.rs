//! The one table that is printed.

/// Rows of what, measured, bar, met.
#[derive(Default)]
pub struct Table {
    rows: Vec<[String; 4]>,
}

/// How a figure relates to its bar.
pub enum Bar {
    /// Not more than this.
    AtMost(f64),
    /// Not less than this.
    AtLeast(f64),
    /// None: told for information.
    Info,
}

impl Table {
    /// Adds a figure; `shown` is it in words.
    pub fn add(&mut self, what: impl Into<String>, figure: f64, shown: String, bar: Bar) {
        let (bar, met) = match bar {
            Bar::AtMost(most) => (format!("≤ {most}"), word(figure <= most)),
            Bar::AtLeast(least) => (format!("≥ {least}"), word(figure >= least)),
            Bar::Info => (String::new(), ""),
        };
        let row = [what.into(), shown, bar, met.to_owned()];
        eprintln!("  {}: {} {} {}", row[0], row[1], row[2], row[3]);
        self.rows.push(row);
    }

    /// Adds a figure without a bar.
    pub fn info(&mut self, what: impl Into<String>, shown: String) {
        self.add(what, 0.0, shown, Bar::Info);
    }

    /// Prints it.
    pub fn print(&self) {
        print(["what", "measured", "bar", "met"], &self.rows);
    }
}

/// Prints rows under their heads, as wide as need be.
pub fn print<const N: usize>(heads: [&str; N], rows: &[[String; N]]) {
    let heads = heads.map(str::to_owned);
    let width = |column: usize| {
        let cells = rows.iter().chain([&heads]);
        cells
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let rule = widths.map(|width| "─".repeat(width));
    println!();
    for row in [&heads, &rule].into_iter().chain(rows) {
        let cells = std::iter::zip(row, widths).map(|(cell, width)| format!("{cell:width$}"));
        println!("{}", cells.collect::<Vec<_>>().join("  ").trim_end());
    }
}

fn word(met: bool) -> &'static str {
    if met { "met" } else { "NOT MET" }
}
