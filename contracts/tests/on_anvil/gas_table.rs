//! The figures as readers get them, in `docs/contract.md`.

use std::fs;

use eyre::{ContextCompat, Result, WrapErr, ensure};

use crate::gas::Figure;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/contract.md");
const START: &str = "<!-- gas -->\n";
const END: &str = "<!-- /gas -->";

/// The page with these figures in place of those that it tells.
fn page_with<'a>(page: &str, figures: impl Iterator<Item = (&'a str, &'a Figure)>) -> Result<String> {
    let (before, rest) = page.split_once(START).wrap_err("docs/contract.md has no place for the table")?;
    let (_, after) = rest.split_once(END).wrap_err("docs/contract.md has no end of the table")?;
    let mut table =
        String::from("| | gas | a state | limit a state | the paper's contract |\n|---|---:|---:|---:|---:|\n");
    for (name, figure) in figures {
        let cell = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
        let name = name.replace('_', " ");
        table += &format!(
            "| {name} | {} | {} | {} | {} |\n",
            figure.transaction_gas,
            cell(figure.gas_per_state),
            cell(figure.limit_per_state),
            cell(figure.paper_gas)
        );
    }
    Ok([before, START, &table, END, after].concat())
}

/// Writes the table.
pub(crate) fn write<'a>(figures: impl Iterator<Item = (&'a str, &'a Figure)>) -> Result<()> {
    Ok(fs::write(PAGE, page_with(&fs::read_to_string(PAGE)?, figures)?)?)
}

/// Fails unless the page tells these figures.
pub(crate) fn check<'a>(figures: impl Iterator<Item = (&'a str, &'a Figure)>) -> Result<()> {
    let page = fs::read_to_string(PAGE).wrap_err("docs/contract.md")?;
    ensure!(page_with(&page, figures)? == page, "docs/contract.md tells other figures: run with UPDATE_GAS=1");
    Ok(())
}
