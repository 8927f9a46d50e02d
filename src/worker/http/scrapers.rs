//! Metrics that are read when somebody scrapes them.

use std::sync::Arc;

/// Functions that set metrics at each scrape; cheap to clone.
#[derive(Clone, Default)]
pub struct Scrapers {
    pub(super) lasting: Vec<Scraper>,
    pub(super) transient: Vec<Scraper>,
}

type Scraper = Arc<dyn Fn() + Send + Sync>;

impl Scrapers {
    /// Adds a function that sets gauges or counters; it may block for a moment.
    pub fn add(&mut self, scrape: impl Fn() + Send + Sync + 'static) {
        self.lasting.push(Arc::new(scrape));
    }

    /// Adds a function whose series may be gone at the next scrape: the page keeps none of them.
    pub fn add_transient(&mut self, scrape: impl Fn() + Send + Sync + 'static) {
        self.transient.push(Arc::new(scrape));
    }
}
