//! Restrictions that this kernel cannot apply to workers; logged once.

/// What was said of it.
#[derive(Debug, Default)]
pub(super) struct Lacking {
    said: Option<String>,
}

impl Lacking {
    /// A worker has confined itself, and says what it lacks.
    pub(super) fn hear(&mut self, told: Option<String>) {
        if let Some(news) = self.news(told) {
            tracing::warn!("{news}");
        }
    }

    /// What is to be said: what comes and goes is not, or a worker that lies could fill the journal.
    fn news(&mut self, told: Option<String>) -> Option<&str> {
        if self.said.is_some() {
            return None;
        }
        self.said = told;
        self.said.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_every_worker_lacks_is_said_once() {
        let mut lacking = Lacking::default();
        assert_eq!(lacking.news(None), None);
        assert_eq!(lacking.news(Some("no Landlock".to_owned())), Some("no Landlock"));
        for told in ["no Landlock", "something else"] {
            assert_eq!(lacking.news(Some(told.to_owned())), None);
        }
    }
}
