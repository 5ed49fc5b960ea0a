//! Relay connections, by position: a page stays the same however the journal grows, if it is asked for at the same `asOf`.

use async_graphql::{
    Error, OutputType, Result, SimpleObject,
    connection::{Connection, Edge},
};
use sea_orm::{DatabaseConnection, EntityTrait, Select};

use super::{failure::unavailable, scalars::Position, snapshot::Journaled};

const LONGEST: u64 = 500;
const USUAL: u64 = 50;

/// What Relay's arguments ask for.
#[derive(Debug, Clone)]
pub(super) struct Window {
    after: Option<i64>,
    before: Option<i64>,
    length: u64,
    from_end: bool,
}

impl Window {
    /// Checks the arguments.
    pub(super) fn new(
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Self> {
        let (length, from_end) = match (first, last) {
            (Some(_), Some(_)) => return Err(Error::new("give first or last, not both")),
            (None, Some(last)) => (length(last)?, true),
            (first, None) => (length_or_usual(first)?, false),
        };
        Ok(Self { after: after.map(cursor).transpose()?, before: before.map(cursor).transpose()?, length, from_end })
    }
}

/// How many rows a page may have, for the estimate of a query's cost. Arguments out of range are refused elsewhere.
pub(super) fn cost(first: Option<i32>, last: Option<i32>, each: usize) -> usize {
    let rows = first.or(last).and_then(|rows| u64::try_from(rows).ok()).unwrap_or(USUAL).min(LONGEST);
    usize::try_from(rows).unwrap_or(usize::MAX).saturating_mul(each.saturating_add(1)).saturating_add(1)
}

/// Rows of a page, as many as usual if no number is given.
pub(super) fn length_or_usual(rows: Option<i32>) -> Result<u64> {
    rows.map_or(Ok(USUAL), length)
}

fn length(rows: i32) -> Result<u64> {
    u64::try_from(rows)
        .ok()
        .filter(|rows| *rows <= LONGEST)
        .ok_or_else(|| Error::new(format!("first and last are from 0 to {LONGEST}")))
}

fn cursor(text: String) -> Result<i64> {
    text.parse()
        .ok()
        .filter(|position| *position >= 0)
        .ok_or_else(|| Error::new("not a cursor: give one that a page gave"))
}

/// Says at which position a page was read.
#[derive(Debug, SimpleObject)]
pub(crate) struct ReadAt {
    /// The position at which this page was read: give it as `asOf` with the next.
    as_of: Position,
}

/// A page of nodes.
pub(super) type Page<Node> = Connection<i64, Node, ReadAt>;

/// Reads a page of what `select` finds.
pub(super) async fn read<E: Journaled, Node: OutputType>(
    database: &DatabaseConnection,
    select: Select<E>,
    window: Window,
    as_of: i64,
    node: impl Fn(<E as EntityTrait>::Model) -> Node,
) -> Result<Page<Node>>
where
    E::Model: Send + Sync,
{
    let mut query = select.cursor_by(E::POSITION);
    window.after.map(|after| query.after(after));
    window.before.map(|before| query.before(before));
    if window.from_end {
        query.last(window.length + 1)
    } else {
        query.first(window.length + 1)
    };
    let mut rows = query.all(database).await.map_err(unavailable)?;

    let more = rows.len() as u64 > window.length;
    let (has_previous, has_next) =
        if window.from_end { (more, window.before.is_some()) } else { (window.after.is_some(), more) };
    if more && window.from_end {
        rows.remove(0);
    } else if more {
        rows.pop();
    }
    let mut page = Connection::with_additional_fields(has_previous, has_next, ReadAt { as_of: Position(as_of) });
    page.edges.extend(rows.into_iter().map(|row| Edge::new(E::position(&row), node(row))));
    Ok(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_out_of_range_are_refused() {
        assert!(Window::new(Some(-1), None, None, None).is_err());
        assert!(Window::new(Some(501), None, None, None).is_err());
        assert!(Window::new(Some(1), None, Some(1), None).is_err());
        for cursor in ["", "x", "-1", "1 or 1=1", "99999999999999999999"] {
            assert!(Window::new(None, Some(cursor.to_owned()), None, None).is_err(), "{cursor}");
            assert!(Window::new(None, None, Some(1), Some(cursor.to_owned())).is_err(), "{cursor}");
        }
        assert!(Window::new(Some(500), Some("0".to_owned()), None, Some("9".to_owned())).is_ok());
    }

    #[test]
    fn cost_grows_with_the_page_and_never_overflows() {
        assert_eq!(cost(None, None, 3), 201);
        assert_eq!(cost(Some(i32::MAX), None, 1), 1001);
        assert_eq!(cost(Some(-5), None, usize::MAX), usize::MAX);
    }
}
