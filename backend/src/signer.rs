//! The cluster's CA as the controller of certificate requests wants it.
use apiserver::ca::Authority;
use apiserver::signing;
use control::certificates::Signer;
use logic::controllers::certificates::Requested;
use std::sync::Arc;

pub struct CaSigner(pub Arc<Authority>);

impl Signer for CaSigner {
    fn read(&self, request: &str) -> Result<Requested, String> {
        signing::read(request)
    }

    fn sign(&self, request: &str, seconds: i64) -> Result<String, String> {
        self.0.sign(request, seconds).map_err(|e| e.to_string())
    }
}
