//! Shortens events that are too large for a record; such an event counts what it leaves out.

use super::event::RunEvent;
use super::facets::Omitted;

/// The event as JSON of at most `max_bytes`. First it loses the columns, then half of its inputs and manifests at a
/// time. The gate's verdicts are the last input and so go last.
pub(super) fn fit(mut event: RunEvent, max_bytes: usize) -> Vec<u8> {
    loop {
        let bytes = serde_json::to_vec(&event).expect("events have string keys and finite numbers");
        if bytes.len() <= max_bytes || !shorten(&mut event) {
            return bytes;
        }
    }
}

/// False where nothing is left to leave out.
fn shorten(event: &mut RunEvent) -> bool {
    let ours = &mut event.run.facets.ours.body;
    let omitted = ours.omitted.get_or_insert_with(Omitted::default);
    let schemas = event.inputs.iter_mut().filter_map(|input| input.facets.schema.take()).count();
    if schemas > 0 {
        omitted.schemas += schemas as u64;
        return true;
    }
    let manifests = ours.manifests.len().div_ceil(2);
    let inputs = event.inputs.len() / 2;
    ours.manifests.truncate(ours.manifests.len() - manifests);
    event.inputs.drain(..inputs);
    omitted.manifests += manifests as u64;
    omitted.inputs += inputs as u64;
    manifests + inputs > 0
}
