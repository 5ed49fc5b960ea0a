//! The figures as a table in Markdown.

use std::fmt::Write;

use crate::{
    chain::{Recipe, Shape},
    measure::{Figures, Subject},
};

/// All rounds, one a line.
pub fn render(recipe: &Recipe, figures: &[Figures]) -> String {
    let shape = match recipe.shape {
        Shape::Single => "one event a log",
        Shape::Batched => "a block's states in one log",
    };
    let mut table = format!(
        "{} events in {} blocks, {shape}\n\n\
         | what | s | events/s | of COPY | indexer CPU s/M | relay CPU s/M | Postgres CPU s/M | node CPU s/M | peak MB | bytes/event |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
        recipe.events, recipe.blocks
    );
    for one in figures {
        let millions = recipe.events as f64 / 1e6;
        let a_million = |cpu_s: Option<f64>| cpu_s.map_or("-".into(), |cpu_s| format!("{:.2}", cpu_s / millions));
        // A String takes whatever is written.
        let _ = writeln!(
            table,
            "| {} | {:.2} | {:.0} | {:.2} | {} | {} | {} | {} | {} | {} |",
            one.subject.name(),
            one.took_s,
            recipe.events as f64 / one.took_s,
            limit_s(figures, one.round) / one.took_s,
            a_million(one.indexer_cpu_s),
            a_million(one.relay_cpu_s),
            a_million(Some(one.postgres_cpu_s)),
            a_million(one.node_cpu_s),
            one.peak_memory_bytes.map_or("-".into(), |bytes| (bytes / 1_000_000).to_string()),
            one.disk_bytes / recipe.events,
        );
    }
    table
}

/// What Postgres took in the same round.
fn limit_s(figures: &[Figures], round: usize) -> f64 {
    figures.iter().find(|one| one.round == round && one.subject == Subject::Copy).map_or(f64::NAN, |one| one.took_s)
}
