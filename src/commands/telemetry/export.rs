//! The metrics as Prometheus reads them.

use crate::domain::telemetry::{Counters, Exposition, Observed, Summary};

/// Everything, in the text format; gauges of operations are made of those done lately.
pub(super) fn prometheus(seen: &Observed, lately: &Summary, counters: &Counters) -> String {
    let mut text = Exposition::default();
    counts(&mut text, counters);
    gauges(&mut text, seen, lately);
    work(&mut text, seen);
    claude(&mut text, seen);
    text.family("coord_up", "gauge", "Whether the store could be read: this text is made from it.");
    text.sample("coord_up", &[], 1.0);
    text.finish()
}

#[expect(clippy::cast_precision_loss, reason = "the format has no other numbers")]
const fn number(count: u64) -> f64 {
    count as f64
}

fn counts(text: &mut Exposition, counters: &Counters) {
    let name = "coord_operations_total";
    text.family(name, "counter", "Operations by command and by how they ended.");
    for (command, counts) in &counters.commands {
        for (outcome, count) in &counts.outcomes {
            let labels = [("command", command.as_str()), ("outcome", outcome.as_str())];
            text.sample(name, &labels, number(*count));
        }
    }
    let name = "coord_operation_duration_seconds";
    text.family(
        name,
        "histogram",
        "How long operations that answer at once took, from the command line to the answer.",
    );
    for (command, counts) in &counters.commands {
        if counts.duration.count() > 0 {
            text.histogram(name, &[("command", command)], &counts.duration);
        }
    }
    let name = "coord_lasting_operation_duration_seconds";
    text.family(name, "histogram", "How long operations took that last by design.");
    for (command, counts) in &counters.commands {
        if counts.lasting.count() > 0 {
            text.histogram(name, &[("command", command)], &counts.lasting);
        }
    }
    let name = "coord_lock_wait_seconds";
    text.family(name, "histogram", "How long operations waited for the store's lock.");
    text.histogram(name, &[], &counters.lock_wait);
    let name = "coord_operation_cpu_seconds_total";
    text.family(name, "counter", "Processor time of the processes that did operations.");
    for (command, counts) in &counters.commands {
        #[expect(clippy::cast_precision_loss, reason = "the format has no other numbers")]
        text.sample(name, &[("command", command)], counts.cpu_us as f64 / 1e6);
    }
}

fn gauges(text: &mut Exposition, seen: &Observed, lately: &Summary) {
    let name = "coord_process_peak_memory_bytes";
    text.family(
        name,
        "gauge",
        "The most memory that one process of a command had in the last hour.",
    );
    for (command, group) in &lately.groups {
        if let Some(kib) = group.memory_kib {
            text.sample(name, &[("command", command)], number(kib.saturating_mul(1024)));
        }
    }
    if let Some(share) = lately.total.availability() {
        let name = "coord_availability_ratio";
        text.family(
            name,
            "gauge",
            "The share of the last hour's operations that did not fail by coord's fault.",
        );
        text.sample(name, &[], share);
    }
    let name = "coord_telemetry_bad_lines";
    text.family(name, "gauge", "Lines of telemetry that cannot be read.");
    text.sample(name, &[], number(seen.bad_lines));
}

fn work(text: &mut Exposition, seen: &Observed) {
    let name = "coord_work_items";
    text.family(name, "gauge", "Work items by state, priority and team.");
    for ((state, priority, team), count) in &seen.queue.items {
        let labels = [("state", *state), ("priority", *priority), ("team", team.as_str())];
        text.sample(name, &labels, number(*count));
    }
    if let Some(age) = seen.queue.oldest_ready {
        let name = "coord_oldest_ready_item_age_seconds";
        text.family(
            name,
            "gauge",
            "The age of the oldest ready item, an imported one's since the old program made it.",
        );
        text.sample(name, &[], age.as_secs_f64());
    }
    let name = "coord_agents";
    text.family(name, "gauge", "Agents by state.");
    let agents = seen.agents;
    for (state, count) in
        [("at-work", agents.at_work), ("idle", agents.idle), ("silent", agents.silent)]
    {
        text.sample(name, &[("state", state)], number(count));
    }
    let flow = &seen.flow;
    for (name, help, count) in [
        ("coord_lease_expirations_total", "Leases that ran out.", flow.expired),
        ("coord_work_added_total", "Work items that were added.", flow.added),
        ("coord_work_done_total", "Work items that were done.", flow.done),
        ("coord_work_failed_total", "Work items that failed or died.", flow.failed),
        ("coord_velocity_points_total", "Points of work that was done.", flow.points),
    ] {
        text.family(name, "counter", help);
        text.sample(name, &[], number(count));
    }
    for (name, help, times) in [
        ("coord_lead_time_seconds", "From being added to being done.", &flow.lead),
        ("coord_cycle_time_seconds", "From the last claim to being done.", &flow.cycle),
    ] {
        text.family(name, "histogram", help);
        text.histogram(name, &[], times.buckets());
    }
    if let Some(share) = flow.efficiency() {
        let name = "coord_flow_efficiency_ratio";
        text.family(name, "gauge", "The share of lead time in which somebody worked.");
        text.sample(name, &[], share);
    }
}

fn claude(text: &mut Exposition, seen: &Observed) {
    let calls = &seen.claude;
    let name = "coord_claude_calls_total";
    text.family(name, "counter", "Calls to Claude by who answered and how they ended.");
    for ((source, outcome), count) in &calls.by {
        let source = if source.is_empty() { "none" } else { source };
        text.sample(name, &[("source", source), ("outcome", outcome)], number(*count));
    }
    if let Some(share) = calls.success() {
        let name = "coord_claude_success_ratio";
        text.family(name, "gauge", "The share of calls to Claude that Claude answered.");
        text.sample(name, &[], share);
    }
    let name = "coord_claude_cost_usd_total";
    text.family(name, "counter", "What calls to Claude cost, as far as it is known.");
    text.sample(name, &[], calls.cost_usd);
}
