//! As of which position a request is answered.

use async_graphql::{Context, Error, Result};
use runproof_migrations::entity::{certificate, entry, instance, model, state, states_root, termination};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, Select};

use super::scalars::Position;
use crate::watermark::Watermark;

/// The watermark when the request came: all its parts are answered as of this position unless they ask for an earlier one.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot(pub(crate) Option<Watermark>);

impl Snapshot {
    fn position(&self) -> i64 {
        self.0.as_ref().map_or(0, |watermark| watermark.position.0)
    }
}

/// The position to answer at: `asked`, if the journal has come so far, else the request's own.
pub(super) fn as_of(context: &Context<'_>, asked: Option<Position>) -> Result<i64> {
    let reached = context.data::<Snapshot>()?.position();
    match asked {
        Some(Position(asked)) if asked > reached => Err(Error::new(format!(
            "position {asked} is not reached, the journal ends at {reached}: send header runproof-wait-for-position to wait for it"
        ))),
        Some(Position(asked)) => Ok(asked),
        None => Ok(reached),
    }
}

/// The journal, and its views.
pub(super) trait Journaled: EntityTrait {
    /// The row's place in the journal.
    const POSITION: Self::Column;
    /// Where it was taken back.
    const RETRACTED_BY: Self::Column;

    /// The value of [`Self::POSITION`].
    fn position(row: &Self::Model) -> i64;

    /// What held at a position: registered by then and not yet taken back.
    fn held(as_of: i64) -> Select<Self> {
        let standing = Condition::any().add(Self::RETRACTED_BY.is_null()).add(Self::RETRACTED_BY.gt(as_of));
        Self::find().filter(Self::POSITION.lte(as_of)).filter(standing)
    }
}

macro_rules! journaled {
    ($($view:ident),*) => {$(
        impl Journaled for $view::Entity {
            const POSITION: $view::Column = $view::Column::Position;
            const RETRACTED_BY: $view::Column = $view::Column::RetractedBy;

            fn position(row: &$view::Model) -> i64 {
                row.position
            }
        }
    )*};
}
journaled!(model, instance, state, states_root, termination, certificate, entry);
