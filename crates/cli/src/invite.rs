use std::time::Duration;

use bitcraps_node::admin::{InviteReport, Request, Response};
use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;

use crate::arguments::duration;
use crate::console::{self, age, counted, is_watched, visible};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::status::as_json;

/// Arguments of `bitcraps invite`.
#[derive(Debug, clap::Args)]
pub(crate) struct Invite {
    /// How long the invitation is good for: seconds, or with a unit of ms, s, m, h
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = duration)]
    life: Duration,
    /// How many peers it admits
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    uses: u32,
    /// Draw the QR code even where standard output is no terminal
    #[arg(long)]
    qr: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Arguments of `bitcraps join`.
#[derive(Debug, clap::Args)]
pub(crate) struct Join {
    /// The code that `bitcraps invite` printed
    code: String,
    /// How long to wait for the node that invites: seconds, or with a unit of ms, s, m, h
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    wait: Duration,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn invite(invite: &Invite, context: &Context) -> Result<Exit, Failure> {
    let life_ms = u64::try_from(invite.life.as_millis()).unwrap_or(u64::MAX);
    let response = context.ask(&Request::Invite { life_ms, uses: invite.uses })?;
    let Response::Invite(report) = &response else { return Err(Failure::OtherAnswer) };
    if invite.json {
        console::print(&as_json(response)?)?;
        return Ok(Exit::Healthy);
    }
    console::print(&format!("{}\n", report.code))?;
    if invite.qr || is_watched() {
        console::print(&drawn(&report.code))?;
    }
    console::complain(&explained(report));
    Ok(Exit::Healthy)
}

/// The code as a QR code; nothing when it is too long for one. In upper case, which takes less room
/// and means the same.
fn drawn(code: &str) -> String {
    QrCode::new(code.to_uppercase()).map_or_else(
        |_| String::new(),
        |qr| format!("\n{}\n", qr.render::<Dense1x2>().quiet_zone(true).build()),
    )
}

fn explained(report: &InviteReport) -> String {
    let mut text = format!(
        "It admits {} for {}. Whoever has it may use it, so pass it on by a way you trust; \
         `bitcraps join` takes it.\n",
        counted(report.uses, "peer", "peers"),
        age(report.life_ms)
    );
    text += &if report.addresses.is_empty() {
        "This node listens nowhere: whoever joins has to be found by it on the same network."
            .to_owned()
    } else {
        let places: Vec<String> = report
            .addresses
            .iter()
            .map(|place| format!("{} ({})", visible(&place.address), place.transport))
            .collect();
        format!("It leads to {}.", places.join(", "))
    };
    text
}

pub(crate) fn join(join: &Join, context: &Context) -> Result<Exit, Failure> {
    let wait_ms = u64::try_from(join.wait.as_millis()).unwrap_or(u64::MAX);
    let response = context.ask(&Request::Join { code: join.code.clone(), wait_ms })?;
    let Response::Standing(report) = &response else { return Err(Failure::OtherAnswer) };
    let text = format!("joined peer {}; it is {} here\n", report.peer, report.standing);
    console::print(&if join.json { as_json(response)? } else { text })?;
    Ok(Exit::Healthy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_drawn_as_long_as_it_fits() {
        let drawing = drawn(&format!("bitcraps1{}", "q".repeat(160)));
        let lines: Vec<&str> = drawing.trim_matches('\n').lines().collect();
        let width = lines[0].chars().count();
        assert_eq!(width, 53, "version 7, 45 modules, and its margin");
        assert_eq!(lines.len(), width.div_ceil(2));
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert_eq!(drawn(&"q".repeat(5_000)), "");
    }
}
