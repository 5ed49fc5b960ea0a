//! What is printed at the end.

use std::fmt;

/// One line's outcome.
#[derive(Debug, Clone)]
pub struct Row {
    /// The line's number.
    pub number: u8,
    /// The fault.
    pub fault: &'static str,
    /// How often it was done.
    pub tried: u64,
    /// What was measured.
    pub figure: String,
    /// What did not hold; empty if all did.
    pub broken: Vec<String>,
    /// Why it could not be done here; `None` if it was.
    pub skipped: Option<&'static str>,
    /// How long it took.
    pub seconds: u64,
}

/// The whole campaign.
#[derive(Debug, Clone)]
pub struct Table {
    /// What it was begun with.
    pub seed: u64,
    /// In the order of the lines.
    pub rows: Vec<Row>,
}

impl Table {
    /// Without rows yet.
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, rows: Vec::new() }
    }

    /// Whether every line did that could be done here.
    pub fn holds(&self) -> bool {
        self.rows.iter().all(|row| row.broken.is_empty())
    }

    /// Those that could not, each with the reason.
    pub fn skipped(&self) -> impl Iterator<Item = (u8, &'static str)> {
        self.rows.iter().filter_map(|row| Some((row.number, row.skipped?)))
    }
}

impl fmt::Display for Table {
    /// As a Markdown table, then what broke.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| # | fault | tried | figure | all agrees | s |\n|---|---|---|---|---|---|")?;
        for Row { number, fault, tried, figure, broken, skipped, seconds } in &self.rows {
            let agrees = match skipped {
                Some(why) => &format!("not done: {why}"),
                None if broken.is_empty() => "yes",
                None => "**no**",
            };
            writeln!(f, "| {number} | {fault} | {tried} | {figure} | {agrees} | {seconds} |")?;
        }
        writeln!(f, "\nseed {}", self.seed)?;
        for row in &self.rows {
            row.broken.iter().try_for_each(|broken| writeln!(f, "\nline {}: {broken}", row.number))?;
        }
        Ok(())
    }
}
