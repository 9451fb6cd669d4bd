//! What ClickHouse's error codes mean for a batch that it did not take.
//!
//! Source of numbers and names: ClickHouse, `src/Common/ErrorCodes.cpp`.

use super::insert::Decision;

/// One code of which we know what it means for an insert.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal {
    pub(crate) code: u32,
    pub(crate) name: &'static str,
    pub(crate) decision: Decision,
}

const fn retry(code: u32, name: &'static str) -> Refusal {
    Refusal { code, name, decision: Decision::Retry }
}

const fn retry_smaller(code: u32, name: &'static str) -> Refusal {
    Refusal { code, name, decision: Decision::RetrySmaller }
}

const fn split(code: u32, name: &'static str) -> Refusal {
    Refusal { code, name, decision: Decision::Split }
}

const fn split_if_repeated(code: u32, name: &'static str) -> Refusal {
    Refusal { code, name, decision: Decision::SplitIfRepeated }
}

/// Sorted by code. `split` says "these rows, never": values that no column of the table can hold, or more of them than
/// one insert may have; `split_if_repeated` is what a body that ends too early is called too. `retry` is everything whose cause lies outside of the rows;
/// `retry_smaller` what their number may have to do with.
const REFUSALS: &[Refusal] = &[
    split(6, "CANNOT_PARSE_TEXT"),
    retry(16, "NO_SUCH_COLUMN_IN_TABLE"), // an older table: until `migrate` has run
    split(26, "CANNOT_PARSE_QUOTED_STRING"),
    split(27, "CANNOT_PARSE_INPUT_ASSERTION_FAILED"),
    split_if_repeated(32, "ATTEMPT_TO_READ_AFTER_EOF"),
    split_if_repeated(33, "CANNOT_READ_ALL_DATA"),
    split(38, "CANNOT_PARSE_DATE"),
    split(41, "CANNOT_PARSE_DATETIME"),
    split(53, "TYPE_MISMATCH"),
    retry(60, "UNKNOWN_TABLE"), // until `migrate` has run
    split(69, "ARGUMENT_OUT_OF_BOUND"),
    split(70, "CANNOT_CONVERT_TYPE"),
    split(72, "CANNOT_PARSE_NUMBER"),
    retry(74, "CANNOT_READ_FROM_FILE_DESCRIPTOR"),
    retry(75, "CANNOT_WRITE_TO_FILE_DESCRIPTOR"), // among others a full disk
    retry(76, "CANNOT_OPEN_FILE"),
    retry(81, "UNKNOWN_DATABASE"), // until `migrate` has run
    split(117, "INCORRECT_DATA"),
    split(128, "TOO_LARGE_ARRAY_SIZE"),
    split(131, "TOO_LARGE_STRING_SIZE"),
    split(158, "TOO_MANY_ROWS"),
    retry(159, "TIMEOUT_EXCEEDED"),
    retry(160, "TOO_SLOW"),
    retry(164, "READONLY"),
    retry(192, "UNKNOWN_USER"), // mended by an operator, and then nothing is lost
    retry(201, "QUOTA_EXCEEDED"),
    retry(202, "TOO_MANY_SIMULTANEOUS_QUERIES"),
    retry(203, "NO_FREE_CONNECTION"),
    retry(209, "SOCKET_TIMEOUT"),
    retry(210, "NETWORK_ERROR"),
    retry(218, "TABLE_IS_DROPPED"),
    retry(225, "NO_ZOOKEEPER"),
    retry(236, "ABORTED"),
    retry_smaller(241, "MEMORY_LIMIT_EXCEEDED"),
    retry(242, "TABLE_IS_READ_ONLY"),
    retry(243, "NOT_ENOUGH_SPACE"),
    retry(252, "TOO_MANY_PARTS"), // merges are behind
    retry(279, "ALL_CONNECTION_TRIES_FAILED"),
    retry(285, "TOO_FEW_LIVE_REPLICAS"),
    retry(286, "UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE"),
    split(307, "TOO_MANY_BYTES"),
    retry(319, "UNKNOWN_STATUS_OF_INSERT"), // a copy collapses
    split(321, "VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE"),
    split(349, "CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN"),
    split(376, "CANNOT_PARSE_UUID"),
    retry(394, "QUERY_WAS_CANCELLED"),
    split(395, "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"),
    split(396, "TOO_MANY_ROWS_OR_BYTES"),
    split(407, "DECIMAL_OVERFLOW"),
    retry(425, "SYSTEM_ERROR"),
    retry(439, "CANNOT_SCHEDULE_TASK"),
    split(467, "CANNOT_PARSE_BOOL"),
    split(469, "VIOLATED_CONSTRAINT"),
    retry(473, "DEADLOCK_AVOIDED"),
    retry(497, "ACCESS_DENIED"),
    retry(516, "AUTHENTICATION_FAILED"),
    retry(745, "SERVER_OVERLOADED"),
    retry(999, "KEEPER_EXCEPTION"),
];

/// What a proxy in front of ClickHouse says about a body that is too large for it, in plain words or a page of HTML.
const TOO_LARGE_FOR_A_PROXY: Refusal = retry_smaller(413, "HTTP_TOO_LARGE");

/// What is known about the refusal whose text is `text`; `None` for a code that is not in the table.
pub(crate) fn look_up(text: &str) -> Option<Refusal> {
    let Some(code) = code(text) else {
        let words = ["413 Payload Too Large", "413 Content Too Large", "413 Request Entity Too Large"];
        return words.iter().any(|words| text.contains(words)).then_some(TOO_LARGE_FOR_A_PROXY);
    };
    let index = REFUSALS.binary_search_by_key(&code, |refusal| refusal.code).ok()?;
    REFUSALS.get(index).copied()
}

/// The number in `Code: 117. DB::Exception: …`.
pub(crate) fn code(text: &str) -> Option<u32> {
    let rest = text.split_once("Code: ")?.1;
    let end = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
    rest.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_free_of_duplicates() {
        assert!(REFUSALS.is_sorted_by(|a, b| a.code < b.code));
    }

    #[test]
    fn a_code_is_found_wherever_the_text_begins() {
        assert_eq!(code("Code: 60. DB::Exception: no table"), Some(60));
        assert_eq!(code("bad response: Code: 241"), Some(241));
        assert_eq!(code("connection reset by peer"), None);
        assert_eq!(code("Code: x"), None);
    }
}
