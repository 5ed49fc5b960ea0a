//! What went wrong with a call of AWS, in a sentence.

use aws_sdk_sfn::error::ProvideErrorMetadata;

/// What AWS answered, or the first cause of there being no answer.
pub(crate) fn sentence<E: ProvideErrorMetadata + std::error::Error + 'static>(error: &E) -> String {
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{message} ({code})"),
        (Some(code), None) => code.to_owned(),
        _ => {
            let error: &(dyn std::error::Error + 'static) = error;
            let causes = std::iter::successors(Some(error), |error| error.source());
            causes.last().map_or_else(|| "no answer".into(), ToString::to_string)
        }
    }
}
