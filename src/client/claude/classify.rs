//! What a fault means: the table of errors as code. The first row that fits is the answer, in this
//! order: `x-should-retry`, the error code, the error type, the status, what was seen from here.

use super::{Cause, Fault};

/// What is to be done about a fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Verdict {
    /// The same model again, after a wait.
    Retry,
    /// The same model once more, then the next one: it is this model that has no room.
    Overloaded,
    /// Only another model can help.
    NextModel,
    /// Only another backend can help: the key, the money, the way to the host.
    NextBackend,
    /// The request itself is wrong: nobody would take it.
    GiveUp,
    /// The end was asked for.
    End,
}

use Verdict::{End, GiveUp, NextBackend, NextModel, Overloaded, Retry};

/// By `error.details.error_code`.
const CODES: [(&str, Verdict); 3] = [
    ("enforced_spend_limit_reached", NextBackend),
    ("contract_spend_limit_reached", NextBackend),
    ("ramp_limit_exceeded", Retry),
];

/// By `error.type`.
const TYPES: [(&str, Verdict); 11] = [
    ("invalid_request_error", GiveUp),
    ("authentication_error", NextBackend),
    ("billing_error", NextBackend),
    ("permission_error", NextBackend),
    ("not_found_error", NextModel),
    ("request_too_large", GiveUp),
    ("conflict_error", Retry),
    ("rate_limit_error", Retry),
    ("api_error", Retry),
    ("timeout_error", Retry),
    ("overloaded_error", Overloaded),
];

/// By status, from and to.
const STATUSES: [(u16, u16, Verdict); 13] = [
    (300, 399, NextBackend),
    (400, 400, GiveUp),
    (401, 401, NextBackend),
    (402, 402, NextBackend),
    (403, 403, NextBackend),
    (404, 404, NextModel),
    (407, 407, NextBackend),
    (408, 409, Retry),
    (413, 413, GiveUp),
    (429, 429, Retry),
    (529, 529, Overloaded),
    (500, 599, Retry),
    (410, 499, GiveUp),
];

/// What a fault means.
#[must_use]
pub(super) fn classify(fault: &Fault) -> Verdict {
    let verdict = by_table(fault);
    match (fault.should_retry, verdict) {
        (Some(true), GiveUp | NextModel | NextBackend) => Retry,
        (Some(false), Retry) => NextBackend,
        (Some(false), Overloaded) => NextModel,
        _ => verdict,
    }
}

fn by_table(fault: &Fault) -> Verdict {
    let named = |table: &[(&str, Verdict)], word: &Option<String>| {
        let word = word.as_deref()?;
        table.iter().find(|(name, _)| *name == word).map(|(_, verdict)| *verdict)
    };
    let status = || {
        let status = fault.status?;
        let row = STATUSES.iter().find(|(from, to, _)| (*from..=*to).contains(&status));
        row.map(|(_, _, verdict)| *verdict)
    };
    let seen = by_cause(fault.cause);
    // What was seen from here counts if the service said nothing that is known.
    if !matches!(fault.cause, Cause::Status | Cause::StreamError | Cause::Program) {
        return seen;
    }
    // This type is also given to statuses that have none of their own.
    let vague = fault.error_type.as_deref() == Some("invalid_request_error")
        && fault.cause == Cause::Status
        && status().is_some();
    named(&CODES, &fault.error_code)
        .or_else(|| named(&TYPES, &fault.error_type).filter(|_| !vague))
        .or_else(|| status().filter(|_| fault.cause != Cause::StreamError))
        .unwrap_or(seen)
}

/// By what was seen from here.
const fn by_cause(cause: Cause) -> Verdict {
    match cause {
        Cause::Connect
        | Cause::Dns
        | Cause::Timeout
        | Cause::Idle
        | Cause::Broken
        | Cause::Truncated
        | Cause::Malformed
        | Cause::Empty
        | Cause::StreamError
        | Cause::Program => Retry,
        Cause::Tls
        | Cause::Proxy
        | Cause::Redirect
        | Cause::Insecure
        | Cause::NoProgram
        | Cause::NotLoggedIn => NextBackend,
        Cause::Status | Cause::Skipped | Cause::TooLarge | Cause::BudgetReached => GiveUp,
        Cause::SinkClosed | Cause::Interrupted | Cause::Terminated => End,
    }
}

