//! The demo's workflow and the functions that its tasks call.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_sqs::Client;
use serde_json::{Value, json};

use crate::{LambdaError, LambdaFunctions};

/// The demo's model, in the Amazon States Language: queue, transform, warehouse, and an approval that a client gives.
pub const MODEL: &str = include_str!("../demo/etl.asl.json");
/// The queue of incoming orders.
pub const ORDERS_QUEUE: &str = "runproof-orders";
/// The queue on which the model hands out the token of a task that waits for a client.
pub const APPROVALS_QUEUE: &str = "runproof-approvals";
/// The DynamoDB table that orders are written to; its key is `order_id`.
pub const WAREHOUSE_TABLE: &str = "runproof-warehouse";
/// What a function throws when it is called too often; the model retries it.
const THROTTLED: &str = "Lambda.TooManyRequestsException";

/// The `number`th order of a run, as its message body. The second says that it is throttled once, so that a run shows a retry.
pub(crate) fn order(run: &str, number: u32) -> String {
    let customer = format!("customer-{}", number % 4);
    let items = json!([{"sku": format!("SKU-{number}"), "quantity": number + 1, "price_cents": 995}]);
    json!({"order_id": format!("{run}-{number}"), "customer": customer, "items": items, "throttle_once": number == 1})
        .to_string()
}

/// `read-queue`, `transform` and `dequeue`.
pub(crate) fn functions(sqs: Client) -> LambdaFunctions {
    let throttled = Arc::new(Mutex::new(BTreeSet::new()));
    let queue = sqs.clone();
    LambdaFunctions::default()
        .with("read-queue", move |event| read_queue(queue.clone(), event))
        .with("dequeue", move |event| dequeue(sqs.clone(), event))
        .with("transform", move |message| {
            let mut throttled = throttled.lock().unwrap_or_else(PoisonError::into_inner);
            let outcome = transform(&message, |order_id| throttled.insert(order_id.to_owned()));
            async { outcome }
        })
}

/// Takes up to ten messages: a list of `{message_id, receipt_handle, body}`, or the string `No messages`.
async fn read_queue(sqs: Client, event: Value) -> Result<Value, LambdaError> {
    let url = queue_url(&sqs, &event).await?;
    let answer = sqs.receive_message().queue_url(url).max_number_of_messages(10).send().await;
    let answer = answer.map_err(|error| LambdaError::new("QueueUnavailable", format!("{error:?}")))?;
    let messages = answer.messages().iter();
    let messages: Vec<Value> = messages
        .map(|message| json!({"message_id": message.message_id(), "receipt_handle": message.receipt_handle(), "body": message.body()}))
        .collect();
    Ok(if messages.is_empty() { json!("No messages") } else { json!(messages) })
}

/// Deletes a message that was worked off.
async fn dequeue(sqs: Client, event: Value) -> Result<Value, LambdaError> {
    let url = queue_url(&sqs, &event).await?;
    let deleted = sqs.delete_message().queue_url(url).receipt_handle(text(&event, "receipt_handle")?).send().await;
    deleted.map_err(|error| LambdaError::new("QueueUnavailable", format!("{error:?}")))?;
    Ok(json!({"deleted": true}))
}

/// An order to a row of the warehouse. `first_time` tells whether an order that asks to be throttled once has not been yet.
fn transform(message: &Value, first_time: impl FnOnce(&str) -> bool) -> Result<Value, LambdaError> {
    let malformed = |what: &str| LambdaError::new("MalformedOrder", what);
    let order: Value = serde_json::from_str(text(message, "body")?).map_err(|error| malformed(&error.to_string()))?;
    let order_id = text(&order, "order_id")?;
    if order["throttle_once"] == json!(true) && first_time(order_id) {
        return Err(LambdaError::new(THROTTLED, "Rate exceeded"));
    }
    let items = order["items"].as_array().ok_or_else(|| malformed("items is not a list"))?;
    let cents = |item: &Value| item["quantity"].as_u64()?.checked_mul(item["price_cents"].as_u64()?);
    let total = items.iter().try_fold(0_u64, |total, item| total.checked_add(cents(item)?));
    let total = total.ok_or_else(|| malformed("an item has no quantity or price"))?;
    // DynamoDB takes numbers as strings.
    Ok(json!({"order_id": order_id, "customer": text(&order, "customer")?, "total_cents": total.to_string()}))
}

async fn queue_url(sqs: &Client, event: &Value) -> Result<String, LambdaError> {
    let name = text(event, "queue")?;
    let found = sqs
        .get_queue_url()
        .queue_name(name)
        .send()
        .await
        .map_err(|error| LambdaError::new("QueueUnavailable", format!("{error:?}")))?;
    found.queue_url.ok_or_else(|| LambdaError::new("QueueUnavailable", name))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str, LambdaError> {
    value[key].as_str().ok_or_else(|| LambdaError::new("MalformedEvent", format!("{key} is missing or not a string")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_summed_up() {
        let message = json!({"body": order("r", 2)});
        let row = transform(&message, |_| true).expect("a whole order");
        assert_eq!(row, json!({"order_id": "r-2", "customer": "customer-2", "total_cents": "2985"}));
    }

    #[test]
    fn one_order_is_throttled_the_first_time() {
        let message = json!({"body": order("r", 1)});
        assert_eq!(transform(&message, |_| true).expect_err("throttled").error_type, THROTTLED);
        assert!(transform(&message, |_| false).is_ok());
    }

    #[test]
    fn a_malformed_order_is_refused() {
        for body in ["", "[]", r#"{"order_id":"a","customer":"b","items":[{}]}"#] {
            assert!(transform(&json!({"body": body}), |_| false).is_err(), "{body}");
        }
    }
}
