//! Which traces are recorded.

use opentelemetry::KeyValue;
use opentelemetry::trace::{Link, SpanKind, TraceContextExt as _, TraceId};
use opentelemetry_sdk::trace::{Sampler, SamplingResult, ShouldSample};

/// Follows the requester's decision: that of the parent or, without one, that of the request which the trace is linked
/// to. Of the traces that begin here it records this share, 0 to 1.
#[derive(Debug, Clone)]
pub(super) struct RequesterSampler(pub(super) f64);

impl ShouldSample for RequesterSampler {
    fn should_sample(
        &self,
        parent: Option<&opentelemetry::Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let parent_decides = parent.is_some_and(|parent| parent.span().span_context().is_valid());
        let sampler = match links {
            [request, ..] if !parent_decides && request.span_context.is_sampled() => Sampler::AlwaysOn,
            [_, ..] if !parent_decides => Sampler::AlwaysOff,
            _ => Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(self.0))),
        };
        sampler.should_sample(parent, trace_id, name, kind, attributes, links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceState};
    use opentelemetry_sdk::trace::SamplingDecision;

    fn context(sampled: bool) -> SpanContext {
        let flags = if sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
        SpanContext::new(TraceId::from(1), SpanId::from(2), flags, true, TraceState::default())
    }

    #[test]
    fn whoever_asked_decides_and_of_what_begins_here_a_share_is_recorded() {
        let recorded = |ratio: f64, parent: Option<bool>, link: Option<bool>| {
            let parent = parent.map(|sampled| opentelemetry::Context::new().with_remote_span_context(context(sampled)));
            let links: Vec<Link> = link.map(|sampled| Link::with_context(context(sampled))).into_iter().collect();
            let sampled = RequesterSampler(ratio).should_sample(
                parent.as_ref(),
                TraceId::from(u128::MAX),
                "work",
                &SpanKind::Internal,
                &[],
                &links,
            );
            sampled.decision == SamplingDecision::RecordAndSample
        };
        for (ratio, sampled) in [(0.0, true), (1.0, false)] {
            assert_eq!(recorded(ratio, Some(sampled), None), sampled, "a parent");
            assert_eq!(recorded(ratio, None, Some(sampled)), sampled, "a link");
            assert_eq!(recorded(ratio, Some(sampled), Some(!sampled)), sampled, "a parent with a link");
            assert_eq!(recorded(ratio, None, None), !sampled, "nobody");
        }
    }
}