/// Whether another model of the same backend would meet the same fault.
#[must_use]
pub(super) const fn concerns_host(cause: Cause) -> bool {
    matches!(cause, Cause::Connect | Cause::Dns | Cause::Tls | Cause::Proxy | Cause::Redirect)
}

/// Whether it tells against the service: only such faults open a breaker.
#[must_use]
pub(super) const fn is_outage(verdict: Verdict) -> bool {
    matches!(verdict, Retry | Overloaded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, error_type: Option<&str>, code: Option<&str>) -> Fault {
        Fault {
            status: Some(status),
            error_type: error_type.map(str::to_owned),
            error_code: code.map(str::to_owned),
            ..Fault::new(Cause::Status, "")
        }
    }

    #[test]
    fn every_row_of_the_services_errors() {
        for (status, error_type, code, verdict) in [
            (400, Some("invalid_request_error"), None, GiveUp),
            (401, Some("authentication_error"), None, NextBackend),
            (402, Some("billing_error"), Some("linked_organization_unpaid"), NextBackend),
            (403, Some("permission_error"), None, NextBackend),
            (404, Some("not_found_error"), None, NextModel),
            (408, None, None, Retry),
            (408, Some("invalid_request_error"), None, Retry),
            (422, Some("invalid_request_error"), None, GiveUp),
            (409, Some("conflict_error"), None, Retry),
            (413, Some("request_too_large"), None, GiveUp),
            (413, None, None, GiveUp),
            (422, None, None, GiveUp),
            (429, Some("rate_limit_error"), None, Retry),
            (429, Some("rate_limit_error"), Some("ramp_limit_exceeded"), Retry),
            (429, Some("rate_limit_error"), Some("enforced_spend_limit_reached"), NextBackend),
            (429, Some("rate_limit_error"), Some("contract_spend_limit_reached"), NextBackend),
            (500, Some("api_error"), None, Retry),
            (502, None, None, Retry),
            (503, None, Some("cmek_unavailable"), Retry),
            (504, Some("timeout_error"), None, Retry),
            (529, Some("overloaded_error"), None, Overloaded),
            (529, None, None, Overloaded),
            (599, Some("never_heard_of"), None, Retry),
            (302, None, None, NextBackend),
            (418, Some("never_heard_of"), None, GiveUp),
        ] {
            let fault = said(status, error_type, code);
            assert_eq!(classify(&fault), verdict, "{status} {error_type:?} {code:?}");
        }
    }

    #[test]
    fn the_header_overrides_every_row() {
        for (status, header, verdict) in [
            (400, true, Retry),
            (401, true, Retry),
            (500, false, NextBackend),
            (529, false, NextModel),
            (529, true, Overloaded),
            (404, false, NextModel),
        ] {
            let fault = Fault { should_retry: Some(header), ..said(status, None, None) };
            assert_eq!(classify(&fault), verdict, "{status} {header}");
        }
    }

    #[test]
    fn errors_within_a_stream_go_by_their_type() {
        for (error_type, verdict) in [
            (Some("overloaded_error"), Overloaded),
            (Some("api_error"), Retry),
            (Some("rate_limit_error"), Retry),
            (Some("timeout_error"), Retry),
            (Some("invalid_request_error"), GiveUp),
            (None, Retry),
        ] {
            let cause = Cause::StreamError;
            let fault = Fault { cause, ..said(200, error_type, None) };
            assert_eq!(classify(&fault), verdict, "{error_type:?}");
        }
    }

    #[test]
    fn tls_is_never_retried_and_an_end_is_an_end() {
        assert_eq!(classify(&Fault::new(Cause::Tls, "")), NextBackend);
        for cause in [Cause::Connect, Cause::Dns, Cause::Timeout, Cause::Truncated, Cause::Empty] {
            assert_eq!(classify(&Fault::new(cause, "")), Retry, "{cause:?}");
        }
        let fault = Fault { should_retry: Some(true), ..Fault::new(Cause::Interrupted, "") };
        assert_eq!(classify(&fault), End);
    }
}
