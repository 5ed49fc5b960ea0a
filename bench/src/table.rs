//! The figures as tables in Markdown.

use std::fmt::Write;

use crate::{
    chain::{Recipe, Shape},
    measure::{Figures, Peer, Subject},
};

const SUBJECTS: [Subject; 5] =
    [Subject::Node, Subject::Copy, Subject::Index, Subject::IndexAndRelay, Subject::Peer(Peer::Ponder)];

/// A line for each subject: medians of all rounds.
pub fn render(recipe: &Recipe, figures: &[Figures]) -> String {
    let shape = match recipe.shape {
        Shape::Single => "one event a log",
        Shape::Batched => "a block's states in one log",
    };
    let mut table = format!(
        "{} events in {} blocks, {shape}\n\n\
         | what | s | fastest – slowest | events/s | of COPY | indexer CPU s/M | relay CPU s/M | Postgres CPU s/M | node CPU s/M | peak MB | bytes/event |\n\
         |---|---|---|---|---|---|---|---|---|---|---|\n",
        recipe.events, recipe.blocks
    );
    for subject in SUBJECTS {
        let rounds: Vec<&Figures> = figures.iter().filter(|one| one.subject == subject).collect();
        let median = |figure: &dyn Fn(&Figures) -> Option<f64>| median(rounds.iter().filter_map(|one| figure(one)));
        let Some(took_s) = median(&|one| Some(one.took_s)) else { continue };
        let millions = recipe.events as f64 / 1e6;
        let (fastest, slowest) = range(&rounds);
        // A String takes whatever is written.
        let _ = writeln!(
            table,
            "| {} | {took_s:.2} | {fastest:.2} – {slowest:.2} | {:.0} | {} | {} | {} | {} | {} | {} | {} |",
            name(subject),
            recipe.events as f64 / took_s,
            told(median(&|one| Some(limit_s(figures, one.round)? / one.took_s)), 2),
            told(median(&|one| Some(one.indexer_cpu_s? / millions)), 2),
            told(median(&|one| Some(one.relay_cpu_s? / millions)), 2),
            told(median(&|one| Some(one.postgres_cpu_s / millions)), 2),
            told(median(&|one| Some(one.node_cpu_s / millions)), 2),
            told(median(&|one| Some(one.peak_memory_bytes? as f64 / 1e6)), 0),
            told(median(&|one| Some(one.disk_bytes? as f64 / recipe.events as f64)), 0),
        );
    }
    table
}

/// How the time grows with the events, from each recipe to the next.
pub fn render_growth(all: &[(Recipe, Vec<Figures>)]) -> String {
    let mut lines = String::new();
    for pair in all.windows(2) {
        let [(fewer, before), (more, after)] = pair else { continue };
        for subject in SUBJECTS {
            let took =
                |figures: &[Figures]| median(figures.iter().filter(|one| one.subject == subject).map(|one| one.took_s));
            let (Some(before), Some(after)) = (took(before), took(after)) else { continue };
            let events = more.events as f64 / fewer.events as f64;
            let _ = writeln!(
                lines,
                "{}: {events:.1} times the events took {:.2} times as long",
                name(subject),
                after / before
            );
        }
    }
    lines
}

fn name(subject: Subject) -> &'static str {
    match subject {
        Subject::Node => "the node, read and thrown away",
        Subject::Copy => "(a) COPY",
        Subject::Index => "(b) indexer",
        Subject::IndexAndRelay => "(c) indexer and relay",
        Subject::Peer(Peer::Ponder) => "(d) ponder",
    }
}

fn told(figure: Option<f64>, decimals: usize) -> String {
    figure.map_or("-".into(), |figure| format!("{figure:.decimals$}"))
}

fn range(rounds: &[&Figures]) -> (f64, f64) {
    let took = rounds.iter().map(|one| one.took_s);
    took.fold((f64::INFINITY, 0.0), |(fastest, slowest), took| (took.min(fastest), took.max(slowest)))
}

/// Of an even number the upper of the two in the middle.
fn median(figures: impl Iterator<Item = f64>) -> Option<f64> {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

/// What Postgres took in the same round.
fn limit_s(figures: &[Figures], round: usize) -> Option<f64> {
    figures.iter().find(|one| one.round == round && one.subject == Subject::Copy).map(|one| one.took_s)
}
