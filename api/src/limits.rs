//! What a query may look like, checked before anything walks it.
//!
//! The executor's own limits on depth and complexity follow fragment spreads, so that a few dozen of them can make it walk billions of fields;
//! its parser recurses on each bracket. Both are bounded here first.

use async_graphql::{
    Positioned, Request, ServerError,
    parser::types::{ExecutableDocument, Selection, SelectionSet},
};

const BRACKETS: usize = 256;
const ALIASES: usize = 64;
const SPREADS: usize = 32;
const DIRECTIVES: usize = 32;

/// Parses the request's query if it is within bounds.
pub(crate) fn admit(request: &mut Request) -> Result<(), ServerError> {
    let brackets = request.query.bytes().filter(|byte| b"{[(".contains(byte)).count();
    within("brackets", brackets, BRACKETS)?;
    let counted = Counted::of(request.parsed_query()?);
    within("aliases", counted.aliases, ALIASES)?;
    within("fragment spreads", counted.spreads, SPREADS)?;
    within("directives", counted.directives, DIRECTIVES)
}

fn within(what: &str, count: usize, limit: usize) -> Result<(), ServerError> {
    if count <= limit {
        return Ok(());
    }
    Err(ServerError::new(
        format!("the query has {count} {what}, at most {limit} are served: ask for less at a time"),
        None,
    ))
}

#[derive(Default)]
struct Counted {
    aliases: usize,
    spreads: usize,
    directives: usize,
}

impl Counted {
    fn of(document: &ExecutableDocument) -> Self {
        let mut counted = Self::default();
        for (_, operation) in document.operations.iter() {
            counted.directives += operation.node.directives.len();
            counted.add(&operation.node.selection_set);
        }
        for fragment in document.fragments.values() {
            counted.directives += fragment.node.directives.len();
            counted.add(&fragment.node.selection_set);
        }
        counted
    }

    fn add(&mut self, selection_set: &Positioned<SelectionSet>) {
        for selection in &selection_set.node.items {
            match &selection.node {
                Selection::Field(field) => {
                    self.aliases += usize::from(field.node.alias.is_some());
                    self.directives += field.node.directives.len();
                    self.add(&field.node.selection_set);
                }
                Selection::FragmentSpread(spread) => {
                    self.spreads += 1;
                    self.directives += spread.node.directives.len();
                }
                Selection::InlineFragment(fragment) => {
                    self.directives += fragment.node.directives.len();
                    self.add(&fragment.node.selection_set);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(query: &str) -> Option<String> {
        admit(&mut Request::new(query)).err().map(|error| error.message)
    }

    #[test]
    fn deep_nesting_is_refused_before_it_is_parsed() {
        let bomb = "{a".repeat(30_000);
        assert!(refusal(&bomb).expect("refused").contains("brackets"));
        let just_within = format!("{}{}", "{a".repeat(BRACKETS), "}".repeat(BRACKETS));
        assert!(refusal(&just_within).expect("refused").contains("recursion"));
        let list = format!("{{a(b:{}{})}}", "[".repeat(BRACKETS - 2), "]".repeat(BRACKETS - 2));
        assert_eq!(refusal(&list), None);
    }

    #[test]
    fn fragments_that_multiply_are_refused() {
        let mut bomb = String::from("{...F0}");
        for level in 0..20 {
            bomb += &format!("fragment F{level} on Query{{...F{0} ...F{0}}}", level + 1);
        }
        assert!(refusal(&bomb).expect("refused").contains("41 fragment spreads"));
    }

    #[test]
    fn aliases_and_directives_are_bounded() {
        let aliases: String = (0..=ALIASES).map(|n| format!("a{n}:watermark ")).collect();
        assert!(refusal(&format!("{{{aliases}}}")).expect("refused").contains("aliases"));
        let directives = "@skip(if:false)".repeat(DIRECTIVES + 1);
        assert!(refusal(&format!("{{watermark{directives}}}")).expect("refused").contains("directives"));
    }

    #[test]
    fn an_ordinary_query_is_admitted() {
        assert_eq!(refusal("query($a: Int) { models(first: $a) { nodes { modelId } } }"), None);
    }
}
