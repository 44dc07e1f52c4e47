//! Prometheus' text format 0.0.4, which Debian's `node_exporter` reads. It has no units and no `info` types: those are `OpenMetrics`.

use std::fmt::Display;

/// One time series: labels and a value.
#[derive(Debug, Clone)]
pub(crate) struct Sample<'s> {
    labels: Vec<(&'static str, &'s str)>,
    value: String,
}

impl<'s> Sample<'s> {
    /// A whole number.
    pub(crate) fn number(labels: &[(&'static str, &'s str)], value: impl Into<u64>) -> Self {
        Self { labels: labels.to_vec(), value: value.into().to_string() }
    }

    /// A time or a duration, given in microseconds, in seconds.
    pub(crate) fn seconds(labels: &[(&'static str, &'s str)], micros: u64) -> Self {
        let value = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        Self { labels: labels.to_vec(), value }
    }
}

/// The text.
#[derive(Debug, Default)]
pub(crate) struct Exposition {
    text: String,
}

impl Exposition {
    /// Adds a metric whose values go up and down. One without samples is left out.
    pub(crate) fn gauge<'s>(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = Sample<'s>>) {
        self.metric((name, "gauge"), help, samples);
    }

    /// Adds a metric whose values only go up.
    pub(crate) fn counter<'s>(&mut self, name: &str, help: &str, samples: impl IntoIterator<Item = Sample<'s>>) {
        self.metric((name, "counter"), help, samples);
    }

    /// The whole text.
    pub(crate) fn into_text(self) -> String {
        self.text
    }

    fn metric<'s>(&mut self, (name, kind): (&str, &str), help: &str, samples: impl IntoIterator<Item = Sample<'s>>) {
        let mut samples = samples.into_iter().peekable();
        if samples.peek().is_none() {
            return;
        }
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
        for Sample { labels, value } in samples {
            let labels: Vec<String> =
                labels.iter().map(|(key, text)| format!("{key}=\"{}\"", value_of(text))).collect();
            let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
            self.line(format_args!("{name}{labels} {value}"));
        }
    }

    fn line(&mut self, line: impl Display) {
        self.text.push_str(&format!("{line}\n"));
    }
}

/// The value of a label: any UTF-8, in which three characters are escaped.
fn value_of(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_has_help_type_and_samples() {
        let mut all = Exposition::default();
        all.gauge("up", "Whether it runs.", [Sample::number(&[], true)]);
        all.gauge("none", "Left out.", []);
        all.counter("ended_total", "Jobs.", [Sample::number(&[("kind", "backup"), ("result", "failed")], 3_u64)]);
        all.gauge("took_seconds", "A time.", [Sample::seconds(&[], 61_000_005)]);
        let wanted = "# HELP up Whether it runs.\n# TYPE up gauge\nup 1\n\
                      # HELP ended_total Jobs.\n# TYPE ended_total counter\nended_total{kind=\"backup\",result=\"failed\"} 3\n\
                      # HELP took_seconds A time.\n# TYPE took_seconds gauge\ntook_seconds 61.000005\n";
        assert_eq!(all.into_text(), wanted);
    }

    #[test]
    fn a_label_cannot_leave_its_quotes() {
        let mut all = Exposition::default();
        all.gauge("name", "A name.", [Sample::number(&[("name", "a\\\"}\n# TYPE b gauge\nü\t")], 1_u64)]);
        let lines: Vec<String> = all.into_text().lines().map(str::to_owned).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[2], "name{name=\"a\\\\\\\"}\\n# TYPE b gauge\\nü\t\"} 1");
    }
}
