//! Links into AWS's console, which differs by partition.

use common::trace::xray_id;
use opentelemetry::TraceId;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// Where the console shows what lies in a region; nothing where no region is known.
#[derive(Debug, Clone, Default)]
pub struct Console {
    region: Option<String>,
}

impl Console {
    /// The console of `region`.
    pub fn new(region: Option<String>) -> Self {
        Self { region: region.filter(|region| !region.is_empty()) }
    }

    /// An object's page.
    pub(crate) fn object(&self, bucket: &str, key: &str) -> Option<String> {
        let region = self.region.as_ref()?;
        let host = match domain(region) {
            "aws.amazon.com" => "s3.console.aws.amazon.com".into(),
            domain => format!("console.{domain}"),
        };
        let key = utf8_percent_encode(key, NON_ALPHANUMERIC).to_string().replace("%2E", ".");
        Some(format!("https://{host}/s3/object/{bucket}?region={region}&prefix={key}"))
    }

    /// A trace's page in X-Ray.
    pub(crate) fn trace(&self, trace_id: TraceId) -> Option<String> {
        let region = self.region.as_ref()?;
        let (domain, trace) = (domain(region), xray_id(trace_id));
        Some(format!("https://{region}.console.{domain}/cloudwatch/home?region={region}#xray:traces/{trace}"))
    }
}

fn domain(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "amazonaws.cn",
        region if region.starts_with("us-gov-") => "amazonaws-us-gov.com",
        _ => "aws.amazon.com",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_partition_has_its_console() {
        let object = |region: &str| Console::new(Some(region.into())).object("b", "a b/ä.csv").unwrap();
        let query = |region: &str| format!("/s3/object/b?region={region}&prefix=a%20b%2F%C3%A4.csv");
        for (region, host) in [
            ("eu-central-1", "s3.console.aws.amazon.com"),
            ("cn-north-1", "console.amazonaws.cn"),
            ("us-gov-west-1", "console.amazonaws-us-gov.com"),
        ] {
            assert_eq!(object(region), format!("https://{host}{}", query(region)));
        }
        assert_eq!(Console::new(Some(String::new())).object("b", "k"), None);
    }
}
