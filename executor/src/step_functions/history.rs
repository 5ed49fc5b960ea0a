//! Histories, from an event on.

use std::collections::BTreeMap;

use aws_sdk_sfn::Client;
use runproof_protocol::history::HistoryEvent;

use super::{StepFunctions, StepFunctionsError, failed};
use crate::history_event::history_event;

/// Times that a history is read from its first page again within one reading, because the token of its next page was refused.
const REREADS: u32 = 3;

impl StepFunctions {
    /// Events after `last_event_id`, by rising id. Asks for the newest first, so that following a run costs what is new, not what is old; an
    /// engine that ignores order or paging is understood too.
    ///
    /// # Errors
    /// [`StepFunctionsError::ExecutionUnknown`], [`StepFunctionsError::Call`].
    pub async fn history_after(
        &self,
        execution_arn: &str,
        last_event_id: u64,
    ) -> Result<Vec<HistoryEvent>, StepFunctionsError> {
        let (mut events, mut token, mut rereads) = (BTreeMap::new(), None, 0);
        loop {
            let get = |client: &Client| {
                let call = client.get_execution_history().execution_arn(execution_arn).max_results(1_000);
                call.reverse_order(true).include_execution_data(true).set_next_token(token.clone()).send()
            };
            let page = match self.api.call("GetExecutionHistory", get).await {
                Ok(page) => page,
                Err(error) => match error.as_service_error() {
                    Some(service) if service.is_execution_does_not_exist() => {
                        return Err(StepFunctionsError::ExecutionUnknown(execution_arn.into()));
                    }
                    // A token is good for 24 hours, and for the service that gave it.
                    Some(service) if service.is_invalid_token() && token.is_some() && rereads < REREADS => {
                        (token, rereads) = (None, rereads + 1);
                        continue;
                    }
                    _ => return Err(failed("GetExecutionHistory")(error)),
                },
            };
            let falling = matches!(&page.events[..], [first, .., last] if first.id > last.id);
            let page_events: Vec<HistoryEvent> = page.events.iter().map(history_event).collect();
            let reached = page_events.iter().any(|event| event.id <= last_event_id + 1);
            let new = page_events.into_iter().filter(|event| event.id > last_event_id);
            events.extend(new.map(|event| (event.id, event)));
            token = page.next_token;
            if token.is_none() || (falling && reached) {
                return Ok(events.into_values().collect());
            }
        }
    }
}
