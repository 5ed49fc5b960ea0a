//! Metrics of one who follows: those that count are told from the start on, at 0. An alarm would take one that is missing for something else.

use crate::quota;

/// Ends that a transaction comes to, by which it is counted.
const TRANSACTION_ENDS: [&str; 3] = ["included", "reverted", "abandoned"];

/// Tells each metric, at 0. What is told already stays as it is.
pub(crate) fn begin() {
    for action in quota::actions() {
        metrics::counter!("runproof_executor_aws_calls_total", "action" => action).increment(0);
        metrics::counter!("runproof_executor_aws_throttled_total", "action" => action).increment(0);
        let _ = metrics::histogram!("runproof_executor_aws_quota_wait_seconds", "action" => action);
    }
    for status in TRANSACTION_ENDS {
        metrics::counter!("runproof_executor_transactions_total", "status" => status).increment(0);
    }
    for by in ["postgres", "queue"] {
        metrics::counter!("runproof_executor_hints_total", "by" => by).increment(0);
    }
    for started in ["singly", "by_map_runs"] {
        metrics::gauge!("runproof_executor_executions_tracked", "started" => started).increment(0.0);
        metrics::gauge!("runproof_executor_histories_with_holes", "started" => started).increment(0.0);
    }
    for name in [
        "runproof_executor_states_captured_total",
        "runproof_executor_gas_used_total",
        "runproof_executor_failures_total",
        "runproof_executor_documents_published_total",
        "runproof_executor_redrives_total",
        "runproof_executor_other_definitions_total",
        "runproof_executor_unlinked_children_total",
        "runproof_executor_task_heartbeats_total",
    ] {
        metrics::counter!(name).increment(0);
    }
    let _ = metrics::histogram!("runproof_executor_registrations_per_transaction");
    metrics::gauge!("runproof_executor_balance_wei").increment(0.0);
}
