use bitcraps_node::admin::SCHEMA;
use bitcraps_node::coordinator::Delivery;

use crate::console::visible;

/// How deliveries are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum MessageFormat {
    /// A line for people: sender, class, text
    Text,
    /// A line of JSON
    Json,
}

/// A delivery as a line; `None` for the empty messages of a ping.
pub(crate) fn line(delivery: &Delivery, format: MessageFormat) -> Option<String> {
    if delivery.payload.is_empty() {
        return None;
    }
    let text = str::from_utf8(&delivery.payload).ok();
    let (source, class) = (delivery.source(), delivery.class());
    Some(match format {
        MessageFormat::Text => {
            let shown = text.map_or_else(|| hex(&delivery.payload), |t| visible(t).into_owned());
            format!("{} {class}: {shown}\n", source.short())
        }
        MessageFormat::Json => {
            let mut message = serde_json::json!({
                "from": source,
                "class": class.name(),
                "epoch": delivery.id.epoch.0,
                "sequence": delivery.id.sequence,
                "bytes": delivery.payload.len(),
            });
            match text {
                Some(text) => message["text"] = text.into(),
                None => message["hex"] = hex(&delivery.payload).into(),
            }
            format!("{}\n", serde_json::json!({ "schema": SCHEMA, "message": message }))
        }
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        text += &format!("{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitcraps_types::{AckLevel, Epoch, LinkId, MessageId, PeerId, TrafficClass};

    fn delivery(payload: &'static [u8]) -> Delivery {
        let source = PeerId::from_bytes([0xab; 32]);
        Delivery {
            id: MessageId { source, epoch: Epoch(3), class: TrafficClass::Critical, sequence: 7 },
            payload: payload.into(),
            ack: AckLevel::PeerAcked,
            link: LinkId(1),
        }
    }

    #[test]
    fn a_text_is_shown_and_bytes_as_digits() {
        let text = |payload| line(&delivery(payload), MessageFormat::Text).unwrap();
        assert_eq!(text(b"hello"), "ababababab critical: hello\n");
        assert_eq!(text(b"two\nlines\x1b["), "ababababab critical: two\\nlines\\u{1b}[\n");
        assert_eq!(text(b"\xff\x00"), "ababababab critical: ff00\n");
    }

    #[test]
    fn json_tells_text_and_bytes_apart() {
        let json = |payload| -> serde_json::Value {
            let line = line(&delivery(payload), MessageFormat::Json).unwrap();
            serde_json::from_str(&line).unwrap()
        };
        let from = "ab".repeat(32);
        let message = serde_json::json!({
            "from": from, "class": "critical", "epoch": 3, "sequence": 7, "bytes": 3, "text": "a\nb",
        });
        assert_eq!(json(b"a\nb"), serde_json::json!({ "schema": 1, "message": message }));
        assert_eq!(json(b"\xff")["message"]["hex"], "ff");
        assert_eq!(json(b"\xff")["message"].get("text"), None);
    }

    #[test]
    fn a_ping_leaves_no_line() {
        for format in [MessageFormat::Text, MessageFormat::Json] {
            assert_eq!(line(&delivery(b""), format), None);
        }
    }
}
