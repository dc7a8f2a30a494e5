//! Ends sessions whose client certificate has expired.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Gateway;

/// Time between two looks at the wall clock. A session outlives its certificate by no more.
const EVERY: Duration = Duration::from_secs(1);

impl Gateway {
    /// Looks for expired client certificates until the gateway stops.
    pub(super) fn expire_certificates(self: &Arc<Self>) {
        let gateway = Arc::clone(self);
        let expiring = async move {
            loop {
                tokio::time::sleep(EVERY).await;
                gateway.sessions.end_expired(SystemTime::now());
            }
        };
        self.tasks.spawn(self.stopping.clone().run_until_cancelled_owned(expiring));
    }
}
