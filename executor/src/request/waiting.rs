//! Which waiting task belongs to which state.
//!
//! A token comes with the state's name and the time at which it was entered; the history says the same of each state, by another clock. The same
//! state may be entered many times, at once (Map) or again and again (a loop), and one entry may have many tokens (a retry).

use aws_sdk_sfn::error::ProvideErrorMetadata;
use runproof_protocol::InstanceId;
use sqlx::PgPool;

use crate::hint;

/// How far the time in the token and that in the history may lie apart, milliseconds.
const TOLERANCE_MS: u64 = 10_000;
/// How close a further token must be to count as another attempt of an entry that has one, milliseconds.
const RETRY_TOLERANCE_MS: u64 = 1_000;

/// A state of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entered {
    /// Its place in the run.
    pub sequence: i64,
    /// When it was entered, milliseconds since the Unix epoch.
    pub entered_at_ms: i64,
}

/// For each task, by the time at which its state was entered, the sequence number of that state; `None` if its state is not captured yet.
/// The closest pairs are made first, one task a state; what is left over is another attempt of a state, if it is as close as that.
pub fn assign(states: &[Entered], tasks_entered_at_ms: &[i64]) -> Vec<Option<i64>> {
    let mut pairs: Vec<(u64, usize, usize)> = tasks_entered_at_ms
        .iter()
        .enumerate()
        .flat_map(|(task, time)| {
            let apart = move |state: &Entered| state.entered_at_ms.abs_diff(*time);
            states.iter().enumerate().map(move |(state, entered)| (apart(entered), task, state))
        })
        .filter(|(apart, ..)| *apart <= TOLERANCE_MS)
        .collect();
    pairs.sort_unstable();
    let mut assigned = vec![None; tasks_entered_at_ms.len()];
    let mut taken = vec![false; states.len()];
    for &(_, task, state) in &pairs {
        if assigned[task].is_none() && !taken[state] {
            assigned[task] = Some(states[state].sequence);
            taken[state] = true;
        }
    }
    for &(apart, task, state) in &pairs {
        if assigned[task].is_none() && apart <= RETRY_TOLERANCE_MS {
            assigned[task] = Some(states[state].sequence);
        }
    }
    assigned
}

/// What waits in a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A task, by its token.
    Task(String),
    /// Nothing yet.
    Nothing,
    /// Nothing any more: all its tasks are completed, or given to a request.
    Completed,
    /// Nothing any more: the engine gave up on the last of its tasks, with what it said.
    Gone(String),
}

/// Looks for the task that waits in a state of an instance; of several attempts the last one counts.
pub(super) async fn find(
    database: &PgPool,
    instance: InstanceId,
    execution_arn: &str,
    state_name: &str,
    sequence: i64,
) -> sqlx::Result<Found> {
    let states = sqlx::query_as(
        "select sequence, entered_at_ms from executor.state where instance_id = $1 and name = $2 order by sequence",
    );
    let states: Vec<(i64, i64)> = states.bind(instance.as_slice()).bind(state_name).fetch_all(database).await?;
    let states: Vec<Entered> =
        states.into_iter().map(|(sequence, entered_at_ms)| Entered { sequence, entered_at_ms }).collect();
    let tasks = sqlx::query_as(
        "select w.token, w.entered_at_ms, w.completed_at is null and r.token is null, w.gone
         from executor.waiting_task w left join executor.transition_request r using (token)
         where w.execution_arn = $1 and w.state_name = $2 order by w.entered_at_ms, w.received_at, w.token",
    );
    let tasks: Vec<(String, i64, bool, Option<String>)> =
        tasks.bind(execution_arn).bind(state_name).fetch_all(database).await?;
    let times: Vec<i64> = tasks.iter().map(|(_, time, ..)| *time).collect();
    let mut found = Found::Nothing;
    for ((token, _, open, gone), state) in tasks.into_iter().zip(assign(&states, &times)) {
        if state == Some(sequence) {
            found = match (open, found) {
                (true, _) => Found::Task(token),
                (false, task @ Found::Task(_)) => task,
                (false, _) => gone.map_or(Found::Completed, Found::Gone),
            };
        }
    }
    Ok(found)
}

/// Marks a task as waiting no more; `gone` is what the engine said, if no request completed it. Its run goes on.
pub(super) async fn close(database: &PgPool, token: &str, gone: Option<&str>) -> sqlx::Result<()> {
    let closed = sqlx::query_scalar(
        "update executor.waiting_task set completed_at = now(), gone = $2 where token = $1 and completed_at is null
         returning execution_arn",
    );
    let execution_arn: Option<String> = closed.bind(token).bind(gone).fetch_optional(database).await?;
    if let Some(execution_arn) = execution_arn {
        hint::tell(database, &execution_arn).await;
    }
    Ok(())
}

/// What the engine said, if it is that a task waits no more.
/// <https://docs.aws.amazon.com/step-functions/latest/apireference/API_SendTaskSuccess.html>
pub(super) fn gone<E: ProvideErrorMetadata>(error: &E) -> Option<&str> {
    error.code().filter(|code| ["InvalidToken", "TaskDoesNotExist", "TaskTimedOut"].contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn states(times: &[i64]) -> Vec<Entered> {
        (10..).zip(times).map(|(sequence, &entered_at_ms)| Entered { sequence, entered_at_ms }).collect()
    }

    #[test]
    fn each_entry_of_a_loop_gets_its_own_task() {
        assert_eq!(assign(&states(&[1_000, 5_000]), &[1_003, 5_002]), [Some(10), Some(11)]);
        assert_eq!(assign(&states(&[1_000, 5_000]), &[5_002]), [Some(11)]);
    }

    #[test]
    fn entries_at_the_same_moment_share_out_the_tasks() {
        assert_eq!(assign(&states(&[1_000, 1_000, 1_001]), &[1_000, 1_000, 1_000]), [Some(10), Some(11), Some(12)]);
    }

    #[test]
    fn another_attempt_belongs_to_the_same_entry() {
        assert_eq!(assign(&states(&[1_000]), &[1_001, 1_001]), [Some(10), Some(10)]);
    }

    #[test]
    fn a_task_whose_state_is_not_captured_yet_waits() {
        assert_eq!(assign(&states(&[1_000]), &[1_001, 4_000]), [Some(10), None]);
        assert_eq!(assign(&states(&[1_000]), &[60_000]), [None]);
        assert_eq!(assign(&[], &[1]), [None]);
    }
}
