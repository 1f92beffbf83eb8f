use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body_util::LengthLimitError;

use crate::Problem;

/// A body that is smaller is copied out of the connection's buffer, which would be kept with it.
const COPIED_BYTES_MAX: usize = 64 * 1024;

/// The whole body, within the limit while it arrives, and in time.
pub(crate) async fn read(
    body: Body,
    bytes_max: usize,
    patience: Duration,
) -> Result<Bytes, Problem> {
    let too_large =
        || Problem::too_large(format!("a body has at most {bytes_max} bytes; send less"));
    // One that says so itself is refused before it is read.
    if u64::try_from(bytes_max).unwrap_or(u64::MAX) < HttpBody::size_hint(&body).lower() {
        return Err(too_large());
    }
    let reading = axum::body::to_bytes(body, bytes_max);
    match tokio::time::timeout(patience, reading).await {
        Ok(Ok(bytes)) if bytes.len() <= COPIED_BYTES_MAX => Ok(Bytes::copy_from_slice(&bytes)),
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_limit(&error) => Err(too_large()),
        // The connection broke or the framing is wrong: nobody may be there to hear it.
        Ok(Err(_broken)) => Err(Problem::bad_request("the body broke off")),
        Err(_elapsed) => Err(Problem::too_slow()),
    }
}

fn is_limit(error: &axum::Error) -> bool {
    let first: &(dyn std::error::Error + 'static) = error;
    let mut causes = std::iter::successors(Some(first), |error| error.source());
    causes.any(|error| error.is::<LengthLimitError>())
}
